// Watches: one of everything on each host, from which the oracle learns; and clients' watches of parts, which move from
// host to host and resume where they were.

import KVCore
import Raft

/// A client that follows a range of keys, wherever it finds a host.
struct Watcher {
    let range: KeyRange
    /// It knows everything up to here.
    var known = Revision(1)
    var host: Int?
    var watch = WatchID(rawValue: 0)
    /// Told in this step; judged at its end, when the oracle knows the revision.
    var told: [WatchDelivery] = []

    /// Of two keys or three, the last one.
    var last: Key?

    /// Everything, one key, or some.
    static func some(_ number: Int, keys: Int) -> Watcher {
        let first = number % (keys - 2)
        switch number % 6 {
        case 0: return Watcher(range: .all)
        case 1, 4: return Watcher(range: KeyRange(Request.key(number % keys)))
        case 2: return Watcher(range: KeyRange(lower: Request.key(2), upper: Request.key(Request.lentKeys + 8)))
        case 3:
            let last = first + 1 + number / 6 % 2
            let range = KeyRange(lower: Request.key(first), upper: Request.key(last + 1))
            return Watcher(range: range, last: Request.key(last))
        default:
            let prefix = Key(Array(Request.key(0).bytes.prefix(1)))
            return Watcher(
                range: number / 6 % 2 == 0 ? .prefix(prefix) : KeyRange(lower: Request.key(first), upper: nil))
        }
    }
}

extension World {
    /// Goes to some host, and watches on from where it was.
    mutating func rewatch(_ number: Int, isMove: Bool) -> Int? {
        if isMove { schedule(.rewatch(number, isMove: true), after: 200_000, 3_000_000) }
        if !isMove && watchers[number].host != nil { return nil }
        // After the faults each must hear of everything where it is.
        if isHealed, let host = watchers[number].host, isMember(host) { return nil }
        unwatch(number)
        let members = isHealed ? hosts.indices.filter { isMember($0) && $0 != gone && !hosts[$0].isWitness } : []
        let position = members.randomElement(using: &random) ?? Int(below(UInt64(hosts.count)))
        guard let life = hosts[position].life, hosts[position].pausedUntil <= now, !hosts[position].isWitness else {
            return nil
        }
        guard let after = replay(number, at: position, life) else {
            schedule(.rewatch(number, isMove: false), after: 20_000, 200_000)
            return nil
        }
        life.lastWatch += 1
        let watch = WatchID(rawValue: life.lastWatch)
        life.watchers[watch] = number
        watchers[number].host = position
        watchers[number].watch = watch
        life.core.watch(watch, watchers[number].range, after: after)
        report.count(.watchesResumed)
        drain(position)
        return position
    }

    /// As `Replica.replay`: what memory has forgotten and nobody compacted is read from the database, and then the watch
    /// goes on in memory, after the answer; nil where the database is behind, or cannot be read. Some take what memory
    /// tells them instead.
    private mutating func replay(_ number: Int, at position: Int, _ life: Host.Life) -> Revision? {
        let state = life.core.state, floor = state.window.floor
        var next = watchers[number].known
        if planted == .windowHidesFloor { return max(next, floor) }
        guard next < floor, next.rawValue >= state.compactRevision.rawValue - 1, chance(700) else { return next }
        while next < floor {
            guard let items = hosts[position].disk.history(after: next, through: floor) else { return nil }
            guard let first = items.first, let last = items.last else {
                guard next < hosts[position].disk.writtenRevision else {
                    report.count(.watchesBehindDisk)
                    return nil
                }
                return watchers[number].known
            }
            // A snapshot brought less.
            guard first.revision == next.next else { return watchers[number].known }
            report.count(.watchesFromDisk)
            for item in items {
                let events = item.events.filter { watchers[number].range.contains($0.current.key) }
                guard !events.isEmpty else { continue }
                watchers[number].told.append(known(.events(revision: item.revision, events), life))
                toldWatchers.insert(number)
            }
            next = last.revision
        }
        return next
    }

    private func isMember(_ position: Int) -> Bool {
        leaders.contains { hosts[$0].life?.raft.configuration.contains(hosts[position].id) == true }
    }

    private mutating func unwatch(_ number: Int) {
        guard let host = watchers[number].host else { return }
        watchers[number].host = nil
        hosts[host].life?.watchers[watchers[number].watch] = nil
        hosts[host].life?.core.cancel(watchers[number].watch)
    }

    /// The host is gone, and with it everybody's watches.
    mutating func forgetWatchers(of position: Int) {
        for number in watchers.indices where watchers[number].host == position {
            watchers[number].host = nil
            schedule(.rewatch(number, isMove: false), after: 1_000, 50_000)
        }
    }

    mutating func watched(_ notice: WatchNotice, at position: Int) {
        guard let life = hosts[position].life else { return }
        if let number = life.watchers[notice.watch] {
            guard let delivery = filtered(known(notice.delivery, life), watchers[number]) else { return }
            return mistaken(delivery, at: position) { world, delivery in
                world.watchers[number].told.append(delivery)
                world.toldWatchers.insert(number)
            }
        }
        guard notice.watch == life.watch else { return fail("a notice for nobody") }
        learn(notice.delivery, at: position)
    }

    /// What a flipped bit did is told, too, while nobody knows of it.
    private func known(_ delivery: WatchDelivery, _ life: Host.Life) -> WatchDelivery {
        guard life.isFlipped, case .events(let revision, let events) = delivery else { return delivery }
        return .events(revision: revision, events.filter { $0.current.key != StateMachine.flippedKey })
    }

    /// A hub that forgets the end of a range.
    private func filtered(_ delivery: WatchDelivery, _ watcher: Watcher) -> WatchDelivery? {
        guard planted == .filterMissesLast, case .events(let revision, let events) = delivery else { return delivery }
        let rest = events.filter { $0.current.key != watcher.last }
        return rest.isEmpty ? nil : .events(revision: revision, rest)
    }

    /// A hub that loses or repeats an event after a compaction.
    private mutating func mistaken(
        _ delivery: WatchDelivery, at position: Int, _ pass: (inout World, WatchDelivery) -> Void
    ) {
        let isMistaken = planted == .dropsEvent || planted == .repeatsEvent || planted == .forgetsWatch
        guard isMistaken, case .events = delivery,
            let life = hosts[position].life,
            life.core.state.compactRevision > life.compactSeen
        else { return pass(&self, delivery) }
        hosts[position].life?.compactSeen = life.core.state.compactRevision
        if planted == .forgetsWatch {
            pass(&self, delivery)
            if let watch = life.watchers.keys.min(), chance(300) { hosts[position].life?.core.cancel(watch) }
            return
        }
        if planted == .repeatsEvent { for _ in 0..<2 { pass(&self, delivery) } }
    }

    /// Everything, in order, once, without a gap.
    private mutating func learn(_ delivery: WatchDelivery, at position: Int) {
        guard let life = hosts[position].life else { return }
        switch delivery {
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
        case .tooMany, .reset, .ended: watchAgain(life)
        case .compacted:
            report.count(.resyncs)
            learnUntold(life)
            life.watched = life.core.state.revision
            watchAgain(life)
        }
    }

    /// It may be the first one to have applied the latest of what this watch passes over.
    private mutating func learnUntold(_ life: Host.Life) {
        guard let items = life.core.snapshot.recent(after: checker.oracle.last) else { return }
        for item in items {
            guard case .events(let revision, let events) = known(.events(revision: item.revision, item.events), life)
            else { continue }
            fail(checker.oracle.tell(revision, events, now: now))
        }
    }

    private func watchAgain(_ life: Host.Life) {
        life.lastWatch += 1
        life.watch = WatchID(rawValue: life.lastWatch)
        life.core.watch(life.watch, .all, after: life.watched)
    }

    /// At the end of a step.
    mutating func judgeWatchers() {
        guard !toldWatchers.isEmpty else { return }
        for number in toldWatchers.sorted() {
            let told = watchers[number].told
            watchers[number].told = []
            for delivery in told { judge(delivery, number) }
        }
        toldWatchers = []
    }

    private mutating func judge(_ delivery: WatchDelivery, _ number: Int) {
        let watcher = watchers[number]
        switch delivery {
        case .events(let revision, let events):
            report.count(.watchedEvents, events.count)
            fail(checker.oracle.checkWatch(watcher.range, after: watcher.known, told: revision, events))
            watchers[number].known = revision
        case .progress(let revision):
            report.count(.bookmarks)
            if revision < watcher.known { fail("a watch at \(watcher.known) goes back to \(revision)") }
            fail(checker.oracle.checkProgress(watcher.range, after: watcher.known, through: revision))
            watchers[number].known = max(watcher.known, revision)
        case .tooMany, .reset, .ended: restart(number)
        case .compacted(let floor):
            report.count(.resyncs)
            report.count(.watchesTooLate)
            if watcher.known >= floor { fail("a watch at \(watcher.known) is told that only \(floor) is gone") }
            fail(checker.oracle.checkFloor(floor))
            // It reads everything anew.
            watchers[number].known = watcher.host.flatMap { hosts[$0].life?.core.state.revision } ?? watcher.known
            restart(number)
        }
    }

    private mutating func restart(_ number: Int) {
        if let host = watchers[number].host { hosts[host].life?.watchers[watchers[number].watch] = nil }
        watchers[number].host = nil
        schedule(.rewatch(number, isMove: false), after: 1_000, 50_000)
    }
}
