// From Raft's `Ready` to the shell's output: apply what is committed, match outcomes with who waits, tell watchers, and
// see who leads. Applying is the only place where the state changes, but for the installation of a snapshot.
import Raft

extension ReplicaCore {
    /// What is to be done now; nil when nothing is. Ask until nil after every batch of inputs.
    package mutating func takeOutput() -> ReplicaOutput? {
        guard versions.fault == nil else { return nil }
        dispatchProposals()
        dispatchReads()
        while let ready = raft.takeReady() {
            let isEnough = ready.save != nil
            obey(ready)
            if isEnough { break }
        }
        noteLeadership()
        guard !output.isEmpty else { return nil }
        defer { output = ReplicaOutput() }
        return output
    }

    private mutating func obey(_ ready: Ready) {
        for message in ready.messages { send(message) }
        if let save = ready.save { note(save) }
        if !ready.committed.isEmpty { apply(ready.committed) }
        for read in ready.reads { answered(read) }
        if ready.leadership != nil { leadershipChanged() }
    }

    private mutating func send(_ message: Message) {
        if case .installSnapshot = message.body { return beginSnapshot(to: message.to) }
        output.messages.append(Envelope(to: message.to, .raft(message)))
    }

    private mutating func note(_ save: Save) {
        output.save = ReplicaSave(raft: save, state: save.snapshot == nil ? nil : staged)
        if save.snapshot != nil { installing = save.id }
    }

    private mutating func apply(_ entries: [Entry]) {
        let membersBefore = state.members
        for entry in entries {
            guard understands(entry) else { return }
            let applied = state.apply(entry)
            reportState()
            changes.note(applied.events)
            if entry.kind == .configuration { output.hasNewMembers = true }
            if !applied.events.isEmpty { output.notices += hub.notices(state.revision, applied.events) }
            if let id = applied.id { settle(id, applied.outcome) }
        }
        raft.applied(to: state.appliedIndex)
        output.hasNewState = true
        if state.members != membersBefore {
            output.hasNewMembers = true
            tellWitness()
        }
        grantReads()
    }

    private mutating func leadershipChanged() {
        let leadership = raft.leadership
        if leadership.leader == nil {
            leaderlessSince = leaderlessSince ?? now
        } else {
            leaderlessSince = nil
        }
        duties.leadershipChanged(leading: raft.isLeader ? raft.term : nil, logTime: state.logTime, now: now)
        agreement.forgetReports()
        versions.forget()
        shortage.forget(at: now)
        redispatch()
        if !raft.isLeader { endSenders() }
    }

    /// This replica leads only when it has applied its own first entry.
    private mutating func noteLeadership() {
        let leadership = raft.leadership
        var news = LeadershipNews.following(leadership.leader == id ? nil : leadership.leader)
        if leadership.role == .leader, let start = leadership.termStart, state.appliedIndex >= start {
            news = .leading(leadership.term)
        }
        guard news != reported else { return }
        reported = news
        output.leadership = news
    }

    /// A snapshot is durable: it is the state now.
    mutating func adoptInstalled() {
        installing = nil
        guard let state = staged else { return }
        staged = nil
        self.state = state
        statesInstalled += 1
        agreement.begin()
        toldState = state.appliedIndex
        if let told = toldMembers, told.index < state.appliedIndex { toldMembers = nil }
        output.notices += hub.reset()
        output.hasNewState = true
        output.hasNewMembers = true
        settleFromSession()
        grantReads()
    }
}
