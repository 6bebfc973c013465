// What clients do, and what they make of the answers.

import KVCore
import Raft

extension World {
    /// Begins the next operation.
    mutating func act(_ client: Int) {
        guard clients[client].current == nil else { return }
        clients[client].serial += 1
        let kind = pickKind(client)
        let request = Request(
            client: client, serial: clients[client].serial, kind: kind, host: pickHost(client, kind))
        clients[client].current = request
        clients[client].begun = now
        clients[client].floor = checker.oracle.top
        clients[client].compacted = checker.oracle.compacted
        checker.oracle.begin(request)
        schedule(.request(request), after: 50, 1_000)
        queue.add(.giveUp(client: client, serial: request.serial), at: now + Simulation.patienceMicroseconds)
    }

    private mutating func pickHost(_ client: Int, _ kind: Request.Kind) -> Int {
        if clients[client].errands.first == .follow, case .read = kind, let follower = pickFollower() {
            return follower
        }
        if let hint = clients[client].hint, chance(800) { return hint }
        if isHealed,
            let members = hosts.lazy.compactMap(\.life).first(where: { $0.raft.isLeader })?.raft.configuration.peers,
            let member = members.randomElement(using: &random)
        {
            return position(of: member)
        }
        return Int(below(UInt64(hosts.count)))
    }

    /// Somebody with data who is up and does not lead.
    private mutating func pickFollower() -> Int? {
        guard let leader = leaders.first, let members = hosts[leader].life?.raft.configuration else { return nil }
        let others = hosts.indices.filter { other in
            other != leader && other != gone && !hosts[other].isWitness && members.contains(hosts[other].id)
        }
        return others.randomElement(using: &random)
    }

    /// The same wish at another host, under a new number: the old one must never be executed.
    private mutating func tryAgain(_ request: Request) {
        report.count(.retries)
        if let value = request.value { fail(checker.oracle.refuse(value)) }
        var next = request
        next.tries += 1
        next.host = pickHost(request.client, request.kind)
        nextValue += 1
        switch request.kind {
        case .deal(let deal, let fence): next.kind = .deal(deal.renamed(nextValue), fence: fence)
        case .lend(let deal, let lease): next.kind = .lend(deal.renamed(nextValue), lease: lease)
        case .grant: next.kind = grant(nextValue)
        case .read, .keep, .revoke, .compact: break
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
        if isHealed && !isAnyFlipped && clients[client].errands.isEmpty && !clients[client].isBusy { return }
        schedule(.act(client: client), after: 100, 20_000)
    }

    mutating func take(_ reply: Reply) {
        let request = reply.request, client = request.client
        guard let current = clients[client].current, current.serial == request.serial, current.value == request.value
        else { return }
        report.mix(reply.outcome.kind)
        clients[client].hint = request.host
        if case .refused = reply.outcome {
            clients[client].hint = nil
            return tryAgain(request)
        }
        fail(judge(reply, clients[client]))
        endOperation(client)
    }
}

// MARK: Answers

extension World {
    private mutating func judge(_ reply: Reply, _ client: Client) -> String? {
        let request = reply.request
        switch reply.outcome {
        case .txn(let result):
            count(result)
            finish(.write, of: request.client)
            if case .lend(_, let lease) = request.kind { clients[request.client].held = lease }
            return request.deal.flatMap { checker.oracle.acknowledge($0, result, floor: client.floor) }
        case .fenced:
            report.count(.fencedWrites)
            return request.value.flatMap { checker.oracle.refuse($0) }
        case .shown, .compacted, .future: return judgeRead(reply, client)
        case .done:
            report.count(.clientCompactions)
            if case .compact(let revision) = request.kind { checker.oracle.compact(to: revision) }
        case .unknown: report.count(.unknownOutcomes)
        case .granted:
            report.count(.leases)
            if case .grant(let lease, _) = request.kind { clients[request.client].lease = lease }
        case .kept:
            report.count(.leasesKept)
            guard case .keep(let lease) = request.kind else { return "kept alive for nothing" }
            clients[request.client].isKept = true
            checker.oracle.leases.prolong(lease, begun: clients[request.client].begun)
        case .revoked:
            report.count(.leasesRevoked)
            finish(.lease, of: request.client)
        case .leaseGone: return judgeGone(request)
        case .refused: break
        }
        return nil
    }

    private mutating func finish(_ errand: Errand, of client: Int) {
        if clients[client].errands.first == errand { clients[client].errands.removeFirst() }
    }

    private mutating func count(_ result: TxnResult) {
        report.count(.writes)
        if !result.succeeded { report.count(.failedGuards) }
        if result.results.count > 1 { report.count(.transactions) }
        for case .delete(let count, _) in result.results where count > 0 { report.count(.deletions) }
    }

    private mutating func judgeRead(_ reply: Reply, _ client: Client) -> String? {
        let request = reply.request
        guard case .read(let reading) = request.kind else {
            // Somebody was faster.
            guard case .compact(let wanted) = request.kind else { return "\(reply.outcome) for no read" }
            guard case .compacted(let floor) = reply.outcome, floor >= wanted else {
                return "a compaction to \(wanted) answers \(reply.outcome)"
            }
            checker.oracle.compact(to: floor)
            return nil
        }
        switch reply.outcome {
        case .shown(let result, let revision):
            report.count(reading.isSerializable ? .localReads : reading.past == nil ? .reads : .pastReads)
            if reading.keys.count > 1 { report.count(.rangeReads) }
            if clients[request.client].errands.first == .follow, !reading.isSerializable {
                if hosts[request.host].life?.raft.isLeader == false { report.count(.followerReads) }
                finish(.follow, of: request.client)
            }
            return checker.oracle.observe(reading, result, at: revision, client)
        case .compacted(let floor):
            report.count(.compactedReads)
            return checker.oracle.refusePast(reading.past ?? .zero, below: floor)
        default: return "\(reading) answers \(reply.outcome)"
        }
    }

    private mutating func judgeGone(_ request: Request) -> String? {
        switch request.kind {
        case .lend(let deal, let lease):
            return checker.oracle.refuse(deal.value) ?? checker.oracle.leases.end(Request.leaseID(lease), now: now)
        case .keep(let lease), .revoke(let lease):
            clients[request.client].held = nil
            return checker.oracle.leases.end(Request.leaseID(lease), now: now)
        case .deal, .read, .grant, .compact: return "a lease was needed for nothing"
        }
    }
}
