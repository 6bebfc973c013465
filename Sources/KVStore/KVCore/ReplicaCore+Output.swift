// From Raft's `Ready` to the shell's output: messages and saves, then what is committed is applied; and who leads.
import Raft

extension ReplicaCore {
    /// What is to be done now; nil when nothing is. Ask until nil after every batch of inputs.
    package mutating func takeOutput() -> ReplicaOutput? {
        guard versions.fault == nil else { return nil }
        appliedWork = 0
        dispatchProposals()
        dispatchReads()
        applyCommitted()
        while let ready = raft.takeReady() {
            obey(ready)
            // What others and the disk wait for goes out before more is applied.
            if ready.save != nil || (hasMoreToApply && !output.messages.isEmpty) { break }
            applyCommitted()
        }
        noteLeadership()
        guard !output.isEmpty else { return nil }
        defer { output = ReplicaOutput() }
        return output
    }

    private mutating func obey(_ ready: Ready) {
        for message in ready.messages { send(message) }
        if let save = ready.save { note(save) }
        committed.entries += ready.committed
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
        troubles.forget()
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
        committed.drop()
        guard let state = staged else { return }
        staged = nil
        self.state = state
        self.state.window.limit(revisions: limits.windowRevisionsMax, bytes: limits.windowBytesMax)
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
