// What clients may see. It learns the one true history from the watches of all replicas, which must tell the same, and
// it knows what was acknowledged when. Transactions write their number, so a value names the whole transaction.
//
// Linearizability needs no search here: the store itself claims an order, the revision. It is enough to check that this
// order explains every answer (each transaction did and answered what it says, given the state just before; a read at
// revision r shows exactly that state) and respects real time (an operation never stands before what any client had
// seen when it began). All keys are checked together, so what holds is strict serializability; and a transaction whose
// answer was lost must obey it too, once it is seen.

import KVCore
import Raft

/// The order of writes, and how much of it was shown to clients.
struct Oracle {
    /// Revision of each transaction that changed something under its number.
    private var places: [UInt64: Revision] = [:]
    private var deals: [UInt64: Deal] = [:]
    /// Transactions that may only delete, and where they may have taken place: nothing names them there.
    private var bare: [UInt64] = []
    private var suspects: [Revision: [UInt64]] = [:]
    private var takers: [Revision: UInt64] = [:]
    /// What each revision did, from revision 2 on.
    private(set) var history: [[KVEvent]] = []
    /// What a key holds now, and all it ever held.
    private var living: [Key: KeyValue] = [:]
    private var past: [Key: [(revision: Revision, record: KeyValue?)]] = [:]
    private var sortedKeys: [Key] = []
    /// The last revision that any client has seen.
    private(set) var top = Revision.zero
    /// Clients were told that the past before it is gone.
    private(set) var compacted = Revision.zero
    /// `top` when a transaction was asked for.
    private var begun: [UInt64: Revision] = [:]
    /// Transactions that were refused for good.
    private var impossible: Set<UInt64> = []
    /// Transactions that may have an effect in one term only, those seen in the log in that term, and those seen in
    /// effect.
    private var fences: [UInt64: Term] = [:]
    private var allowed: Set<UInt64> = []
    private var fencedSeen: [UInt64] = []
    var leases = LeaseOracle()

    mutating func begin(_ request: Request) {
        guard let deal = request.deal else { return }
        begun[deal.value] = top
        deals[deal.value] = deal
        if !deal.alwaysWrites { bare.append(deal.value) }
        if case .deal(_, let fence?) = request.kind { fences[deal.value] = fence }
    }

    /// The revision at which a key was last written, as far as told.
    func lastWrite(of key: Key) -> Revision { living[key]?.modRevision ?? .zero }

    /// What a key held at a revision.
    func record(of key: Key, at revision: Revision) -> KeyValue? {
        past[key]?.last { $0.revision <= revision }?.record
    }

    /// Everything there was at a revision, in order.
    func records(at revision: Revision) -> [KeyValue] { sortedKeys.compactMap { record(of: $0, at: revision) } }
    var last: Revision { Revision(Int64(history.count) + 1) }
}

// MARK: Writes

extension Oracle {
    /// Events of one revision, from anybody's watch.
    mutating func tell(_ revision: Revision, _ events: [KVEvent], now: UInt64) -> String? {
        let offset = Int(clamping: revision.rawValue) - 2
        guard offset >= 0, offset <= history.count else { return "a watch tells \(revision), which nobody wrote" }
        if offset < history.count {
            return history[offset] == events ? nil : "watches tell different things about revision \(revision)"
        }
        defer { keep(events, revision) }
        guard let put = events.first(where: { $0.kind == .put }) else { return explain(events, revision, now: now) }
        let value = Request.decode(put.current.value)
        guard let deal = deals[value] else { return "revision \(revision) writes \(value), and nobody asked for it" }
        let right = outcome(of: deal, before: Revision(revision.rawValue - 1)).events
        guard right == events else {
            return "write \(value) at \(revision) did \(brief(events)), should have done \(brief(right))"
        }
        return place(value, at: revision)
    }

    private func outcome(of deal: Deal, before: Revision) -> (result: TxnResult, events: [KVEvent]) {
        var dealing = Dealing(self, before: before)
        let result = dealing.run(deal)
        return (result, dealing.events)
    }

    private mutating func keep(_ events: [KVEvent], _ revision: Revision) {
        history.append(events)
        for event in events {
            let key = event.current.key, record = event.kind == .put ? event.current : nil
            if past[key] == nil {
                sortedKeys.append(key)
                sortedKeys.sort()
            }
            living[key] = record
            past[key, default: []].append((revision, record))
        }
    }

    private mutating func place(_ value: UInt64, at revision: Revision) -> String? {
        if let first = places[value] { return "write \(value) was executed twice, at \(first) and \(revision)" }
        if impossible.contains(value) { return "write \(value) was refused for good, and then executed" }
        guard let begun = begun[value], revision > begun else {
            return "write \(value) at \(revision) stands before what was seen when it began"
        }
        places[value] = revision
        bare.removeAll { $0 == value }
        if fences[value] != nil { fencedSeen.append(value) }
        return nil
    }

    /// Only deletions: somebody asked for exactly these, or they are all the keys of leases that ended.
    private mutating func explain(_ events: [KVEvent], _ revision: Revision, now: UInt64) -> String? {
        let before = Revision(revision.rawValue - 1)
        let names = bare.filter { value in
            guard let deal = deals[value], let begun = begun[value], revision > begun else { return false }
            return outcome(of: deal, before: before).events == events
        }
        guard names.isEmpty else {
            suspects[revision] = names
            return nil
        }
        return explainByLeases(events, revision, now: now)
    }

    private mutating func explainByLeases(_ events: [KVEvent], _ revision: Revision, now: UInt64) -> String? {
        var ended: [LeaseID] = []
        var expected: [KVEvent] = []
        for event in events {
            let lease = living[event.current.key]?.lease ?? .none
            guard lease != .none else { return "revision \(revision) deletes \(event.current.key.bytes), unasked" }
            guard !ended.contains(lease) else { continue }
            ended.append(lease)
            let keys = sortedKeys.filter { living[$0]?.lease == lease }
            expected += keys.map { KVEvent.deletion(of: $0, at: revision, living[$0]) }
        }
        guard expected == events else { return "revision \(revision) ends leases \(ended), and not all of their keys" }
        for lease in ended {
            if let complaint = leases.end(lease, now: now) { return complaint }
        }
        return nil
    }

    mutating func refuse(_ value: UInt64) -> String? {
        impossible.insert(value)
        bare.removeAll { $0 == value }
        return places[value].map { "write \(value) was refused for good, and is at \($0)" }
    }

    /// A complaint, when an acknowledged transaction did not happen, or not where the answer says, or answers what it
    /// should not.
    mutating func acknowledge(_ deal: Deal, _ result: TxnResult, floor: Revision) -> String? {
        let revision = result.revision, place = places[deal.value]
        guard place == nil || place == revision else {
            return "write \(deal.value) was acknowledged at \(revision) and is at \(place ?? .zero)"
        }
        guard revision >= floor, revision <= last else {
            return "write \(deal.value) was acknowledged at \(revision), but \(floor) was seen when it began"
        }
        let isSuspect = place == nil && suspects[revision]?.contains(deal.value) == true
        let isOwn = place != nil || isSuspect
        var right = outcome(of: deal, before: isOwn ? Revision(revision.rawValue - 1) : revision)
        if isSuspect, right.result != result || takers[revision] != nil {
            // Somebody else's deletion, then.
            right = outcome(of: deal, before: revision)
        }
        guard right.result == result else {
            return "write \(deal.value) answers \(brief(result)), should answer \(brief(right.result))"
        }
        guard right.events.isEmpty || isOwn else {
            return "write \(deal.value) was acknowledged at \(revision) and never seen"
        }
        if place == nil, !right.events.isEmpty { takers[revision] = deal.value }
        bare.removeAll { $0 == deal.value }
        top = max(top, revision)
        return nil
    }
}

// MARK: Reads

extension Oracle {
    /// A complaint, when a read shows anything but what was there at its revision, or an older revision than was seen
    /// when it began.
    mutating func observe(_ reading: Reading, _ result: RangeResult, at revision: Revision, _ client: Client) -> String?
    {
        if !reading.isSerializable, reading.past == nil, revision < client.floor {
            return "stale read at \(revision), but \(client.floor) was seen when it began"
        }
        if let wanted = reading.past, wanted != revision || wanted < client.compacted {
            return "a read at \(wanted) shows \(revision), and \(client.compacted) was compacted"
        }
        guard revision <= last else { return "a read at \(revision), which nobody wrote" }
        let right = shown(reading.keys, limit: reading.limit, at: revision)
        guard right == result else {
            return "a read of \(reading.keys) at \(revision) shows \(brief(result.items)), not \(brief(right.items))"
        }
        if !reading.isSerializable, reading.past == nil { top = max(top, revision) }
        return nil
    }

    private func shown(_ keys: Range<Int>, limit: Int, at revision: Revision) -> RangeResult {
        var items = keys.compactMap { record(of: Request.key($0), at: revision) }
        let count = items.count, isLimited = limit > 0 && count > limit
        if isLimited { items = Array(items.prefix(limit)) }
        return RangeResult(items: items, more: isLimited, count: Int64(count))
    }

    /// The past at `revision` was refused.
    func refusePast(_ revision: Revision, below floor: Revision) -> String? {
        floor > revision && floor <= last.next
            ? nil : "the past at \(revision) was refused: only below \(floor) is gone"
    }

    mutating func compact(to revision: Revision) { compacted = max(compacted, revision) }
}

// MARK: Words

private func brief(_ events: [KVEvent]) -> String {
    brief(events.map(\.current)) + " in place of " + brief(events.compactMap(\.previous))
}

private func brief(_ records: [KeyValue]) -> String {
    "\(records.map { "\($0.key.bytes.dropFirst())=\(Request.decode($0.value)) at \($0.modRevision) v\($0.version)" })"
}

private func brief(_ result: TxnResult) -> String {
    let parts = result.results.map { one -> String in
        switch one {
        case .range(let range): "shown " + brief(range.items)
        case .put(let previous): "put over " + brief(previous.map { [$0] } ?? [])
        case .delete(let count, let previous): "deleted \(count) " + brief(previous)
        case .txn(let inner): brief(inner)
        }
    }
    return "\(result.succeeded) at \(result.revision): \(parts)"
}

// MARK: Fences

extension Oracle {
    /// An entry was committed: a fenced write may have an effect only where its term is the fence.
    mutating func noteCommitted(_ entry: Entry) {
        guard entry.kind == .normal, !fences.isEmpty else { return }
        var reader = ByteReader(entry.data)
        do throws(DecodeError) {
            _ = try reader.byte()
            _ = try reader.signed()
            guard case .txn(let txn) = try EntryFormat.decode(&reader).command, case .put(let put)? = txn.success.first
            else { return }
            let value = Request.decode(put.value)
            if fences[value] == entry.term { allowed.insert(value) }
        } catch {
            // Not a proposal of a client.
            return
        }
    }

    mutating func checkFences() -> String? {
        defer { fencedSeen = [] }
        return fencedSeen.first { !allowed.contains($0) }.map { "write \($0) had an effect outside of its term" }
    }
}

// MARK: Watches

extension Oracle {
    /// A watcher of `range` that knows everything up to `known` is told these events: exactly the next ones.
    func checkWatch(_ range: KeyRange, after known: Revision, told revision: Revision, _ events: [KVEvent]) -> String? {
        guard revision > known else { return "a watch repeats \(revision), it was at \(known)" }
        if let complaint = checkProgress(range, after: known, through: Revision(revision.rawValue - 1)) {
            return complaint
        }
        let offset = Int(clamping: revision.rawValue) - 2
        guard offset < history.count else { return "a watch tells \(revision), which nobody wrote" }
        let right = history[offset].filter { range.contains($0.current.key) }
        return right == events ? nil : "a watch tells \(events.count) events of \(revision), not \(right.count)"
    }

    /// What a watch is told to be gone was there once.
    func checkFloor(_ floor: Revision) -> String? {
        floor <= last.next ? nil : "a watch is told that \(floor) is gone, the last one is \(last)"
    }

    /// Nothing that the watcher should have been told is in between.
    func checkProgress(_ range: KeyRange, after known: Revision, through revision: Revision) -> String? {
        var next = max(known.rawValue + 1, 2)
        while next <= revision.rawValue {
            let offset = Int(clamping: next) - 2
            guard offset < history.count else { return "a watch is told that \(revision) is complete, nobody wrote it" }
            if history[offset].contains(where: { range.contains($0.current.key) }) {
                return "a watch at \(known) is at \(revision) next, and missed \(next)"
            }
            next += 1
        }
        return nil
    }
}
