// A port of the node that leads to a pod. The kubelet says which there are; the rules in the kernel are another's.

package struct HostPort: Hashable, Sendable {
    /// "tcp", "udp" or "sctp".
    package var transport: String
    /// Empty: every address of the node.
    package var hostAddress: String
    package var hostPort: Int32
    package var podAddress: String
    package var podPort: Int32

    package init(_ mapping: PortMapping, podAddress: String) {
        transport =
            switch mapping.transport {
            case .tcp: "tcp"
            case .udp: "udp"
            case .sctp: "sctp"
            }
        hostAddress = ["0.0.0.0", "::"].contains(mapping.hostIP) ? "" : mapping.hostIP
        hostPort = mapping.hostPort
        self.podAddress = podAddress
        podPort = mapping.containerPort
    }
}
