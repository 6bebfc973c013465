// Feeds the proxy's rules and the DNS zone from one pair of watches (services, endpoint slices). Changes are collected for a moment
// and applied together; what the kernel refuses is reported and tried again.
import API
import DNSServer
import Logging
import NIOCore
import Proxy
import Synchronization

package final class ServiceAgent: Sendable {
    static let collectFor: Duration = .milliseconds(20)
    static let retryAfter: Duration = .seconds(1)

    private let services: Informer<JSON>
    private let slices: Informer<JSON>
    private let state: Mutex<ServiceState>
    private let zone: SharedZone
    private let wake: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation
    private let podNetwork: String
    private let logger: Logger
    private let lastApplied = Mutex<ContinuousClock.Instant?>(nil)

    package init(
        client: any ObjectClient, node: String, localAddresses: Set<String>, podNetwork: String, zone: SharedZone,
        logger: Logger
    ) {
        services = Informer(client, InformerScope(.services)) { Self.slim($0) }
        slices = Informer(client, InformerScope(.endpointSlices)) { Self.slim($0) }
        state = Mutex(ServiceState(node: node, localAddresses: localAddresses))
        self.zone = zone
        self.podNetwork = podNetwork
        self.logger = logger
        (wake, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        services.onChange { [weak self] in self?.serviceChanged($0) }
        slices.onChange { [weak self] in self?.sliceChanged($0) }
    }

    /// When the rules last agreed with the watches; nil before the first time.
    package var lastSync: ContinuousClock.Instant? { lastApplied.withLock { $0 } }

    /// Runs until the task is cancelled; the rules stay in the kernel, so that services work while the worker restarts.
    package func run() async throws {
        let keeper = try RuleKeeper(podNetwork: podNetwork, logger: logger)
        services.start()
        slices.start()
        await services.waitForSync()
        await slices.waitForSync()
        waker.yield()
        for await _ in wake {
            do {
                try await Task.sleep(for: Self.collectFor)
            } catch {
                break
            }
            await apply(keeper)
        }
        services.stop()
        slices.stop()
    }

    private func apply(_ keeper: RuleKeeper) async {
        do {
            let gone = try keeper.apply(state.withLock { $0 })
            lastApplied.withLock { $0 = .now }
            for endpoint in gone { forgetConnections(to: endpoint) }
        } catch {
            logger.error("proxy: \(error)")
            do { try await Task.sleep(for: Self.retryAfter) } catch { return }
            waker.yield()
        }
    }

    /// UDP has no end of a connection: without this a client would be sent to a pod that is gone.
    private func forgetConnections(to endpoint: String) {
        guard let address = endpoint.split(separator: ":").first, let program = Subprocess.find("conntrack") else {
            return
        }
        do {
            _ = try Subprocess.attempt([program, "-D", "-p", "udp", "--dst-nat", String(address)], timeoutSeconds: 10)
        } catch {
            logger.warning("conntrack: \(error)")
        }
    }

    private func serviceChanged(_ change: InformerChange<JSON>) {
        switch change {
        case .added(_, let service), .updated(_, _, let service):
            state.withLock { $0.set(service: service) }
            zone.apply(service: service, isPresent: true)
        case .deleted(_, let service):
            state.withLock { $0.remove(service: service) }
            zone.apply(service: service, isPresent: false)
        }
        waker.yield()
    }

    private func sliceChanged(_ change: InformerChange<JSON>) {
        switch change {
        case .added(_, let slice), .updated(_, _, let slice):
            state.withLock { $0.set(slice: slice) }
            zone.apply(slice: slice, isPresent: true)
        case .deleted(_, let slice):
            state.withLock { $0.remove(slice: slice) }
            zone.apply(slice: slice, isPresent: false)
        }
        waker.yield()
    }

    private static func slim(_ object: JSON) -> JSON {
        var object = object
        object["metadata", "managedFields"] = nil
        object["metadata", "annotations"] = nil
        return object
    }
}
