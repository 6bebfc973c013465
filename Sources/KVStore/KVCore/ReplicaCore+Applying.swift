// Committed entries become state here, in order, and nowhere else but by an installed snapshot. What takes long, as the
// deletion of a million keys, is executed aside: on a copy of the state that shares what it does not change, by a thread
// of the shell's, while this replica goes on to lead, to follow and to serve what was before. Entries behind it wait.
import Raft

/// A command on its way to be executed elsewhere.
package struct Execution: Sendable {
    let number: UInt64
    let state: StateMachine
    let entry: ReadEntry

    /// Takes long; on any thread. What comes of it is to be told to the replica.
    package func run() -> Executed {
        var state = state
        let applied = state.apply(entry)
        return Executed(number: number, state: state, applied: applied)
    }
}

/// What came of it.
package struct Executed: Sendable {
    let number: UInt64
    let state: StateMachine
    let applied: Applied
}

/// Entries that are committed and not applied. They share their bytes with the log, which keeps what is not applied and
/// has a limit of its own (`logBytesFullMax`).
struct CommittedEntries: Sendable {
    var entries: [Entry] = []
    /// Of the first one, while it is executed aside.
    var execution: UInt64?
    private var lastExecution: UInt64 = 0

    /// Another state takes the place of this one, or none ever will.
    mutating func drop() {
        entries = []
        execution = nil
    }

    mutating func nextExecution() -> UInt64 {
        lastExecution += 1
        execution = lastExecution
        return lastExecution
    }
}

extension ReplicaCore {
    /// Something is committed that can be applied at once. Whoever has others to answer may do that first: what is left
    /// comes with the next output.
    package var hasMoreToApply: Bool { committed.execution == nil && !committed.entries.isEmpty }

    mutating func applyCommitted() {
        guard hasMoreToApply else { return }
        let membersBefore = state.members
        var done = 0
        for entry in committed.entries {
            guard appliedWork < max(1, limits.applyWorkMax) else { break }
            guard understands(entry) else { return committed.drop() }
            let read = ReadEntry(entry), keys = state.work(read)
            if keys > limits.applyKeysMax {
                output.execution = Execution(number: committed.nextExecution(), state: state, entry: read)
                break
            }
            let noticesBefore = output.notices.count
            let applied = state.apply(read)
            note(applied, entry, isTick: read.isTick)
            appliedWork += 1 + keys + applied.events.count + output.notices.count - noticesBefore
            done += 1
            // Its own report may be the one that shows it to be wrong.
            if isFenced { break }
        }
        committed.entries.removeFirst(min(done, committed.entries.count))
        if done > 0 { endApplying(membersBefore) }
    }

    /// The shell has executed what it was given. An old one is dropped: its state was replaced meanwhile.
    package mutating func executed(_ done: Executed) {
        guard done.number == committed.execution, let entry = committed.entries.first else { return }
        let membersBefore = state.members
        committed.execution = nil
        committed.entries.removeFirst()
        state = done.state
        note(done.applied, entry)
        endApplying(membersBefore)
    }

    /// For simulations: what takes any result for the one it waits for.
    package mutating func executedBlindly(_ done: Executed) {
        guard done.state.appliedIndex != state.appliedIndex else { return }
        executed(Executed(number: committed.execution ?? done.number, state: done.state, applied: done.applied))
    }

    private mutating func note(_ applied: Applied, _ entry: Entry, isTick: Bool = false) {
        reportState(after: entry, isTick: isTick)
        changes.note(applied.events)
        if entry.kind == .configuration { output.hasNewMembers = true }
        if !applied.events.isEmpty { output.notices += hub.notices(state.revision, applied.events) }
        if let id = applied.id { settle(id, applied.outcome) }
    }

    private mutating func endApplying(_ membersBefore: [PeerID: Member]) {
        raft.applied(to: state.appliedIndex)
        output.hasNewState = true
        if state.members != membersBefore {
            output.hasNewMembers = true
            tellWitness()
        }
        grantReads()
    }
}
