// How hosts serve clients, as the shell does: what is proposed, what is read once a read is granted, what is read as it
// is; and ways to get that wrong.

import KVCore
import KVDisk
import Raft

extension World {
    /// A request arrives at a host.
    mutating func serve(_ request: Request) -> Int? {
        let position = request.host
        guard hosts[position].life != nil else {
            answer(request, .refused)
            return nil
        }
        if hosts[position].pausedUntil > now {
            queue.add(.request(request), at: hosts[position].pausedUntil)
            return nil
        }
        pass(request, to: position)
        drain(position)
        return position
    }

    private mutating func pass(_ request: Request, to position: Int) {
        guard let life = hosts[position].life else { return }
        if case .read(let reading) = request.kind, reading.isSerializable { return serveLocally(request, position) }
        if planted == .readsWithoutRound, case .read = request.kind, life.raft.isLeader {
            return answer(request, show(request, position))
        }
        life.lastTicket += 1
        let ticket = Ticket(rawValue: life.lastTicket)
        life.waiting.append(.init(ticket: ticket, request: request))
        if let command = request.command {
            var fence: Term?
            if case .deal(_, let term) = request.kind, planted != .noFencing { fence = term }
            life.core.propose(ticket, mistaken(command, life.core.view), fence: fence)
        } else if case .keep(let lease) = request.kind {
            life.core.keepAlive(ticket, Request.leaseID(lease))
        } else {
            life.core.read(ticket)
        }
    }

    /// From what is there, unless it is known to be wrong. (Nobody knows yet what a flipped bit did.)
    private mutating func serveLocally(_ request: Request, _ position: Int) {
        guard let life = hosts[position].life, !hosts[position].isWitness else { return answer(request, .refused) }
        let isWrong = planted == .servesFenced ? false : life.core.isFenced
        guard !isWrong else { return answer(request, .refused) }
        let view = life.core.view
        if view.revision < life.shown { fail("host \(life.core.id) shows \(view.revision) after \(life.shown)") }
        life.shown = view.revision
        answer(request, show(request, position))
    }

    /// An answer may get lost like any message; the client then gives up some day.
    private mutating func answer(_ request: Request, _ outcome: Reply.Outcome) {
        if chance(network.quality.loss / 2) { return }
        schedule(.reply(Reply(request: request, outcome: outcome)), after: 50, 1_000)
    }

    private mutating func takeWaiting(_ ticket: Ticket, at position: Int) -> Request? {
        guard let offset = hosts[position].life?.waiting.firstIndex(where: { $0.ticket == ticket }) else {
            fail("host \(hosts[position].id): ticket \(ticket.rawValue) was answered twice")
            return nil
        }
        return hosts[position].life?.waiting.remove(at: offset).request
    }

    mutating func finish(_ ticket: Ticket, _ result: Result<Outcome, ReplicaFailure>, at position: Int) {
        guard ticket.rawValue & Simulation.ownTicket == 0, let request = takeWaiting(ticket, at: position) else {
            return
        }
        switch result {
        case .success(let outcome): answer(request, outcome, at: position)
        case .failure(.unknownOutcome): answer(request, .unknown)
        case .failure(.noLeader), .failure(.overloaded): answer(request, .refused)
        case .failure(.noSpace):
            report.count(.growthRefused)
            if now > lowUntil + Simulation.roomMicroseconds { fail("no room, and every disk has had it for long") }
            answer(request, .refused)
        case .failure(let failure): fail("a write fails with \(failure)")
        }
    }

    private mutating func answer(_ request: Request, _ outcome: Outcome, at position: Int) {
        switch outcome {
        case .txn(let result): answer(request, .txn(mistaken(result)))
        case .fenced: answer(request, .fenced)
        case .lease: answer(request, .granted)
        case .kept(let rest): answer(request, rest.first ?? 0 > 0 ? .kept : .leaseGone)
        case .done:
            if case .compact = request.kind { answer(request, .done) } else { answer(request, .revoked) }
        case .refused(.leaseNotFound): answer(request, .leaseGone)
        case .refused(.compacted(let floor)): answer(request, .compacted(floor))
        case .txnSettled, .refused: fail("a write's outcome is \(outcome)")
        }
    }

    mutating func finish(_ ticket: Ticket, _ failure: ReplicaFailure?, at position: Int) {
        guard let request = takeWaiting(ticket, at: position) else { return }
        guard failure == nil else { return answer(request, .refused) }
        answer(request, show(request, position))
    }

    private func show(_ request: Request, _ position: Int) -> Reply.Outcome {
        guard let life = hosts[position].life, case .read(let reading) = request.kind else { return .refused }
        guard let past = reading.past, planted != .readsPresentForPast else {
            let view = life.core.view
            return .shown(view.range(reading.range), reading.past ?? view.revision)
        }
        return show(reading, at: past, position, life)
    }

    /// As `Replica.view(at:)`: what memory does not have any more is read from the state database.
    private func show(_ reading: Reading, at revision: Revision, _ position: Int, _ life: Host.Life) -> Reply.Outcome {
        do throws(ReadError) {
            var past = try PastView(life.core.snapshot, at: revision, reading.range.range)
            let gone = Reply.Outcome.compacted(max(life.core.view.compactRevision, revision.next))
            while let through = past.needsThrough {
                guard let items = hosts[position].disk.history(after: past.seen, through: through) else {
                    return .refused
                }
                if items.isEmpty { return past.seen < hosts[position].disk.writtenRevision ? gone : .refused }
                for item in items where !past.add(item) { return gone }
            }
            guard let view = past.finish() else { return gone }
            return .shown(view.range(reading.range), revision)
        } catch {
            switch error {
            case .compacted(let floor): return .compacted(floor)
            case .future(let revision): return .future(revision)
            }
        }
    }
}

// MARK: Mistakes

extension World {
    private func mistaken(_ command: Command, _ view: KVView) -> Command {
        guard let planted, case .txn(var txn) = command else { return command }
        switch planted {
        case .guardsBeforeProposing where txn.compares.allSatisfy { holds($0, view) }: txn.compares = []
        case .losesSecondOperation where txn.success.count > 1: txn.success.remove(at: 1)
        case .deletesAllButLast: txn.success = txn.success.map { sparingLast($0, view) }
        default: return command
        }
        return .txn(txn)
    }

    private func holds(_ compare: Compare, _ view: KVView) -> Bool {
        guard case .modRevision(let expected) = compare.target else { return false }
        return view.get(compare.range.lower)?.modRevision ?? .zero == expected
    }

    private func sparingLast(_ op: Op, _ view: KVView) -> Op {
        guard case .delete(let range, let returnPrevious) = op else { return op }
        var last: Key?
        view.forEach(range) {
            last = $0.key
            return true
        }
        guard let last, last != range.lower else { return op }
        return .delete(KeyRange(lower: range.lower, upper: last), returnPrevious: returnPrevious)
    }

    /// The value that was there before the previous one.
    private func mistaken(_ result: TxnResult) -> TxnResult {
        guard planted == .answersWrongPrevious else { return result }
        var result = result
        result.results = result.results.map { one in
            guard case .put(var previous?) = one, previous.version > 1 else { return one }
            previous.version -= 1
            return .put(previous: previous)
        }
        return result
    }
}
