// Where everything of a development cluster stands: names, addresses, files. One value, derived from the clone's path alone,
// so that every command finds the same things and two clones never meet. Nothing is created here.
import Crypto
import Worker

/// One host of the development cluster.
struct Host: Hashable {
    enum Role: String { case master, worker }
    var name: String
    var role: Role
    /// Its IPv4 address on the switch.
    var address: String
}

struct Layout {
    /// The clone.
    var clone: String
    /// Part of every kernel name: six hexadecimal digits of the SHA-256 of the clone's path.
    var hash: String
    var hosts: [Host]

    init(clone: String, masters: Int = 3, workers: Int = 2) {
        self.clone = clone
        let digest = SHA256.hash(data: Array(clone.utf8))
        hash = digest.prefix(3).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        hosts =
            (1...masters).map { Host(name: "m\($0)", role: .master, address: "10.89.0.1\($0)") }
            + (1...workers).map { Host(name: "w\($0)", role: .worker, address: "10.89.0.2\($0)") }
    }

    var masters: [Host] { hosts.filter { $0.role == .master } }
    var workers: [Host] { hosts.filter { $0.role == .worker } }
    func host(_ name: String) -> Host? { hosts.first { $0.name == name } }

    /// The gateway's address inside the switch: the hosts' DNS server and HTTP proxy.
    let gatewayAddress = "10.89.0.1"
    let networkPrefixLength = 24
    /// What services of type LoadBalancer get; the workers' proxies answer for them.
    let loadBalancerAddresses = "10.89.0.100-10.89.0.199"
    let apiPort = 6443
    let peerPort = 2380
    let etcdPort = 2379
    let proxyPort = 3128

    var root: String { "\(clone)/.tern" }
    var pki: String { "\(root)/pki" }
    var kubeconfig: String { "\(root)/kubeconfig" }
    var environmentFile: String { "\(root)/env" }
    var portFile: String { "\(root)/port" }
    var logs: String { "\(root)/log" }
    var run: String { "\(root)/run" }
    func data(_ host: Host) -> String { "\(root)/\(host.name)" }
    func log(_ name: String) -> String { "\(logs)/\(name).log" }
    /// The outer process of a host (or the gateway).
    func pidFile(_ name: String) -> String { "\(run)/\(name).pid" }

    var switchNamespace: String { "tern-\(hash)-sw" }
    func namespace(_ host: Host) -> String { "tern-\(hash)-\(host.name)" }
    func namespacePath(_ name: String) -> String { "/run/netns/\(name)" }
    func cgroup(_ host: Host) -> String { "tern-\(hash)-\(host.name)" }

    /// `m1=https://10.89.0.11:2380,...`
    var initialCluster: String { masters.map { "\($0.name)=https://\($0.address):\(peerPort)" }.joined(separator: ",") }
    var masterEndpoints: String { masters.map { "\($0.address):\(apiPort)" }.joined(separator: ",") }

    /// The cluster that the current directory (or one above it) belongs to.
    static func current() throws -> Layout {
        var folder = currentDirectory()
        while !folder.isEmpty {
            if Files.exists("\(folder)/.tern") || Files.exists("\(folder)/Package.swift") {
                return Layout(clone: folder)
            }
            folder = String(folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)])
        }
        throw CommandFailure("no development cluster here: run this inside the clone in which 'make up' was run")
    }
}
