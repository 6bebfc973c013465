// Events at hosts: messages, ticks, finished writes, boots; and the obedience to what a replica wants done.

import KVCore
import Raft

extension World {
    /// Performs an event; answers the host it touched.
    mutating func handle(_ event: Event) -> Int? {
        switch event {
        case .deliver(let delivery): return deliver(delivery)
        case .tick(let host, let life): return tick(host, life)
        case .diskDone(let host, let life): return finishWrite(host, life)
        case .maintain(let host): return maintain(host)
        case .restart(let host): return restart(host)
        case .hint(let host, let lost): return hint(host, lost: lost)
        case .request(let request): return serve(request)
        case .fault: injectFault()
        case .ambush(let host): ambush(host)
        case .heal(let number): mend(number)
        case .act(let client): act(client)
        case .reply(let reply): take(reply)
        case .giveUp(let client, let serial): giveUp(client, serial: serial)
        }
        return nil
    }

    private mutating func restart(_ position: Int) -> Int? {
        guard hosts[position].life == nil else { return nil }
        report.count(.restarts)
        boot(position)
        return position
    }

    mutating func boot(_ position: Int) {
        let seed = random.next()
        hosts[position].boot(seed: seed, now: now)
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

    private mutating func deliver(_ delivery: Delivery) -> Int? {
        let to = position(of: delivery.to), from = position(of: delivery.from)
        guard hosts[to].life != nil, !network.isCut(from: from, to: to) else {
            report.count(.messagesLost)
            return nil
        }
        if isPaused(to, .deliver(delivery)) { return nil }
        report.count(.messagesDelivered)
        do throws(DecodeError) {
            let message = try PeerMessage(decoding: delivery.bytes)
            if keepsTrace { note("\(delivery.from) -> \(delivery.to) \(message)") }
            hosts[to].life?.core.receive(message, from: delivery.from)
        } catch { fail("a message does not survive its byte form") }
        drain(to)
        return to
    }

    private mutating func tick(_ position: Int, _ life: Int) -> Int? {
        guard hosts[position].life != nil, hosts[position].lives == life else { return nil }
        if isPaused(position, .tick(host: position, life: life)) { return nil }
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
        hosts[position].life?.diskBusy = false
        let wasFlipped = hosts[position].life?.isFlipped == true
        switch hosts[position].disk.finish() {
        case .save(let save):
            if save.state != nil { report.count(.snapshotsInstalled) }
            hosts[position].life?.core.saved(save.raft.id)
        case .state(let changes): hosts[position].life?.core.stateDurable(at: changes.counters.applied.index)
        case .compact, nil: break
        }
        if wasFlipped, hosts[position].life?.isFlipped == false { report.count(.repairedStates) }
        drain(position)
        writeNext(position)
        return position
    }

    /// The shell's housekeeping: the state database follows in batches.
    private mutating func maintain(_ position: Int) -> Int? {
        schedule(.maintain(host: position), after: 50_000, 1_500_000)
        guard hosts[position].pausedUntil <= now, hosts[position].life?.core.hasUnsavedState == true,
            let changes = hosts[position].life?.core.takeStateChanges()
        else { return nil }
        begin(.state(changes), position)
        drain(position)
        return position
    }

    private mutating func hint(_ position: Int, lost: PeerID) -> Int? {
        guard hosts[position].life != nil, hosts[position].pausedUntil <= now else { return nil }
        report.count(.hints)
        if keepsTrace { note("hint at \(hosts[position].id): \(lost) is gone") }
        hosts[position].life?.core.connectionLost(to: lost)
        drain(position)
        return position
    }
}

extension World {
    /// Tells the time and does everything that the replica wants, as the shell does. What watches tell comes before the
    /// answers: the oracle learns from them.
    mutating func drain(_ position: Int) {
        let clock = hosts[position].clock(at: now)
        hosts[position].life?.core.advance(to: clock)
        while let output = hosts[position].life?.core.takeOutput() {
            for envelope in output.messages { send(envelope, from: position) }
            if let save = output.save { begin(.save(save), position) }
            for notice in output.notices { watched(notice, at: position) }
            for outcome in output.outcomes { finish(outcome.ticket, outcome.result, at: position) }
            for read in output.reads { finish(read.ticket, read.failure, at: position) }
            if let index = output.compactLog { compact(position, to: index) }
            for alarm in output.alarms { note(alarm, at: position) }
        }
    }

    private mutating func note(_ alarm: StateAlarm, at position: Int) {
        guard case .diverged = alarm else { return fail("host \(hosts[position].id): no majority agrees on a state") }
        report.count(.fencedStates)
    }

    private mutating func compact(_ position: Int, to index: LogIndex) {
        guard let term = hosts[position].life?.core.raft.term(at: index) else {
            return fail("compacted beyond the log")
        }
        report.count(.compactions)
        begin(.compact(to: EntryID(index: index, term: term)), position)
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

    /// Everybody watches everything: in order, once, without a gap.
    private mutating func watched(_ notice: WatchNotice, at position: Int) {
        guard var life = hosts[position].life, notice.watch == life.watch else { return fail("a notice for nobody") }
        switch notice.delivery {
        case .events(let revision, let events):
            if revision != life.watched.next {
                fail("host \(life.core.id): watch tells \(revision) after \(life.watched)")
            }
            fail(checker.oracle.tell(revision, events, now: now))
            life.watched = revision
        case .progress(let revision):
            if revision != life.watched {
                fail("host \(life.core.id): watch at \(life.watched) is told that \(revision) is complete")
            }
        case .reset:
            life.watch = WatchID(rawValue: life.watch.rawValue + 1)
            life.core.watch(life.watch, .all, after: life.watched)
        case .compacted:
            report.count(.resyncs)
            life.watch = WatchID(rawValue: life.watch.rawValue + 1)
            life.watched = life.core.state.revision
            life.core.watch(life.watch, .all, after: life.watched)
        }
        hosts[position].life = life
    }

    private mutating func send(_ envelope: Envelope, from position: Int) {
        if case .raft(let message) = envelope.message { fail(checker.noteSent(message)) }
        if case .snapshotChunk(let chunk) = envelope.message {
            // A majority cannot tell any more who is right when a wrong state has been handed on.
            if hosts[position].life?.isFlipped == true { return report.count(.messagesLost) }
            if chunk.sequence == 0 { report.count(.snapshotChunks) }
        }
        let to = self.position(of: envelope.to)
        guard hosts.indices.contains(to), !network.isCut(from: position, to: to), !chance(network.quality.loss) else {
            return report.count(.messagesLost)
        }
        let delivery = Delivery(from: hosts[position].id, to: envelope.to, bytes: envelope.message.encode())
        let copies = chance(network.quality.duplication) ? 2 : 1
        if copies > 1 { report.count(.messagesDuplicated) }
        for _ in 0..<copies { transmit(delivery) }
    }

    private mutating func transmit(_ delivery: Delivery) {
        var delay = between(network.quality.delayMin, network.quality.delayMax)
        if chance(network.quality.late) {
            report.count(.messagesLate)
            delay += below(network.quality.lateMax)
        }
        queue.add(.deliver(delivery), at: now + delay)
    }
}
