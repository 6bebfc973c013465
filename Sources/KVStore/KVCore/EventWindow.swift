// The most recent changes, with the values they replaced: watches resume from it and past revisions are read by undoing
// it. Bounded in revisions and bytes; what falls out is only on disk. It never decides what the store holds now.

/// All the changes of one revision.
package struct RevisionEvents: Hashable, Sendable {
    package var revision: Revision
    package var events: [KVEvent]
    package init(revision: Revision, events: [KVEvent]) {
        self.revision = revision
        self.events = events
    }
    /// What it is counted as against the window's limit.
    package var bytes: Int { events.reduce(64) { $0 + $1.bytes } }

    /// The same in pieces of about so many bytes, in order: a deletion of everything carries every value.
    package func parts(bytesMax: Int) -> [RevisionEvents] {
        guard events.count > 1, bytes > bytesMax else { return [self] }
        var parts: [RevisionEvents] = []
        var part = RevisionEvents(revision: revision, events: [])
        var count = 0
        for event in events {
            if count > 0, count + event.bytes > bytesMax {
                parts.append(part)
                part.events = []
                count = 0
            }
            part.events.append(event)
            count += event.bytes
        }
        return parts + [part]
    }
}

extension [RevisionEvents] {
    /// A part of the last one's revision goes on with it.
    package mutating func join(_ item: RevisionEvents) {
        if let last = indices.last, self[last].revision == item.revision {
            self[last].events += item.events
        } else {
            append(item)
        }
    }
}

extension KVEvent {
    var bytes: Int { current.bytes + (previous?.bytes ?? 0) }
}

extension KeyValue {
    /// What the record is counted as against limits.
    package var bytes: Int { key.bytes.count + value.count + 96 }
}

/// Contiguous revisions `floor+1 ... last`, in small blocks, so that a copy that readers hold costs the writer one
/// block, not all.
package struct EventWindow: Sendable {
    package static let revisionsMaxDefault = 32_768
    package static let bytesMaxDefault = 16 << 20
    static let blockMax = 128
    private var revisionsMax = EventWindow.revisionsMaxDefault
    private var bytesMax = EventWindow.bytesMaxDefault
    /// Changes after this revision are all here.
    package private(set) var floor: Revision
    package private(set) var bytes = 0
    package private(set) var count = 0
    private var blocks: [[RevisionEvents]] = []
    /// How much of the first block is gone.
    private var head = 0
    /// Dropped at once by a compaction, freed one by one: giving back all of it takes longer than a write may wait.
    private var retired: [[RevisionEvents]] = []

    package init(floor: Revision) { self.floor = floor }

    package var last: Revision { Revision(floor.rawValue &+ Int64(count)) }

    /// Adds the next revision; a gap would be a broken invariant of the state machine.
    package mutating func append(_ item: RevisionEvents) { append(item, bytes: item.bytes) }

    /// `bytes`: the item's.
    mutating func append(_ item: RevisionEvents, bytes itemBytes: Int) {
        precondition(item.revision == last.next, "window at \(last) was given \(item.revision)")
        _ = retired.popLast()
        if blocks.isEmpty || blocks[blocks.count - 1].count >= Self.blockMax { blocks.append([]) }
        blocks[blocks.count - 1].append(item)
        count += 1
        bytes += itemBytes
        trim()
    }

    /// What does not fit any more is forgotten.
    package mutating func limit(revisions: Int, bytes: Int) {
        (revisionsMax, bytesMax) = (revisions, bytes)
        trim()
    }

    private mutating func trim() {
        while count > 1, count > revisionsMax || bytes > bytesMax { dropFirst() }
    }

    /// Forgets changes at and below a revision.
    package mutating func drop(through revision: Revision) {
        while count > 0, floor < revision {
            if let block = dropFirst() { retired.append(block) }
        }
        if floor < revision { floor = revision }
    }

    /// Every revision after `revision`, oldest first; nil when some of them are gone.
    package func after(_ revision: Revision) -> [RevisionEvents]? {
        guard revision >= floor else { return nil }
        let skipped = Int(clamping: revision.rawValue &- floor.rawValue)
        guard skipped < count else { return [] }
        var items: [RevisionEvents] = []
        items.reserveCapacity(count - skipped)
        let first = head + skipped
        for i in (first / Self.blockMax)..<blocks.count {
            let start = i == first / Self.blockMax ? first % Self.blockMax : 0
            items += blocks[i][start...]
        }
        return items
    }

    /// Answers a block of which nothing is left.
    @discardableResult
    private mutating func dropFirst() -> [RevisionEvents]? {
        bytes -= blocks[0][head].bytes
        floor = floor.next
        count -= 1
        head += 1
        guard head == blocks[0].count else { return nil }
        head = 0
        return blocks.removeFirst()
    }
}
