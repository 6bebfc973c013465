// All controllers of a master: caches that are warm from start to stop, and loops that act between activate and
// deactivate. Whoever follows Raft's leadership calls these; nothing here decides who leads.

import API
import Synchronization

/// The controllers of one master.
package final class ControllerGroup: Sendable {
    private struct Term {
        var task: Task<Void, Never>?
        var number = 0
    }
    private let caches: Caches
    private let collector: GarbageCollector
    private let loops: Controllers
    private let options: ControllerOptions
    private let recorder: EventRecorder
    private let term = Mutex(Term())

    /// `client` reads for the caches; it carries no fence and is never written through.
    package init(client: any ObjectClient, options: ControllerOptions) {
        caches = Caches(client)
        collector = GarbageCollector(client, options.served)
        loops = Controllers(caches, collector, options)
        recorder = EventRecorder(component: "controllermanager", now: options.now)
        self.options = options
    }

    /// Begins to fill the caches.
    package func start() {
        caches.start()
        loops.connect()
    }

    /// Ends for good.
    package func stop() {
        deactivate()
        caches.stop()
        collector.stop()
    }

    /// This master leads: acts through `client`, which carries the fence of this term. Returns at once.
    package func activate(client: any ObjectClient) {
        let session = Session(client: client, recorder: recorder, component: "", now: options.now)
        let lease = LeaderLease(name: "kube-controller-manager", holder: options.identity, now: options.now)
        term.withLock { term in
            term.task?.cancel()
            term.number += 1
            let number = term.number
            term.task = Task { await self.run(session, lease, number) }
        }
    }

    /// This master no longer leads.
    package func deactivate() {
        term.withLock { term in
            term.task?.cancel()
            term.task = nil
            term.number += 1
            loops.deactivate()
        }
    }

    private func run(_ session: Session, _ lease: LeaderLease, _ number: Int) async {
        await caches.waitForSync()
        let isCurrent = term.withLock { term in
            guard term.number == number else { return false }
            loops.activate(session)
            return true
        }
        guard isCurrent else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await lease.run(session.client) }
            group.addTask { await self.loops.collect(session) { self.term.withLock { $0.number == number } } }
            await group.waitForAll()
        }
    }
}
