// The scheduler's shell: informers feed the core on every master; while this master leads, decisions are carried out as
// bindings, many at once, through the client that carries the fence of the term. It decides nothing itself.

import API
import Synchronization

/// The scheduler's settings.
package struct SchedulerOptions: Sendable {
    /// The master's name, shown as holder of the Lease `kube-scheduler`.
    package var identity: String
    /// Pods with this `spec.schedulerName` are scheduled.
    package var name = "default-scheduler"
    /// Bindings and refusals under way at once.
    package var writesMax = 128
    /// Milliseconds since 1970.
    package var now: @Sendable () -> Int64

    package init(identity: String, now: @escaping @Sendable () -> Int64 = { Int64(Timestamp.nowSeconds() * 1000) }) {
        self.identity = identity
        self.now = now
    }
}

/// Finds nodes for pods.
package final class SchedulerLoop: Sendable {
    private struct State {
        var core: SchedulerCore
        var random = SystemRandomNumberGenerator()
        var client: (any ObjectClient)?
        /// Raised with every change of leadership; what an older one left behind is ignored.
        var term = 0
        var writes = 0
        var timer: Int64 = Int64.max
        var task: Task<Void, Never>?
    }

    private let options: SchedulerOptions
    private let pods: Informer<SchedulingPod>
    private let nodes: Informer<SchedulingNode>
    private let namespaces: Informer<[String: String]>
    private let recorder: EventRecorder
    private let state: Mutex<State>

    /// `client` reads for the caches; it carries no fence and is never written through.
    package init(client: any ObjectClient, options: SchedulerOptions) {
        self.options = options
        pods = Informer(client, InformerScope(.pods)) { SchedulingPod($0) }
        nodes = Informer(client, InformerScope(.nodes)) { SchedulingNode($0) }
        namespaces = Informer(client, InformerScope(.namespaces)) { $0.labels }
        recorder = EventRecorder(component: options.name, host: "\(options.name)-\(options.identity)", now: options.now)
        state = Mutex(State(core: SchedulerCore(name: options.name)))
        connect()
    }

    /// Begins to fill the caches.
    package func start() {
        nodes.start()
        namespaces.start()
        pods.start()
    }

    /// Ends for good.
    package func stop() {
        deactivate()
        pods.stop()
        nodes.stop()
        namespaces.stop()
    }

    /// This master leads: binds through `client`, which carries the fence of this term. Returns at once.
    package func activate(client: any ObjectClient) {
        let lease = LeaderLease(name: "kube-scheduler", holder: options.identity, now: options.now)
        state.withLock { state in
            state.task?.cancel()
            state.term += 1
            state.core.reset()
            state.writes = 0
            state.timer = Int64.max
            let term = state.term
            state.task = Task { await self.lead(client, lease, term) }
        }
    }

    /// This master no longer leads: assumptions are void.
    package func deactivate() {
        state.withLock { state in
            state.task?.cancel()
            state.task = nil
            state.client = nil
            state.term += 1
            state.core.reset()
        }
    }

    private func lead(_ client: any ObjectClient, _ lease: LeaderLease, _ term: Int) async {
        await nodes.waitForSync()
        await namespaces.waitForSync()
        await pods.waitForSync()
        state.withLock { state in
            guard state.term == term else { return }
            state.client = client
            pump(&state)
        }
        await lease.run(client)
    }

    private func connect() {
        let now = options.now
        nodes.onChange { [weak self] change in
            self?.feed { core in
                switch change {
                case .added(_, let node), .updated(_, _, let node): core.apply(node: node, now: now())
                case .deleted(let name, _): core.removeNode(name)
                }
            }
        }
        namespaces.onChange { [weak self] change in
            self?.feed { core in
                switch change {
                case .added(let name, let labels), .updated(let name, _, let labels):
                    core.apply(namespace: name, labels: labels)
                case .deleted(let name, _): core.apply(namespace: name, labels: nil)
                }
            }
        }
        pods.onChange { [weak self] change in
            self?.feed { core in
                switch change {
                case .added(_, let pod): core.apply(pod: pod, now: now())
                case .updated(let key, let old, let pod):
                    if old.uid != pod.uid { core.removePod(key, now: now()) }
                    core.apply(pod: pod, now: now())
                case .deleted(let key, _): core.removePod(key, now: now())
                }
            }
        }
    }

    private func feed(_ change: (inout SchedulerCore) -> Void) {
        state.withLock { state in
            change(&state.core)
            pump(&state)
        }
    }

    /// Decides as long as there is somebody to decide about and room for the write.
    private func pump(_ state: inout State) {
        guard let client = state.client else { return }
        let term = state.term
        let now = options.now()
        while state.writes < options.writesMax, let attempt = state.core.next(now: now, using: &state.random) {
            state.writes += 1
            Task { await self.carryOut(attempt, client, term) }
        }
        if state.writes < options.writesMax, let deadline = state.core.deadline() { wake(at: deadline, now, &state) }
    }

    private func wake(at deadline: Int64, _ now: Int64, _ state: inout State) {
        guard deadline < state.timer else { return }
        state.timer = deadline
        let term = state.term
        let wait = max(1, deadline &- now)
        Task {
            do { try await Task.sleep(for: .milliseconds(wait)) } catch { return }
            self.state.withLock { state in
                guard state.term == term, state.timer == deadline else { return }
                state.timer = Int64.max
                self.pump(&state)
            }
        }
    }

    private func carryOut(_ attempt: Attempt, _ client: any ObjectClient, _ term: Int) async {
        let outcome: Binding.Outcome
        switch attempt.decision {
        case .bind(let node): outcome = await Binding(attempt.pod, client, recorder, options.now()).bind(to: node)
        case .refuse(let message, let preemption):
            await Binding(attempt.pod, client, recorder, options.now()).refuse(message, preemption)
            outcome = .done
        }
        state.withLock { state in
            guard state.term == term else { return }
            state.writes -= 1
            switch outcome {
            case .done: break
            case .failed: state.core.bindingFailed(attempt.pod, now: options.now())
            case .gone: state.core.podIsGone(attempt.pod, now: options.now())
            }
            pump(&state)
        }
    }
}
