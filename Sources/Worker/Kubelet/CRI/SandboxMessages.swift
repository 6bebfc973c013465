// CRI v1 messages about pod sandboxes. Field numbers are those of runtime.v1.
// Only what the kubelet sends or reads; it must never send a field that the pod did not ask for.

/// Whose namespace a container uses (`runtime.v1.NamespaceMode`).
package enum NamespaceMode: Int32, Sendable, Equatable {
    case pod = 0
    case container = 1
    case node = 2
    case target = 3
}

package struct NamespaceOptions: Sendable, Equatable {
    package var network = NamespaceMode.pod
    package var pid = NamespaceMode.container
    package var ipc = NamespaceMode.pod
    package var targetID = ""
    package init() {}

    func write(_ w: inout ProtoWriter) {
        w.int(1, network.rawValue)
        w.int(2, pid.rawValue)
        w.int(3, ipc.rawValue)
        w.string(4, targetID)
    }
}

/// A seccomp or AppArmor profile.
package struct SecurityProfile: Sendable, Equatable {
    package enum Kind: Int32, Sendable {
        case runtimeDefault = 0
        case unconfined = 1
        case localhost = 2
    }
    package var kind: Kind
    package var localhost = ""
    package init(_ kind: Kind, localhost: String = "") {
        self.kind = kind
        self.localhost = localhost
    }

    func write(_ w: inout ProtoWriter) {
        w.int(1, kind.rawValue)
        w.string(2, localhost)
    }
}

package struct DNSSettings: Sendable, Equatable {
    package var servers: [String] = []
    package var searches: [String] = []
    package var options: [String] = []
    package init(servers: [String] = [], searches: [String] = [], options: [String] = []) {
        self.servers = servers
        self.searches = searches
        self.options = options
    }
}

package struct PortMapping: Sendable, Equatable {
    package enum TransportProtocol: Int32, Sendable {
        case tcp = 0
        case udp = 1
        case sctp = 2
    }
    package var transport = TransportProtocol.tcp
    package var containerPort: Int32 = 0
    package var hostPort: Int32 = 0
    package var hostIP = ""
    package init() {}

    func write(_ w: inout ProtoWriter) {
        w.int(1, transport.rawValue)
        w.int(2, containerPort)
        w.int(3, hostPort)
        w.string(4, hostIP)
    }
}

package struct SandboxSecurity: Sendable, Equatable {
    package var namespaces = NamespaceOptions()
    package var runAsUser: Int64?
    package var runAsGroup: Int64?
    package var supplementalGroups: [Int64] = []
    package var isPrivileged = false
    package var seccomp: SecurityProfile?
    package init() {}

    func write(_ w: inout ProtoWriter) {
        w.message(1) { namespaces.write(&$0) }
        w.wrapped(3, runAsUser)
        w.packed(5, supplementalGroups)
        w.bool(6, isPrivileged)
        w.wrapped(8, runAsGroup)
        if let seccomp { w.message(9) { seccomp.write(&$0) } }
    }
}

/// What identifies a sandbox: the pod and how often its sandbox was made.
package struct SandboxMetadata: Sendable, Equatable, ProtoReadable {
    package var name = ""
    package var uid = ""
    package var namespace = ""
    package var attempt: UInt32 = 0
    package init() {}

    func write(_ w: inout ProtoWriter) {
        w.string(1, name)
        w.string(2, uid)
        w.string(3, namespace)
        w.uint(4, attempt)
    }

    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: name = field.string
        case 2: uid = field.string
        case 3: namespace = field.string
        case 4: attempt = UInt32(truncatingIfNeeded: field.int)
        default: break
        }
    }
}

/// Everything the runtime needs to make a sandbox (`runtime.v1.PodSandboxConfig`).
package struct SandboxConfig: Sendable, Equatable {
    package var metadata = SandboxMetadata()
    package var hostname = ""
    package var logDirectory = ""
    package var dns: DNSSettings?
    package var ports: [PortMapping] = []
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    package var cgroupParent = ""
    package var sysctls: [String: String] = [:]
    package var security = SandboxSecurity()
    package init() {}

    func write(_ w: inout ProtoWriter) {
        w.message(1) { metadata.write(&$0) }
        w.string(2, hostname)
        w.string(3, logDirectory)
        if let dns {
            w.message(4) {
                $0.strings(1, dns.servers)
                $0.strings(2, dns.searches)
                $0.strings(3, dns.options)
            }
        }
        for port in ports { w.message(5) { port.write(&$0) } }
        w.map(6, labels)
        w.map(7, annotations)
        w.message(8) {
            $0.string(1, cgroupParent)
            $0.message(2) { security.write(&$0) }
            $0.map(3, sysctls)
        }
    }
}

/// A sandbox as a list or a status shows it.
package struct Sandbox: Sendable, Equatable, ProtoReadable {
    package var id = ""
    package var metadata = SandboxMetadata()
    package var isReady = true  // SANDBOX_READY is 0
    package var createdAt: Int64 = 0
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    package init() {}

    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: id = field.string
        case 2: metadata = try SandboxMetadata(proto: field.bytes)
        case 3: isReady = field.int == 0
        case 4: createdAt = field.int
        case 5: try labels.readEntry(field)
        case 6: try annotations.readEntry(field)
        default: break
        }
    }
}

package struct SandboxList: ProtoReadable {
    package var items: [Sandbox] = []
    package init() {}
    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        if field.number == 1 { items.append(try Sandbox(proto: field.bytes)) }
    }
}

/// `PodSandboxStatusResponse.status`: a sandbox and its addresses.
package struct SandboxStatus: Sendable, Equatable, ProtoReadable {
    package var id = ""
    package var isReady = true
    package var createdAt: Int64 = 0
    package var ips: [String] = []
    package init() {}

    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: id = field.string
        case 3: isReady = field.int == 0
        case 4: createdAt = field.int
        case 5: ips = try SandboxAddresses(proto: field.bytes).ips
        default: break
        }
    }
}

/// `PodSandboxNetworkStatus`: the main address, then the others.
struct SandboxAddresses: ProtoReadable {
    var ips: [String] = []
    mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: if !field.bytes.isEmpty { ips.insert(field.string, at: 0) }
        case 2: ips.append(try SingleString(proto: field.bytes).value)
        default: break
        }
    }
}

/// A message whose field 1 is a string: ids, image references, URLs.
package struct SingleString: ProtoReadable {
    package var value = ""
    package init() {}
    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        if field.number == 1 { value = field.string }
    }
}

/// A message whose field 1 is another message: `ContainerStatusResponse`, `ImageStatusResponse`, ...
package struct SingleMessage<Inner: ProtoReadable>: ProtoReadable {
    package var value: Inner?
    package init() {}
    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        if field.number == 1 { value = try Inner(proto: field.bytes) }
    }
}

/// A message whose field 1 repeats another message.
package struct RepeatedMessage<Inner: ProtoReadable>: ProtoReadable {
    package var values: [Inner] = []
    package init() {}
    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        if field.number == 1 { values.append(try Inner(proto: field.bytes)) }
    }
}
