// Brings the kernel's table of host ports in line with what the kubelet says; what the kernel refuses is reported and tried again.
// The table stays when the worker stops, so that ports lead to pods while it restarts.
import Kubelet
import Logging
import Proxy
import Synchronization

package final class HostPortAgent: Sendable {
    static let retryAfter: Duration = .seconds(1)
    private let wanted = Mutex<[HostPort]?>(nil)
    private let wake: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation
    private let logger: Logger

    package init(logger: Logger) {
        self.logger = logger
        (wake, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// These lead to pods from now on.
    package func set(_ ports: [HostPort]) {
        wanted.withLock { $0 = ports }
        waker.yield()
    }

    /// Runs until the task is cancelled.
    package func run() async {
        var applied: [HostPort]?
        for await _ in wake {
            guard let ports = wanted.withLock({ $0 }), ports != applied else { continue }
            do {
                try NFTables().run(HostPortScript.text(ports.map(Self.rule)))
                applied = ports
            } catch {
                logger.error("host ports: \(error)")
                do { try await Task.sleep(for: Self.retryAfter) } catch { return }
                waker.yield()
            }
        }
    }

    private static func rule(_ port: HostPort) -> HostPortRule {
        HostPortRule(
            transport: port.transport, hostAddress: port.hostAddress, hostPort: port.hostPort,
            podAddress: port.podAddress, podPort: port.podPort)
    }
}
