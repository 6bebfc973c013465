// A data directory that begins with a state instead of with nothing: what a restored member starts from. The log begins
// behind the state, as after a snapshot from a leader.
import KVCore
import Raft

extension ReplicaDisk {
    /// Makes the directory's databases. Throws when there are some already.
    package static func begin(
        _ path: String, _ machine: StateMachine, _ configuration: Configuration, cluster: UInt64
    ) throws(DiskError) {
        let disk = try ReplicaDisk(path: path, initial: .empty, cluster: cluster)
        guard disk.isNew else { throw .failed("\(path) has data already") }
        try disk.state.install(machine, configuration)
        let applied = machine.counters.applied
        let hardState = HardState(term: applied.term, vote: nil, commit: applied.index)
        let snapshot = SnapshotMetadata(index: applied.index, term: applied.term, configuration: configuration)
        try disk.log.save([
            Save(id: SaveID(rawValue: 1), hardState: hardState, entries: [], snapshot: snapshot)
        ])
    }
}
