// What the log's thread does in which order: saves, states that are installed, and the verdict that a state is wrong.
import KVCore
import KVDisk
import KVReplica
import Raft
import Synchronization
import Testing

private let members = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)])

private func save(_ id: UInt64, entry: UInt64) -> ReplicaSave {
    let hard = HardState(term: Term(1), vote: nil, commit: LogIndex(entry))
    let entry = Entry(term: Term(1), index: LogIndex(entry), data: [1])
    return ReplicaSave(raft: Save(id: SaveID(rawValue: id), hardState: hard, entries: [entry]))
}

/// The state of a leader that is at entry 9.
private func state(_ id: UInt64) -> ReplicaSave {
    var counters = StateCounters()
    counters.applied = EntryID(index: LogIndex(9), term: Term(1))
    let hard = HardState(term: Term(1), vote: nil, commit: LogIndex(9))
    let metadata = SnapshotMetadata(index: LogIndex(9), term: Term(1), configuration: members)
    return ReplicaSave(
        raft: Save(id: SaveID(rawValue: id), hardState: hard, entries: [], snapshot: metadata),
        state: StateMachine(
            counters: counters, records: OrderedTree(), leases: [], sessions: [], members: [], history: []))
}

@Suite struct LogWriterTests {
    /// Everything after the first save is given while that one is still being told of. Answers whether the next start
    /// believes the state.
    private func isBelieved(_ path: String, after steps: (LogWriter) -> Void) async throws -> Bool {
        let told = Mutex<[SaveID]>([]), mayGoOn = Mutex(false), failures = Mutex<[DiskError]>([])
        do {
            let disk = try ReplicaDisk(path: path, initial: members)
            let log = LogWriter(
                log: disk.log, state: disk.state, syncs: DurationHistogram(bounds: DurationHistogram.syncBounds),
                saved: { id, _, _ in
                    told.withLock { $0.append(id) }
                    while !mayGoOn.withLock({ $0 }) {}
                }, failed: { failure in failures.withLock { $0.append(failure) } })
            log.submit(save(1, entry: 1))
            try await eventually("the first save is told of") { told.withLock { !$0.isEmpty } }
            steps(log)
            log.submit(save(9, entry: 10))
            mayGoOn.withLock { $0 = true }
            try await eventually("the last save is told of") { told.withLock { $0.last == SaveID(rawValue: 9) } }
            try await eventually("the thread has ended") { log.end(isAbandoned: false) }
        }
        #expect(failures.withLock { $0 }.isEmpty)
        let disk = try ReplicaDisk(path: path, initial: .empty)
        #expect(disk.restored.entries.last?.index == LogIndex(10))
        return !disk.isStateDamaged
    }

    @Test func `a verdict condemns the state that it was about, and not the one that comes after it`() async throws {
        let path = temporaryDirectory()
        defer { removeTree(path) }
        let isNewOneBelieved = try await isBelieved(path + "/before") { log in
            log.distrustState()
            log.submit(state(2))
        }
        #expect(isNewOneBelieved)
        let isWrongOneBelieved = try await isBelieved(path + "/after") { log in
            log.submit(state(2))
            log.distrustState()
        }
        #expect(!isWrongOneBelieved)
    }
}
