// Messages between hosts: lost, repeated, late, held up, or through; and what mistaken peers make of them.

import KVCore
import Raft

extension World {
    mutating func send(_ original: Envelope, from position: Int) {
        let envelope = mistaken(original)
        if case .raft(let message) = envelope.message {
            fail(checker.noteSent(message))
            checkPreVote(message, from: position)
        }
        if planted == .guessesVersions, case .understands = envelope.message,
            hosts[position].understands == EntryFormat.oldest
        {
            return
        }
        if case .snapshotChunk(let chunk) = envelope.message {
            // A majority cannot tell any more who is right when a wrong state has been handed on: somebody restarts it.
            if hosts[position].life?.isFlipped == true {
                doomed = position
                return report.count(.messagesLost)
            }
            report.count(chunk.sequence == 0 ? .snapshotTransfers : .snapshotPieces)
        }
        if isDropped(envelope) { return }
        // Somebody who wants to change the members waits until the one that lost all is out.
        if case .change = envelope.message, isAnyEmptied { return report.count(.messagesLost) }
        if case .snapshotAnswer(_, nil) = envelope.message {
            report.count(.snapshotsCutOff)
        }
        let to = self.position(of: envelope.to)
        guard hosts.indices.contains(to), hosts[to].id == envelope.to, !network.isCut(from: position, to: to),
            !chance(network.quality.loss)
        else { return report.count(.messagesLost) }
        let delivery = Delivery(from: hosts[position].id, to: envelope.to, bytes: envelope.message.encode())
        let copies = chance(network.quality.duplication) ? 2 : 1
        if copies > 1 { report.count(.messagesDuplicated) }
        for _ in 0..<copies { transmit(delivery, from: position, to: to) }
    }

    private mutating func transmit(_ delivery: Delivery, from: Int, to: Int) {
        var delay = between(network.quality.delayMin, network.quality.delayMax)
        if chance(network.quality.late) {
            report.count(.messagesLate)
            delay += below(network.quality.lateMax)
        }
        let free = network.freeAt(from: from, to: to)
        if free > now { report.count(.messagesClogged) }
        queue.add(.deliver(delivery), at: max(now, free) + delay)
    }

    mutating func deliver(_ delivery: Delivery) -> Int? {
        let to = position(of: delivery.to), from = position(of: delivery.from)
        guard hosts[to].life != nil, hosts[to].id == delivery.to, !network.isCut(from: from, to: to) else {
            report.count(.messagesLost)
            return nil
        }
        if isPaused(to, .deliver(delivery)) { return nil }
        hosts[to].life?.core.tell(hosts[to].clock(at: now))
        report.count(.messagesDelivered)
        do throws(DecodeError) {
            var message = try PeerMessage(decoding: delivery.bytes)
            if keepsTrace { note("\(delivery.from) -> \(delivery.to) \(message)") }
            if case .raft(let inner) = message {
                if case .preVote(let last) = inner.body { preVotes[to] = (inner.from, last) }
                if let planted { message = .raft(mistake(inner, planted, at: to)) }
            }
            hosts[to].life?.core.wake(at: hosts[to].clock(at: now))
            hosts[to].life?.core.receive(message, from: delivery.from)
        } catch { fail("a message does not survive its byte form") }
        drain(to)
        return to
    }

    /// A pre-vote is given only to a log that is as long (Raft thesis §9.6).
    private mutating func checkPreVote(_ message: Message, from position: Int) {
        guard case .preVoteResponse(granted: true) = message.body, planted != .ignoresLogInVotes,
            let asked = preVotes[position],
            asked.peer == message.to, let raft = hosts[position].life?.raft
        else { return }
        let last = EntryID(index: raft.lastIndex, term: raft.term(at: raft.lastIndex) ?? .zero)
        guard last.term > asked.last.term || (last.term == asked.last.term && last.index > asked.last.index) else {
            return
        }
        fail("host \(raft.id) gave a pre-vote to \(asked.peer) at \(asked.last), and is at \(last) itself")
    }

    private func mistake(_ message: Message, _ planted: PlantedBug, at position: Int) -> Message {
        var message = message
        let longest = EntryID(index: LogIndex(counterMax), term: message.term)
        switch (planted, message.body) {
        case (.ignoresLogInVotes, .vote(_, let isTransfer)): message.body = .vote(last: longest, isTransfer: isTransfer)
        case (.ignoresLogInVotes, .preVote), (.ignoresLogInPreVotes, .preVote): message.body = .preVote(last: longest)
        case (.countsStaleVotes, .voteResponse(granted: true)):
            if let raft = hosts[position].life?.raft, raft.leadership.role == .candidate { message.term = raft.term }
        case (.countsEchoes, .heartbeatResponse(let round)):
            message.body = .heartbeatResponse(round: ReadRound.giving(round))
        case (.readsBeforeApplied, .readIndexResponse(let context, _)):
            message.body = .readIndexResponse(context: context, index: .zero)
        case (.trustsOldCopies, .heartbeat(let commit, let round)):
            message.body = .heartbeat(commit: min(commit, hosts[position].lastIndex ?? commit), round: round)
        case (.trustsOldCopies, .commit(let commit)):
            message.body = .commit(min(commit, hosts[position].lastIndex ?? commit))
        default: break
        }
        return message
    }
}
