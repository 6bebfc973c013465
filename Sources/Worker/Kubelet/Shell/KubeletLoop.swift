// The one loop that owns the node's pods: it drains a mailbox, feeds NodePods, and starts what NodePods decides.
// Effects run as tasks and answer into the mailbox; nothing else touches the state. It never waits for an effect.
import API
import Logging
import Synchronization

package final class KubeletLoop: Sendable {
    /// Far above what pods, probes and relists can have under way together.
    package static let mailboxMax = 1 << 16

    enum Message: Sendable {
        case news(PodNews)
        /// An object that a volume shows.
        case changed(ObjectName)
        case seen([String: PodSeen], epochs: [String: UInt64])
        case lookFailed(String)
        case outcome(uid: String, PodAction, PodOutcome)
        case statusWritten(uid: String, JSON?)
        case wake
        case look
        case ask(@Sendable (borrowing NodePods) -> Void)
    }

    private let executor: PodExecutor
    private let writer: PodStatusWriter
    private let logger: Logger
    private let relistEvery: Nanoseconds
    private let mailbox: AsyncStream<Message>
    private let post: AsyncStream<Message>.Continuation
    /// Figures for the metrics, kept up to date by the loop.
    private let figures = Mutex(KubeletFigures())
    /// When the runtime last showed all pods.
    private let seenAt = Mutex<Nanoseconds?>(nil)

    private let onHostPorts: @Sendable ([HostPort]) -> Void

    package init(
        executor: PodExecutor, relistEvery: Nanoseconds, logger: Logger,
        onHostPorts: @escaping @Sendable ([HostPort]) -> Void = { _ in }
    ) {
        self.executor = executor
        self.onHostPorts = onHostPorts
        self.logger = logger
        self.relistEvery = relistEvery
        writer = PodStatusWriter(client: executor.client)
        (mailbox, post) = AsyncStream.makeStream(of: Message.self, bufferingPolicy: .bufferingOldest(Self.mailboxMax))
    }

    /// When the runtime last showed all pods; nil before the first time.
    package var lookedAt: Nanoseconds? { seenAt.withLock { $0 } }

    package var counts: KubeletFigures { figures.withLock { $0 } }

    package func tell(_ news: PodNews) { post.yield(.news(news)) }
    /// Looks at the runtime now instead of at the next second.
    package func look() { post.yield(.look) }

    /// Reads the state between two messages.
    package func ask<Answer: Sendable>(_ question: @escaping @Sendable (borrowing NodePods) -> Answer) async -> Answer?
    {
        await withCheckedContinuation { continuation in
            let result = post.yield(.ask { continuation.resume(returning: question($0)) })
            if case .enqueued = result { return }
            continuation.resume(returning: nil)
        }
    }

    /// What the loop itself must remember between messages.
    private struct State {
        var pods: NodePods
        var starts: [String: Task<Void, Never>] = [:]
        var timer: Task<Void, Never>?
        var timerAt: Nanoseconds = .max
        var isLooking = false
        var lookAgain = false
        var lookedAt: Nanoseconds = 0
        /// As last told; nil before the first time.
        var hostPorts: [HostPort]?
    }

    /// Runs until the task is cancelled; what runs on the node keeps running.
    package func run() async {
        var state = State(pods: NodePods(hostIPs: executor.configuration.nodeIPs))
        executor.objects.onChange { [post] in post.yield(.changed($0)) }
        let ticker = Task { [post, relistEvery] in
            while !Task.isCancelled {
                post.yield(.look)
                do { try await Task.sleep(for: .nanoseconds(relistEvery)) } catch { return }
            }
        }
        defer {
            ticker.cancel()
            executor.objects.follow([])
            state.timer?.cancel()
            for task in state.starts.values { task.cancel() }
        }
        for await message in mailbox {
            if Task.isCancelled { return }
            handle(message, &state)
        }
    }

    package func stop() { post.finish() }

    private func handle(_ message: Message, _ state: inout State) {
        let now = Clock.now()
        switch message {
        case .news(let news): take(news, now, &state)
        case .changed(let object): state.pods.changed(object)
        case .outcome(let uid, let action, let outcome): take(uid, action, outcome, now, &state)
        case .statusWritten(let uid, let written): state.pods.statusWritten(uid, written, now: now)
        case .seen(let seen, let epochs): observed(seen, epochs, now, &state)
        case .lookFailed(let why):
            state.isLooking = false
            logger.debug("the runtime does not show its pods", metadata: ["error": "\(why)"])
        case .look: return look(now, &state)
        case .wake: state.timerAt = .max
        case .ask(let question): return question(state.pods)
        }
        decide(now, &state)
    }

    private func take(_ news: PodNews, _ now: Nanoseconds, _ state: inout State) {
        switch news {
        case .all(let pods): state.pods.sync(pods, now: now)
        case .changed(let pod): state.pods.upsert(pod, now: now)
        case .gone(let uid): state.pods.remove(uid: uid)
        }
        executor.objects.follow(state.pods.shownObjects)
    }

    private func take(
        _ uid: String, _ action: PodAction, _ outcome: PodOutcome, _ now: Nanoseconds, _ state: inout State
    ) {
        if case .startContainer(let name, _, _) = action { state.starts["\(uid)/\(name)"] = nil }
        let context = state.pods.context(uid, now: now)
        for event in state.pods.finished(uid, outcome, now: now) {
            if let context { start(event, context, &state) }
        }
    }

    private func observed(
        _ seen: [String: PodSeen], _ epochs: [String: UInt64], _ now: Nanoseconds, _ state: inout State
    ) {
        state.isLooking = false
        seenAt.withLock { $0 = now }
        state.pods.observe(seen, epochs: epochs, now: now)
        figures.withLock { $0.count(seen) }
        if state.lookAgain {
            state.lookAgain = false
            look(now, &state)
        }
    }

    private func look(_ now: Nanoseconds, _ state: inout State) {
        if state.isLooking {
            state.lookAgain = true
            return
        }
        state.isLooking = true
        state.lookedAt = now
        let epochs = state.pods.epochs
        Task { [executor, post] in
            do throws(RuntimeError) {
                post.yield(.seen(try await executor.observer.look(), epochs: epochs))
            } catch {
                post.yield(.lookFailed(error.rpcDescription))
            }
        }
    }

    private func decide(_ now: Nanoseconds, _ state: inout State) {
        let decision = state.pods.decide(now: now)
        for (context, action) in decision.actions {
            if case .startContainer = action { figures.withLock { $0.startedContainers += 1 } }
            start(action, context, &state)
        }
        for (pod, known, status) in decision.statuses { write(pod, known, status) }
        tellHostPorts(&state)
        if let wakeAt = decision.wakeAt, wakeAt < state.timerAt { setTimer(wakeAt, now, &state) }
    }

    /// Not before API and runtime were both heard: what leads to pods now stays meanwhile.
    private func tellHostPorts(_ state: inout State) {
        guard state.pods.isSynced, lookedAt != nil else { return }
        let ports = state.pods.hostPorts
        guard ports != state.hostPorts else { return }
        state.hostPorts = ports
        onHostPorts(ports)
    }

    private func setTimer(_ wakeAt: Nanoseconds, _ now: Nanoseconds, _ state: inout State) {
        state.timer?.cancel()
        state.timerAt = wakeAt
        guard wakeAt != .max else { return }
        let pause = max(1_000_000, wakeAt &- now)
        state.timer = Task { [post] in
            do { try await Task.sleep(for: .nanoseconds(pause)) } catch { return }
            post.yield(.wake)
        }
    }

    private func start(_ action: PodAction, _ context: PodContext, _ state: inout State) {
        let uid = context.spec.uid
        if case .cancelStart(let name) = action {
            state.starts["\(uid)/\(name)"]?.cancel()
            return
        }
        let task = Task { [executor, post] in
            let outcome = await executor.run(action, context)
            if outcome != .none { post.yield(.outcome(uid: uid, action, outcome)) }
        }
        if case .startContainer(let name, _, _) = action { state.starts["\(uid)/\(name)"] = task }
    }

    private func write(_ pod: JSON, _ known: JSON, _ status: JSON) {
        Task { [writer, post, logger] in
            do throws(StatusError) {
                post.yield(.statusWritten(uid: pod.uid, try await writer.write(pod, known: known, status)))
            } catch {
                // A pod that is gone has no status any more; the watch will say so.
                if error.isNotFound { return post.yield(.statusWritten(uid: pod.uid, status)).ignored }
                logger.debug(
                    "a pod's status is not written",
                    metadata: ["pod": "\(pod.namespace)/\(pod.name)", "error": "\(error)"])
                post.yield(.statusWritten(uid: pod.uid, nil))
            }
        }
    }
}

extension AsyncStream.Continuation.YieldResult {
    /// For places where the result says nothing new.
    var ignored: Void { () }
}
