// When backends are probed: rarely while nobody waits, at once when a backend owes a client an answer for `silenceMax` or failed
// its last probe. Rounds follow one another, each asks every backend at the same time.
import NIOCore
import NIOPosix
import Synchronization

extension Balancer {
    /// Begins the rounds; more calls change nothing.
    func startProbing() {
        let isFirst = state.withLock { state in
            if case .none = state.round { return !state.isStopped }
            return false
        }
        if isFirst { startRound() }
    }

    /// A client's bytes went to a backend that owed nothing before: look again after `silenceMax`.
    func watchSilence() {
        state.withLock { state in
            guard !state.isWatching, !state.isStopped, probe != nil else { return }
            state.isWatching = true
            listenGroup.next().scheduleTask(in: configuration.silenceMax) { [self] in checkSilence() }
        }
    }

    private func checkSilence() {
        let bound = NIODeadline.now() - configuration.silenceMax
        let isSuspicious = state.withLock { state in
            let owed = state.sessions.values.compactMap(\.silence.owedSince)
            state.isWatching = false
            return owed.contains { $0 <= bound } ? true : owed.isEmpty ? false : nil
        }
        if isSuspicious == true { startRound() }
        if isSuspicious != false { watchSilence() }
    }

    /// Probes now, unless a round is under way.
    func startRound() {
        let backends: [Backend]? = state.withLock { state in
            guard !state.isStopped else { return nil }
            switch state.round {
            case .running: return nil
            case .waiting(let next): next.cancel()
            case .none: break
            }
            state.round = .running
            return state.table.backends
        }
        guard let backends else { return }
        Task { await self.run(backends) }
    }

    private func run(_ backends: [Backend]) async {
        let began = NIODeadline.now()
        let answers = await withTaskGroup(of: (Backend, Bool).self) { group in
            for backend in backends { group.addTask { (backend, await self.check(backend)) } }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        let failed: [Backend] = state.withLock { state in
            guard !state.isStopped else { return [] }
            for session in state.sessions.values where answers[session.backend] == true {
                session.silence.forgive(before: began)
            }
            let failed = state.table.probed(answers)
            // A doubt is settled at once: a client may be waiting on a master that is frozen.
            let pause =
                state.table.isInDoubt
                ? .milliseconds(1)
                : state.table.isSettled ? configuration.idleProbeInterval : configuration.probeInterval
            state.round = .waiting(listenGroup.next().scheduleTask(in: pause) { [self] in startRound() })
            return failed
        }
        giveUp(failed)
    }

    private func check(_ backend: Backend) async -> Bool {
        if let probe { await probe(backend, configuration.probeTimeout) } else { await connects(backend) }
    }

    private func connects(_ backend: Backend) async -> Bool {
        let loop = connectGroup.next()
        do {
            let channel = try await loop.flatSubmit { [configuration] in
                ClientBootstrap(group: loop).connectTimeout(configuration.connectTimeout).connect(
                    host: backend.host, port: backend.port)
            }.get()
            channel.close(promise: nil)
            return true
        } catch {
            return false
        }
    }
}
