// Everything that decides how a kubelet works, as one value. Read from flags and files by the executable only.
// Defaults are upstream's where it has them. It must never read the environment itself.
import NetPKI

package struct KubeletConfiguration: Sendable {
    package var nodeName: String
    /// The node's own addresses, the main one first.
    package var nodeIPs: [String]
    package var hostname: String
    package var rootDirectory = "/var/lib/kubelet"
    package var podLogsDirectory = "/var/log/pods"
    package var containerLogsDirectory = "/var/log/containers"
    package var runtimeEndpoint = "unix:///run/containerd/containerd.sock"
    package var clusterDNS = ["10.96.0.10"]
    package var clusterDomain = "cluster.local"
    package var resolvConf = "/etc/resolv.conf"
    package var hostsFile = "/etc/hosts"
    package var cgroupMount = "/sys/fs/cgroup"
    /// Pods' groups stand in `<cgroupRoot>/kubepods`.
    package var cgroupRoot = "/"
    package var makesPodCgroups = true
    /// Labels beside `kubernetes.io/{hostname,os,arch}`.
    package var labels: [String: String] = [:]
    /// `key=value:Effect` split up; set when the node is created.
    package var taints: [(key: String, value: String, effect: String)] = []
    package var registersNode = true
    package var podsMax = 110
    package var version = "v1.33.0+tern.1"
    package var leaseSeconds: Int64 = 8
    package var leaseRenewEvery: Nanoseconds = .seconds(2)
    package var statusUpdateEvery: Nanoseconds = .seconds(10)
    package var statusReportEvery: Nanoseconds = .seconds(300)
    package var relistEvery: Nanoseconds = .seconds(1)
    package var housekeepingEvery: Nanoseconds = .seconds(10)
    package var containerLogBytesMax: Int64 = 10 << 20
    package var containerLogFilesMax = 5
    package var imageGCHighPercent = 85
    package var imageGCLowPercent = 80
    package var sandboxImage = ""
    /// Manifests of static pods; nil: none.
    package var staticPodDirectory: String?
    package var listenHost = "0.0.0.0"
    package var port = 10250
    /// nil: no server.
    package var serverTLS: ServerTLS?
    package var streamingIdleSeconds: Int64 = 4 * 3600

    package init(nodeName: String, nodeIPs: [String]) {
        self.nodeName = nodeName
        self.nodeIPs = nodeIPs
        hostname = nodeName
    }
}
