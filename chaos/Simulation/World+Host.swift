// Events at hosts: messages, ticks, finished writes, boots; and the obedience to `Ready`.

import Raft

extension World {
    /// Performs an event; answers the host it touched.
    mutating func handle(_ event: Event) -> Int? {
        switch event {
        case .deliver(let envelope): return deliver(envelope)
        case .tick(let host, let life): return tick(host, life)
        case .diskDone(let host, let life): return finishWrite(host, life)
        case .maintain(let host): return maintain(host)
        case .restart(let host):
            guard hosts[host].life == nil else { return nil }
            report.count(.restarts)
            boot(host)
            return host
        case .hint(let host, let lost): return hint(host, lost: lost)
        case .fault:
            injectFault()
            return nil
        case .heal(let number):
            mend(number)
            return nil
        case .act(let client):
            act(client)
            return nil
        case .request(let request): return serve(request)
        case .reply(let reply):
            take(reply)
            return nil
        case .giveUp(let client, let serial):
            giveUp(client, serial: serial)
            return nil
        }
    }

    mutating func boot(_ position: Int) {
        let seed = random.next()
        hosts[position].boot(seed: seed)
        hosts[position].pausedUntil = 0
        if keepsTrace { note("boot \(hosts[position].id)") }
        schedule(.tick(host: position, life: hosts[position].lives), after: 1, Simulation.tickMicroseconds)
        schedule(.maintain(host: position), after: 50_000, 2_000_000)
        drain(position)
    }

    /// True when the host is frozen: the event comes again when it thaws.
    private mutating func isPaused(_ position: Int, _ event: Event) -> Bool {
        guard hosts[position].pausedUntil > now else { return false }
        queue.add(event, at: hosts[position].pausedUntil)
        return true
    }

    private mutating func deliver(_ envelope: Envelope) -> Int? {
        let to = position(of: envelope.message.to), from = position(of: envelope.message.from)
        guard hosts[to].life != nil, !network.isCut(from: from, to: to) else {
            report.count(.messagesLost)
            return nil
        }
        if isPaused(to, .deliver(envelope)) { return nil }
        report.count(.messagesDelivered)
        if envelope.state != nil { hosts[to].life?.arrived = envelope.state }
        if keepsTrace { note("\(envelope.message.from) -> \(envelope.message.to) term \(envelope.message.term) \(envelope.message.body)") }
        hosts[to].life?.raft.step(envelope.message)
        drain(to)
        return to
    }

    private mutating func tick(_ position: Int, _ life: Int) -> Int? {
        guard hosts[position].life != nil, hosts[position].lives == life else { return nil }
        if isPaused(position, .tick(host: position, life: life)) { return nil }
        hosts[position].life?.raft.tick()
        schedule(.tick(host: position, life: life), after: 9_500, 10_500)
        drain(position)
        return position
    }

    private mutating func finishWrite(_ position: Int, _ life: Int) -> Int? {
        guard hosts[position].life != nil, hosts[position].lives == life else { return nil }
        if isPaused(position, .diskDone(host: position, life: life)) { return nil }
        if hosts[position].stalledUntil > now {
            queue.add(.diskDone(host: position, life: life), at: hosts[position].stalledUntil)
            return nil
        }
        let operation = hosts[position].disk.finish()
        hosts[position].life?.diskBusy = false
        switch operation {
        case .save(let save, let installed):
            if let installed, save.snapshot != nil {
                hosts[position].life?.machine = installed
                report.count(.snapshotsInstalled)
            }
            hosts[position].life?.raft.saved(save.id)
        case .checkpoint(let machine): hosts[position].life?.raft.snapshotSaved(at: machine.applied)
        case .compact, nil: break
        }
        drain(position)
        return position
    }

    /// The shell's own housekeeping: a checkpoint of the state, and compaction of the log.
    private mutating func maintain(_ position: Int) -> Int? {
        schedule(.maintain(host: position), after: 100_000, 3_000_000)
        guard hosts[position].life != nil, hosts[position].pausedUntil <= now else { return nil }
        if chance(500), let machine = hosts[position].life?.machine {
            begin(.checkpoint(machine), position)
        } else if let raft = hosts[position].life?.raft, raft.snapshot.index > raft.compactIndex {
            let index = LogIndex(between(raft.compactIndex.rawValue, raft.snapshot.index.rawValue))
            compact(position, to: index)
        }
        drain(position)
        return position
    }

    private mutating func compact(_ position: Int, to index: LogIndex) {
        guard let new = hosts[position].life?.raft.compact(to: index),
              let term = hosts[position].life?.raft.term(at: new) else { return }
        report.count(.compactions)
        begin(.compact(to: EntryID(index: new, term: term)), position)
    }

    private mutating func hint(_ position: Int, lost: PeerID) -> Int? {
        guard hosts[position].life != nil, hosts[position].pausedUntil <= now else { return nil }
        report.count(.hints)
        if keepsTrace { note("hint at \(hosts[position].id): \(lost) is gone") }
        hosts[position].life?.raft.connectionLost(to: lost)
        drain(position)
        return position
    }
}

extension World {
    /// Obeys every `Ready`, in the order that its comment states.
    mutating func drain(_ position: Int) {
        while let ready = hosts[position].life?.raft.takeReady() {
            for message in ready.messages { send(message, from: position) }
            if let save = ready.save {
                let state = save.snapshot == nil ? nil : hosts[position].life?.arrived
                if let metadata = save.snapshot, state?.metadata != metadata { fail("a snapshot was accepted that never arrived") }
                begin(.save(save, state: state), position)
            }
            for entry in ready.committed { apply(entry, at: position) }
            if let last = ready.committed.last { hosts[position].life?.raft.applied(to: last.index) }
            for result in ready.reads { finish(result, at: position) }
            serveReads(position)
        }
        writeNext(position)
    }

    private mutating func begin(_ operation: Disk.Operation, _ position: Int) {
        hosts[position].disk.begin(operation)
        writeNext(position)
    }

    private mutating func writeNext(_ position: Int) {
        guard hosts[position].life?.diskBusy == false, !hosts[position].disk.pending.isEmpty else { return }
        hosts[position].life?.diskBusy = true
        let time = now + between(plan.diskMin, plan.diskMax)
        queue.add(.diskDone(host: position, life: hosts[position].lives), at: max(time, hosts[position].stalledUntil))
    }

    private mutating func apply(_ entry: Entry, at position: Int) {
        guard let before = hosts[position].life?.machine else { return }
        if entry.index != before.applied.next { fail("host \(hosts[position].id) applies \(entry.index) after \(before.applied)") }
        hosts[position].life?.machine.apply(entry)
        answerWrites(entry, at: position)
    }

    private mutating func send(_ message: Message, from position: Int) {
        fail(checker.noteSent(message))
        if case .installSnapshot(let asked) = message.body { return stream(message, asked: asked, from: position) }
        transmit(Envelope(message: message, state: nil), slow: 0)
    }

    /// The shell sends its durable state, which is never older than what was asked for.
    private mutating func stream(_ message: Message, asked: SnapshotMetadata, from position: Int) {
        let state = hosts[position].disk.state
        if state.applied < asked.index { fail("snapshot \(asked.index) was asked for, \(state.applied) is durable") }
        report.count(.snapshotsSent)
        var whole = message
        whole.body = .installSnapshot(state.metadata)
        let isLost = chance(network.quality.loss * 2) || network.isCut(from: position, to: self.position(of: message.to))
        if isLost { report.count(.snapshotsFailed) } else { transmit(Envelope(message: whole, state: state), slow: 20_000) }
        hosts[position].life?.raft.snapshotSent(to: message.to, succeeded: !isLost)
    }

    private mutating func transmit(_ envelope: Envelope, slow: UInt64) {
        let from = position(of: envelope.message.from), to = position(of: envelope.message.to)
        guard hosts.indices.contains(to), !network.isCut(from: from, to: to), !chance(network.quality.loss) else {
            return report.count(.messagesLost)
        }
        let copies = chance(network.quality.duplication) ? 2 : 1
        if copies > 1 { report.count(.messagesDuplicated) }
        for _ in 0..<copies {
            var delay = between(network.quality.delayMin, network.quality.delayMax) + slow
            if chance(network.quality.late) {
                report.count(.messagesLate)
                delay += below(network.quality.lateMax)
            }
            queue.add(.deliver(envelope), at: now + delay)
        }
    }
}
