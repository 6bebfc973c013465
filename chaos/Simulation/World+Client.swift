// What clients do, and how hosts serve them.

import KVCore
import Raft

extension World {
    /// Begins the next operation.
    mutating func act(_ client: Int) {
        guard clients[client].current == nil else { return }
        clients[client].serial += 1
        let key = Int(below(UInt64(Request.keys)))
        let request = Request(
            client: client, serial: clients[client].serial, key: key, kind: pickKind(client, key),
            host: pickHost(client))
        clients[client].current = request
        clients[client].begun = now
        clients[client].floor = checker.oracle.top
        checker.oracle.begin(request)
        schedule(.request(request), after: 50, 1_000)
        queue.add(.giveUp(client: client, serial: request.serial), at: now + Simulation.patienceMicroseconds)
    }

    private mutating func pickKind(_ client: Int, _ key: Int) -> Request.Kind {
        if let lease = clients[client].lease {
            clients[client].lease = nil
            nextValue += 1
            return .lend(value: nextValue, lease: lease)
        }
        if let lease = clients[client].held, !isHealed, chance(150) { return chance(150) ? revoke(lease) : keep(lease) }
        guard chance(600) else { return .read }
        nextValue += 1
        if chance(60), !isHealed { return grant(nextValue) }
        if chance(250) {
            return .swap(
                value: nextValue, expected: checker.oracle.lastWrite(of: Key([107, UInt8(truncatingIfNeeded: key)])))
        }
        let fence: Term? = chance(100) ? hosts.compactMap { $0.life?.raft.term }.randomElement(using: &random) : nil
        return .put(value: nextValue, fence: fence)
    }

    /// Its time cannot run out before it was asked for.
    private mutating func grant(_ lease: UInt64) -> Request.Kind {
        let ttl = between(100, 3_000)
        checker.oracle.leases.ask(lease, ttlMilliseconds: ttl, now: now)
        return .grant(lease: lease, ttlMilliseconds: Int64(ttl))
    }

    private mutating func keep(_ lease: UInt64) -> Request.Kind {
        checker.oracle.leases.beginKeep(lease)
        return .keep(lease: lease)
    }

    private mutating func revoke(_ lease: UInt64) -> Request.Kind {
        checker.oracle.leases.beginRevoke(lease)
        clients[position(ofHolder: lease)].held = nil
        return .revoke(lease: lease)
    }

    private func position(ofHolder lease: UInt64) -> Int { clients.firstIndex { $0.held == lease } ?? 0 }

    private mutating func pickHost(_ client: Int) -> Int {
        if let hint = clients[client].hint, chance(800) { return hint }
        if isHealed,
            let members = hosts.lazy.compactMap(\.life).first(where: { $0.raft.isLeader })?.raft.configuration.peers,
            let member = members.randomElement(using: &random)
        {
            return position(of: member)
        }
        return Int(below(UInt64(hosts.count)))
    }

    /// The same wish at another host, under a new value: the old one must never be executed.
    private mutating func tryAgain(_ request: Request) {
        report.count(.retries)
        if let value = request.value { fail(checker.oracle.refuse(value)) }
        var next = request
        next.tries += 1
        next.host = pickHost(request.client)
        nextValue += 1
        switch request.kind {
        case .put(_, let fence): next.kind = .put(value: nextValue, fence: fence)
        case .swap(_, let expected): next.kind = .swap(value: nextValue, expected: expected)
        case .lend(_, let lease): next.kind = .lend(value: nextValue, lease: lease)
        case .grant: next.kind = grant(nextValue)
        case .read, .keep, .revoke: break
        }
        checker.oracle.begin(next)
        clients[request.client].current = next
        schedule(.request(next), after: 2_000, 30_000)
    }

    mutating func giveUp(_ client: Int, serial: UInt64) {
        guard clients[client].current?.serial == serial else { return }
        report.count(.unknownOutcomes)
        clients[client].hint = nil
        endOperation(client)
    }

    private mutating func endOperation(_ client: Int) {
        clients[client].current = nil
        if isHealed && !isAnyFlipped && clients[client].writesHealed >= Simulation.writesToRecover { return }
        schedule(.act(client: client), after: 100, 20_000)
    }

    mutating func take(_ reply: Reply) {
        let request = reply.request, client = request.client
        guard let current = clients[client].current, current.serial == request.serial, current.value == request.value
        else { return }
        clients[client].hint = request.host
        if case .refused = reply.outcome {
            clients[client].hint = nil
            return tryAgain(request)
        }
        fail(judge(reply, floor: clients[client].floor))
        endOperation(client)
    }

    private mutating func judge(_ reply: Reply, floor: Revision) -> String? {
        switch reply.outcome {
        case .written(let revision):
            report.count(.writes)
            if isHealed { clients[reply.request.client].writesHealed += 1 }
            if case .lend(_, let lease) = reply.request.kind { clients[reply.request.client].held = lease }
            return checker.oracle.acknowledge(reply.request, at: revision)
        case .unchanged, .fenced:
            if case .fenced = reply.outcome { report.count(.fencedWrites) } else { report.count(.failedGuards) }
            return reply.request.value.flatMap { checker.oracle.refuse($0) }
        case .value(let value, let revision):
            report.count(.reads)
            return checker.oracle.observe(reply.request, value: value, at: revision, floor: floor)
        case .unknown: report.count(.unknownOutcomes)
        case .granted:
            report.count(.leases)
            if case .grant(let lease, _) = reply.request.kind { clients[reply.request.client].lease = lease }
        case .kept:
            report.count(.leasesKept)
            guard case .keep(let lease) = reply.request.kind else { return "kept alive for nothing" }
            checker.oracle.leases.prolong(lease, begun: clients[reply.request.client].begun)
        case .revoked: report.count(.leasesRevoked)
        case .leaseGone: return judgeGone(reply.request)
        case .refused: break
        }
        return nil
    }

    private mutating func judgeGone(_ request: Request) -> String? {
        switch request.kind {
        case .lend(let value, let lease):
            return checker.oracle.refuse(value) ?? checker.oracle.leases.end(Request.leaseID(lease), now: now)
        case .keep(let lease), .revoke(let lease):
            clients[request.client].held = nil
            return checker.oracle.leases.end(Request.leaseID(lease), now: now)
        case .put, .swap, .read, .grant: return "a lease was needed for nothing"
        }
    }
}

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
        if planted == .readsWithoutRound, case .read = request.kind, life.raft.isLeader {
            return answer(request, show(request, life.core.view))
        }
        life.lastTicket += 1
        let ticket = Ticket(rawValue: life.lastTicket)
        life.waiting.append(.init(ticket: ticket, request: request))
        if let command = request.command {
            var fence: Term?
            if case .put(_, let term) = request.kind, planted != .noFencing { fence = term }
            life.core.propose(ticket, command, fence: fence)
        } else if case .keep(let lease) = request.kind {
            life.core.keepAlive(ticket, Request.leaseID(lease))
        } else {
            life.core.read(ticket)
        }
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
        case .success(.txn(let result)): answer(request, result.succeeded ? .written(result.revision) : .unchanged)
        case .success(.fenced): answer(request, .fenced)
        case .success(.lease): answer(request, .granted)
        case .success(.kept(let rest)): answer(request, rest.first ?? 0 > 0 ? .kept : .leaseGone)
        case .success(.done): answer(request, .revoked)
        case .success(.refused(.leaseNotFound)): answer(request, .leaseGone)
        case .success(let outcome): fail("a write's outcome is \(outcome)")
        case .failure(.unknownOutcome): answer(request, .unknown)
        case .failure(.noLeader), .failure(.overloaded): answer(request, .refused)
        case .failure(let failure): fail("a write fails with \(failure)")
        }
    }

    mutating func finish(_ ticket: Ticket, _ failure: ReplicaFailure?, at position: Int) {
        guard let request = takeWaiting(ticket, at: position), let view = hosts[position].life?.core.view else {
            return
        }
        guard failure == nil else { return answer(request, .refused) }
        answer(request, show(request, view))
    }

    private func show(_ request: Request, _ view: KVView) -> Reply.Outcome {
        .value(view.get(request.storeKey).map { Request.decode($0.value) } ?? 0, view.revision)
    }
}
