// What clients do, and how hosts serve them.

import Raft

extension World {
    /// Begins the next operation.
    mutating func act(_ client: Int) {
        guard clients[client].current == nil else { return }
        clients[client].serial += 1
        let key = Int(below(UInt64(Machine.keys)))
        var kind = Request.Kind.read
        if chance(600) {
            let fence: Term? = chance(100) ? hosts.compactMap { $0.life?.raft.term }.randomElement(using: &random) : nil
            kind = .put(value: nextValue, fence: fence)
            nextValue += 1
        }
        let request = Request(client: client, serial: clients[client].serial, key: key, kind: kind, host: pickHost(client))
        clients[client].current = request
        clients[client].floor = checker.oracle.floor(of: key)
        schedule(.request(request), after: 50, 1_000)
        queue.add(.giveUp(client: client, serial: request.serial), at: now + Simulation.patienceMicroseconds)
    }

    private mutating func pickHost(_ client: Int) -> Int {
        if let hint = clients[client].hint, chance(800) { return hint }
        return Int(below(UInt64(hosts.count)))
    }

    /// The same operation at another host; only when it was certainly not done.
    private mutating func tryAgain(_ request: Request) {
        guard clients[request.client].current?.serial == request.serial else { return }
        report.count(.retries)
        var next = request
        next.host = pickHost(request.client)
        clients[request.client].current = next
        schedule(.request(next), after: 2_000, 30_000)
    }

    mutating func giveUp(_ client: Int, serial: UInt64) {
        guard clients[client].current?.serial == serial else { return }
        report.count(.unknownOutcomes)
        endOperation(client)
    }

    private mutating func endOperation(_ client: Int) {
        clients[client].current = nil
        schedule(.act(client: client), after: 100, 20_000)
    }

    mutating func take(_ reply: Reply) {
        let request = reply.request, client = request.client
        guard clients[client].current?.serial == request.serial else { return }
        switch (reply.outcome, request.kind) {
        case (.refused(let leader), _):
            clients[client].hint = leader.map { position(of: $0) }
            return tryAgain(request)
        case (.written, .put(let value, _)):
            report.count(.writes)
            if isHealed { clients[client].writesHealed += 1 }
            let floor = clients[client].floor
            fail(checker.oracle.acknowledge(request, value: value, floor: floor))
        case (.value(let value), .read):
            report.count(.reads)
            let floor = clients[client].floor
            fail(checker.oracle.observe(request, value: value, floor: floor))
        case (.fenced, _): report.count(.fencedWrites)
        default: fail("an answer of another kind")
        }
        clients[client].hint = request.host
        endOperation(client)
    }
}

extension World {
    /// A request arrives at a host.
    mutating func serve(_ request: Request) -> Int? {
        let position = request.host
        guard hosts[position].life != nil else {
            answer(request, .refused(leader: nil))
            return nil
        }
        if hosts[position].pausedUntil > now {
            queue.add(.request(request), at: hosts[position].pausedUntil)
            return nil
        }
        switch request.kind {
        case .put(let value, let fence): propose(request, value: value, fence: fence)
        case .read: read(request)
        }
        drain(position)
        return position
    }

    private mutating func propose(_ request: Request, value: UInt64, fence: Term?) {
        let proposal = Proposal(Command(key: request.key, value: value).encode(), fence: fence)
        do {
            guard let appended = try hosts[request.host].life?.raft.propose([proposal]) else { return }
            let id = EntryID(index: appended.first, term: appended.term)
            hosts[request.host].life?.writes.append(.init(appended: id, request: request))
        } catch {
            answer(request, .refused(leader: hosts[request.host].life?.raft.leader))
        }
    }

    private mutating func read(_ request: Request) {
        guard var life = hosts[request.host].life else { return }
        life.lastRead += 1
        let id = ReadID(life.lastRead)
        do {
            try life.raft.readIndex(id)
            life.reads.append(.init(id: id, request: request))
        } catch {
            answer(request, .refused(leader: nil))
        }
        hosts[request.host].life = life
    }

    /// An answer may get lost like any message; the client then gives up some day.
    private mutating func answer(_ request: Request, _ outcome: Reply.Outcome) {
        if chance(network.quality.loss / 2) { return }
        schedule(.reply(Reply(request: request, outcome: outcome)), after: 50, 1_000)
    }

    mutating func answerWrites(_ entry: Entry, at position: Int) {
        guard let writes = hosts[position].life?.writes, let first = writes.first, first.appended.index <= entry.index else { return }
        for write in writes where write.appended.index == entry.index {
            if write.appended.term != entry.term {
                report.count(.lostProposals)
                answer(write.request, .refused(leader: nil))
            } else {
                answer(write.request, entry.isFenced ? .fenced : .written)
            }
        }
        hosts[position].life?.writes.removeAll { $0.appended.index <= entry.index }
    }

    mutating func finish(_ result: ReadResult, at position: Int) {
        guard let offset = hosts[position].life?.reads.firstIndex(where: { $0.id == result.id }) else { return }
        if let index = result.index {
            hosts[position].life?.reads[offset].index = index
        } else if let read = hosts[position].life?.reads.remove(at: offset) {
            answer(read.request, .refused(leader: nil))
        }
    }

    mutating func serveReads(_ position: Int) {
        guard let life = hosts[position].life, !life.reads.isEmpty else { return }
        for read in life.reads {
            guard let index = read.index, index <= life.machine.applied else { continue }
            answer(read.request, .value(life.machine.slots[read.request.key].value))
        }
        let applied = life.machine.applied
        hosts[position].life?.reads.removeAll { $0.index.map { $0 <= applied } ?? false }
    }
}
