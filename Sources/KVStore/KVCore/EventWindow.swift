// The most recent changes, with the values they replaced: watches resume from it and past revisions are read by undoing it.
// Bounded in revisions and bytes; what falls out is only on disk. It never decides what the store holds now.

/// All the changes of one revision.
package struct RevisionEvents: Hashable, Sendable {
    package var revision: Revision
    package var events: [KVEvent]
    package init(revision: Revision, events: [KVEvent]) {
        self.revision = revision
        self.events = events
    }
    var bytes: Int { events.reduce(64) { $0 + $1.bytes } }
}

extension KVEvent {
    var bytes: Int { current.bytes + (previous?.bytes ?? 0) }
}

extension KeyValue {
    /// What the record is counted as against limits.
    package var bytes: Int { key.bytes.count + value.count + 96 }
}

/// Contiguous revisions `floor+1 ... last`.
package struct EventWindow: Sendable {
    package static let revisionsMaxDefault = 32_768
    package static let bytesMaxDefault = 32 << 20
    package var revisionsMax = EventWindow.revisionsMaxDefault
    package var bytesMax = EventWindow.bytesMaxDefault
    /// Changes after this revision are all here.
    package private(set) var floor: Revision
    package private(set) var bytes = 0
    private var items: [RevisionEvents] = []
    private var head = 0

    package init(floor: Revision) { self.floor = floor }

    package var count: Int { items.count - head }
    package var last: Revision { Revision(floor.rawValue + Int64(count)) }

    /// Adds the next revision; a gap would be a broken invariant of the state machine.
    package mutating func append(_ item: RevisionEvents) {
        precondition(item.revision == last.next, "window at \(last) was given \(item.revision)")
        items.append(item)
        bytes += item.bytes
        while count > 1, count > revisionsMax || bytes > bytesMax { dropFirst() }
        shrink()
    }

    /// Forgets changes at and below a revision.
    package mutating func drop(through revision: Revision) {
        while count > 0, items[head].revision <= revision { dropFirst() }
        if floor < revision, count == 0 { floor = revision }
        shrink()
    }

    /// Every revision after `revision`, oldest first; nil when some of them are gone.
    package func after(_ revision: Revision) -> ArraySlice<RevisionEvents>? {
        guard revision >= floor else { return nil }
        let skipped = Int(clamping: revision.rawValue - floor.rawValue)
        return items[min(items.count, head + skipped)...]
    }

    private mutating func dropFirst() {
        bytes -= items[head].bytes
        floor = items[head].revision
        items[head].events = []
        head += 1
    }

    private mutating func shrink() {
        guard head > 1024, head > items.count / 2 else { return }
        items.removeFirst(head)
        head = 0
    }
}
