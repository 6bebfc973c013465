// Connects this node's pods with the others: writes the CNI configuration once the node has a pod range, keeps the overlay's peers
// equal to the nodes, and masquerades what pods send out of the cluster.
import API
import Logging
import Network
import Proxy
import Synchronization

package final class NetworkAgent: Sendable {
    static let retryAfter: Duration = .seconds(1)
    static let cniDirectory = "/etc/cni/net.d"

    private let configuration: WorkerConfiguration
    private let nodes: Informer<OverlayPeer>
    private let wake: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation
    private let podRange = Mutex<IPv4Network?>(nil)
    private let logger: Logger

    package init(configuration: WorkerConfiguration, client: any ObjectClient, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        nodes = Informer(client, InformerScope(.nodes)) { OverlayPeer($0) }
        (wake, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        nodes.onChange { [weak self] change in
            if case .updated(_, let old, let new) = change, old == new { return }
            self?.waker.yield()
        }
    }

    /// The API named the ranges of this node's pods.
    package func setPodRanges(_ ranges: [String]) {
        guard let network = ranges.compactMap({ IPv4Network($0) }).first else { return }
        podRange.withLock { $0 = network }
        waker.yield()
    }

    /// Runs until the task is cancelled; device and routes stay, so that pods keep their network while the worker restarts.
    package func run() async {
        nodes.start()
        waker.yield()
        var overlay: Overlay?
        for await _ in wake {
            if Task.isCancelled { break }
            do {
                if overlay == nil { overlay = try begin() }
                try overlay?.reconcile(nodes.all)
            } catch {
                logger.error("network: \(error)")
                do { try await Task.sleep(for: Self.retryAfter) } catch { break }
                waker.yield()
            }
        }
        nodes.stop()
    }

    /// Nil until the node's pod range is known.
    private func begin() throws -> Overlay? {
        guard let range = podRange.withLock({ $0 }), let address = IPv4Network.address(configuration.nodeAddress) else {
            return nil
        }
        let me = OverlayPeer(node: configuration.name, podNetwork: range, address: address)
        let overlay = try Overlay(me: me, backend: configuration.overlay)
        try NFTables().run(Self.masqueradeScript(podNetwork: configuration.podNetwork))
        let text = CNIConfiguration.text(
            podNetwork: range, mtu: overlay.mtu, dataDirectory: "\(configuration.dataDirectory)/cni-addresses")
        let path = "\(Self.cniDirectory)/\(CNIConfiguration.fileName)"
        let present = Files.exists(path) ? try Files.text(path) : ""
        if present != text { try Files.write(text, to: path) }
        logger.info("network ready", metadata: ["pods": "\(range)", "mtu": "\(overlay.mtu)"])
        return overlay
    }

    static func masqueradeScript(podNetwork: String) -> String {
        """
        table ip tern-network {}
        delete table ip tern-network
        table ip tern-network {
          chain postrouting {
            type nat hook postrouting priority srcnat; policy accept;
            ip saddr \(podNetwork) ip daddr != \(podNetwork) ip daddr != 224.0.0.0/4 masquerade fully-random
          }
        }

        """
    }
}
