// Who watches which keys, and what each is told: whole revisions, in order, once. It answers deliveries as values; the
// shell calls the watchers. A watch of one key is found by the key; watches of ranges are tried one after the other, in
// order of their ids.

/// Names a watch; unique within one boot.
package struct WatchID: RawRepresentable, Hashable, Comparable, Sendable {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: WatchID, right: WatchID) -> Bool { left.rawValue < right.rawValue }
}

/// What a watcher is told.
package enum WatchDelivery: Hashable, Sendable {
    /// Every change of this revision that is in the watched range.
    case events(revision: Revision, [KVEvent])
    /// Nothing at or below this revision will come any more.
    case progress(Revision)
    /// The watch ended: history below this revision is gone. Read anew.
    case compacted(Revision)
    /// The watch ended before it began: there are too many.
    case tooMany
    /// The watch ended: the state was replaced by a snapshot. Read anew.
    case reset
    /// The watch ended, or never began, for a reason that is none of the store's.
    case ended(WatchEnd)
}

/// Why a watch was ended that could go on elsewhere, or later.
package enum WatchEnd: Hashable, Sendable {
    /// Too much waits for the replica already.
    case overloaded
    /// The replica has ended.
    case stopped
    /// The past that it was to be told cannot be read from the disk now.
    case unreadable
}

/// A delivery with its address.
package struct WatchNotice: Hashable, Sendable {
    package var watch: WatchID
    package var delivery: WatchDelivery
}

/// The registered watches.
package struct WatchHub: Sendable {
    package static let watchesMax = 100_000

    /// `after`: nothing at or below it is told, also when the store itself is not there yet.
    private struct Watch: Sendable {
        var id: WatchID
        var range: KeyRange
        var after: Revision
        var isCancelled = false
    }
    private var singles: [Key: Single] = [:]
    /// In order of their ids; those that were cancelled are taken out together.
    private var ranges: [Watch] = []
    private var cancelledRanges = 0

    /// The watches of one key; those that were cancelled are not among `watches` any more and are taken out together.
    private struct Single: Sendable {
        var ids: [WatchID] = []
        var cancelled = 0
    }
    private var watches: [WatchID: Watch] = [:]
    /// The revision that `progress` last told.
    private var told = Revision.zero

    package init() {}

    package var count: Int { watches.count }

    /// Registers a watch; the answer is its backlog: what the window holds after `after` (nil: from now), then
    /// progress. Above `watchesMax` it ends at once.
    package mutating func add(
        _ id: WatchID, _ range: KeyRange, after: Revision?, _ state: StateMachine
    )
        -> [WatchNotice]
    {
        guard watches.count < Self.watchesMax else { return [WatchNotice(watch: id, delivery: .tooMany)] }
        guard let backlog = state.window.after(after ?? state.revision) else {
            let floor = Revision(max(state.window.floor.rawValue, state.compactRevision.rawValue))
            return [WatchNotice(watch: id, delivery: .compacted(floor))]
        }
        register(Watch(id: id, range: range, after: after ?? state.revision))
        var notices: [WatchNotice] = []
        for item in backlog {
            let events = item.events.filter { range.contains($0.current.key) }
            if !events.isEmpty {
                notices.append(WatchNotice(watch: id, delivery: .events(revision: item.revision, events)))
            }
        }
        if state.revision >= after ?? .zero {
            notices.append(WatchNotice(watch: id, delivery: .progress(state.revision)))
        }
        return notices
    }

    private mutating func register(_ watch: Watch) {
        watches[watch.id] = watch
        if let key = watch.range.single {
            singles[key, default: Single()].ids.append(watch.id)
        } else {
            ranges.insert(watch, at: place(of: watch.id))
        }
    }

    /// Of the first range watch whose id is not below this one. Nearly always a new one is the last.
    private func place(of id: WatchID) -> Int {
        guard let last = ranges.last, last.id >= id else { return ranges.count }
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    package mutating func cancel(_ id: WatchID) {
        guard let watch = watches.removeValue(forKey: id) else { return }
        guard let key = watch.range.single else {
            ranges[place(of: id)].isCancelled = true
            cancelledRanges += 1
            // Each of many costs no more than one walk over as many.
            guard cancelledRanges > ranges.count / 2 else { return }
            ranges.removeAll(where: \.isCancelled)
            cancelledRanges = 0
            return
        }
        singles[key]?.cancelled += 1
        guard let single = singles[key], single.cancelled > single.ids.count / 2 else { return }
        let left = single.ids.filter { watches[$0] != nil }
        singles[key] = left.isEmpty ? nil : Single(ids: left)
    }

    /// What the events of one revision mean to the watchers. Who is told the same shares one array: what is made of it
    /// can be shared too.
    package func notices(_ revision: Revision, _ events: [KVEvent]) -> [WatchNotice] {
        guard !watches.isEmpty else { return [] }
        var notices: [WatchNotice] = []
        var last: (range: KeyRange, hits: [KVEvent])?
        for watch in ranges where revision > watch.after && !watch.isCancelled {
            let hits: [KVEvent]
            if let last, last.range == watch.range {
                hits = last.hits
            } else {
                hits = Self.hits(events, watch.range)
                last = (watch.range, hits)
            }
            if !hits.isEmpty {
                notices.append(WatchNotice(watch: watch.id, delivery: .events(revision: revision, hits)))
            }
        }
        return singles.isEmpty ? notices : notices + singleNotices(revision, events)
    }

    private static func hits(_ events: [KVEvent], _ range: KeyRange) -> [KVEvent] {
        if events.allSatisfy({ range.contains($0.current.key) }) { return events }
        return events.filter { range.contains($0.current.key) }
    }

    private func singleNotices(_ revision: Revision, _ events: [KVEvent]) -> [WatchNotice] {
        var hits: [(ids: [WatchID], events: [KVEvent])] = []
        var places: [Key: Int] = [:]
        for event in events {
            let key = event.current.key
            if let place = places[key] { hits[place].events.append(event); continue }
            guard let ids = singles[key]?.ids else { continue }
            places[key] = hits.count
            hits.append((ids, [event]))
        }
        var notices: [WatchNotice] = []
        for hit in hits {
            let delivery = WatchDelivery.events(revision: revision, hit.events)
            for id in hit.ids {
                guard let watch = watches[id], revision > watch.after else { continue }
                notices.append(WatchNotice(watch: id, delivery: delivery))
            }
        }
        return notices
    }

    /// Tells everybody how far the store is, if that is news.
    package mutating func progress(_ revision: Revision) -> [WatchNotice] {
        guard revision > told, !watches.isEmpty else { return [] }
        told = revision
        let current = watches.values.filter { revision >= $0.after }.map(\.id).sorted()
        return current.map { WatchNotice(watch: $0, delivery: .progress(revision)) }
    }

    /// Ends every watch: the state was replaced.
    package mutating func reset() -> [WatchNotice] {
        let ids = watches.keys.sorted()
        self = WatchHub()
        return ids.map { WatchNotice(watch: $0, delivery: .reset) }
    }
}
