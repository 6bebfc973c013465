// What one worker is told at start. One validated value, read from flags by the executable.
import NetBalancer
import Network

package struct WorkerConfiguration: Sendable {
    package var name: String
    package var nodeAddress: String
    package var dataDirectory: String
    package var masters: [Backend]
    /// The cluster's authority, and the node's certificates and keys.
    package var files: NodeFiles
    /// Replace certificates before they end.
    package var rotatesCertificates = true
    package var serviceAddress = "10.96.0.1"
    package var dnsAddress = "10.96.0.10"
    package var clusterDomain = "cluster.local"
    package var podNetwork = "10.244.0.0/16"
    package var overlay = OverlayBackend.vxlan
    /// nil: the worker runs a containerd of its own.
    package var runtimeEndpoint: String?
    package var balancerPort = 6444
    package var kubeletPort = 10250
    package var proxyHealthPort = 10256
    /// An HTTP proxy for pulls of images, and what is reached without it.
    package var egressProxy: String?
    package var egressDirect: String?
    package var leaseSeconds: Int64 = 8

    package init(name: String, nodeAddress: String, dataDirectory: String, masters: [Backend]) {
        self.name = name
        self.nodeAddress = nodeAddress
        self.dataDirectory = dataDirectory
        self.masters = masters
        files = NodeFiles(dataDirectory: dataDirectory)
    }
}

/// A worker cannot go on, and why.
package struct WorkerError: Error, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}
