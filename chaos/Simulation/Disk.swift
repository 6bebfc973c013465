// The twin of a peer's storage: writes become durable in order and late; a crash keeps what was durable, and perhaps some of
// what was under way, from the oldest on.

import Raft

/// What survives a crash, and what is on its way there.
struct Disk {
    enum Operation {
        case save(Save, state: Machine?)
        /// The state machine's state, as one atomic write.
        case checkpoint(Machine)
        case compact(to: EntryID)
    }
    private(set) var hardState = HardState()
    private(set) var base = EntryID.zero
    private(set) var entries: [Entry] = []
    private(set) var state: Machine
    private(set) var pending: [Operation] = []

    init(configuration: Configuration) { state = Machine(configuration: configuration) }

    mutating func begin(_ operation: Operation) { pending.append(operation) }

    /// The oldest write becomes durable.
    mutating func finish() -> Operation? {
        guard !pending.isEmpty else { return nil }
        let operation = pending.removeFirst()
        perform(operation)
        return operation
    }

    /// A power cut after `survivors` of the writes under way. Answers how many are lost.
    mutating func crash(survivors: Int) -> Int {
        for _ in 0..<min(survivors, pending.count) { _ = finish() }
        defer { pending = [] }
        return pending.count
    }

    private mutating func perform(_ operation: Operation) {
        switch operation {
        case .save(let save, let installed):
            if let metadata = save.snapshot, let installed {
                state = installed
                base = metadata.id
                entries = []
            }
            if let first = save.entries.first {
                entries.removeLast(max(0, entries.count - Int(first.index.distance(after: base.index)) + 1))
                entries += save.entries
            }
            hardState = save.hardState
        case .checkpoint(let machine): state = machine
        case .compact(let id):
            let count = Int(id.index.distance(after: base.index))
            guard count > 0, count <= entries.count else { return }
            entries.removeFirst(count)
            base = id
        }
    }

    /// The entry is here for good, by itself or as part of the state.
    func holds(_ id: EntryID) -> Bool {
        if id.index <= base.index || id.index <= state.applied { return true }
        let offset = Int(id.index.distance(after: base.index)) - 1
        return offset < entries.count && entries[offset].term == id.term
    }

    /// What a peer finds at start. State ahead of the log resets the log.
    var restored: Restored {
        let last = entries.last?.index ?? base.index
        if state.applied > last || state.applied < base.index {
            return Restored(hardState: hardState, snapshot: state.metadata, base: state.metadata.id, entries: [])
        }
        return Restored(hardState: hardState, snapshot: state.metadata, base: base, entries: entries)
    }

    mutating func resetLogBehindState() {
        let last = entries.last?.index ?? base.index
        guard state.applied > last else { return }
        base = state.metadata.id
        entries = []
    }
}
