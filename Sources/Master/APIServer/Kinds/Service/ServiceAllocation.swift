// Service addresses and node ports: each allocated one is a record of its own in the store, and the transaction that
// writes the Service is guarded by "this record is absent". So two masters never give one address twice, and nobody
// repairs bitmaps. A free one is searched from a place that depends on the Service alone: the search needs neither
// chance nor a counter.
import API
import KVCore

struct ServiceAllocation {
    let network: ServiceNetwork
    var service: JSON
    let old: JSON?
    let view: KVView
    var guards: [Compare] = []
    var effects: [Op] = []
    private var taken: Set<Key> = []

    init(network: ServiceNetwork, service: JSON, old: JSON?, view: KVView) {
        self.network = network
        self.service = service
        self.old = old
        self.view = view
    }

    static func addressKey(_ address: String) -> Key { Key("/registry/allocations/serviceip/\(address)") }
    static func portKey(_ port: Int64, _ transport: String) -> Key {
        Key("/registry/allocations/nodeport/\(port)/\(transport)")
    }

    /// The records that a Service holds.
    static func keys(of service: JSON) -> Set<Key> {
        var keys = Set<Key>()
        if ServiceKind.needsAddress(service) {
            for address in service["spec", "clusterIPs"]?.elements.compactMap(\.string) ?? [] where address != "None" {
                keys.insert(addressKey(address))
            }
        }
        for port in service["spec", "ports"]?.elements ?? [] {
            if let number = port["nodePort"]?.int, number > 0 {
                keys.insert(portKey(number, port["protocol"]?.string ?? "TCP"))
            }
        }
        if let health = service["spec", "healthCheckNodePort"]?.int, health > 0 { keys.insert(portKey(health, "TCP")) }
        return keys
    }

    mutating func run() throws(StatusError) {
        let held = old.map(Self.keys) ?? []
        if ServiceKind.needsAddress(service) && !ServiceKind.isHeadless(service) { try address(held) }
        if ServiceKind.needsNodePort(service) { try nodePorts(held) } else { try givenPorts(held) }
        if ServiceKind.needsHealthPort(service) { try healthPort(held) }
        for key in held.subtracting(Self.keys(of: service)).sorted() { effects.append(.delete(key)) }
    }

    private func isFree(_ key: Key) -> Bool { !taken.contains(key) && view.get(key) == nil }

    private mutating func take(_ key: Key) {
        guard taken.insert(key).inserted else { return }
        guards.append(.absent(key))
        effects.append(.put(key, Array("\(service.namespace)/\(service.name)".utf8)))
    }

    private func refusal(_ path: FieldPath, _ value: JSON?, _ detail: String) -> StatusError {
        var issues = Issues()
        issues.invalid(path, value, detail)
        let causes = issues.list.map { StatusCause(reason: $0.reason, message: $0.message, field: $0.field) }
        return Status.invalid(GroupVersionKind("", "v1", "Service"), service.name, causes)
    }

    /// FNV-1a of the Service's name: where the search begins.
    private func seed(_ salt: Int) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in "\(service.namespace)/\(service.name)/\(salt)".utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return hash ^ (hash >> 29)
    }
}

/// Addresses.
extension ServiceAllocation {
    private mutating func address(_ held: Set<Key>) throws(StatusError) {
        guard let range = CIDR(network.cidr) else {
            throw Status.internalError("service address range \(network.cidr) is malformed")
        }
        let given = service["spec", "clusterIP"]?.string ?? ""
        if given.isEmpty {
            guard let free = freeAddress(range) else {
                throw Status.internalError("failed to allocate a serviceIP: range is full")
            }
            service["spec", "clusterIP"] = .string(free)
            service["spec", "clusterIPs"] = [.string(free)]
            return take(Self.addressKey(free))
        }
        let key = Self.addressKey(given)
        if held.contains(key) { return }
        let list = service["spec", "clusterIPs"]
        guard let address = IPAddress(given), range.contains(address) else {
            let text = "the provided IP (\(given)) is not in the valid range. The range of valid IPs is \(network.cidr)"
            throw refusal("spec.clusterIPs", list, "failed to allocate IP \(given): \(text)")
        }
        guard isFree(key) else {
            throw refusal("spec.clusterIPs", list, "failed to allocate IP \(given): provided IP is already allocated")
        }
        take(key)
    }

    /// The lowest part of the range is left to those who ask for an address of their own.
    private func freeAddress(_ range: CIDR) -> String? {
        let size = range.size
        guard size > 2 else { return nil }
        let last = size - 2  // neither the network's nor the broadcast address
        let band = min(max(16, size / 16), 256)
        let low = band < last ? band : 1
        return scan(range, low...last, seed(0)) ?? (low > 1 ? scan(range, 1...(low - 1), seed(0)) : nil)
    }

    private func scan(_ range: CIDR, _ offsets: ClosedRange<UInt64>, _ seed: UInt64) -> String? {
        let count = offsets.upperBound - offsets.lowerBound + 1
        for step in 0..<count {
            guard let address = range.address(at: offsets.lowerBound + (seed &+ step) % count)?.description else {
                return nil
            }
            if isFree(Self.addressKey(address)) { return address }
        }
        return nil
    }
}

/// Ports.
extension ServiceAllocation {
    private mutating func nodePorts(_ held: Set<Key>) throws(StatusError) {
        guard var ports = service["spec", "ports"]?.array else { return }
        for i in ports.indices {
            let transport = ports[i]["protocol"]?.string ?? "TCP"
            if let given = ports[i]["nodePort"]?.int, given > 0 {
                try keepPort(given, transport, held, FieldPath("spec.ports")[i]["nodePort"])
            } else {
                // One number for both transports of a port, as upstream does for DNS services.
                let twin = ports.first {
                    $0["port"] == ports[i]["port"] && $0["protocol"] != ports[i]["protocol"]
                        && ($0["nodePort"]?.int ?? 0) > 0
                }
                ports[i]["nodePort"] = .int(try newPort(transport, preferred: twin?["nodePort"]?.int, salt: i + 1))
            }
        }
        service["spec", "ports"] = .array(ports)
    }

    /// Node ports that a load balancer without automatic ones names itself.
    private mutating func givenPorts(_ held: Set<Key>) throws(StatusError) {
        for (i, port) in (service["spec", "ports"]?.elements ?? []).enumerated() {
            guard let given = port["nodePort"]?.int, given > 0 else { continue }
            try keepPort(given, port["protocol"]?.string ?? "TCP", held, FieldPath("spec.ports")[i]["nodePort"])
        }
    }

    private mutating func keepPort(
        _ port: Int64, _ transport: String, _ held: Set<Key>, _ path: FieldPath
    )
        throws(StatusError)
    {
        let key = Self.portKey(port, transport)
        if held.contains(key) || taken.contains(key) { return }
        guard network.nodePorts.contains(port) else {
            let range = "\(network.nodePorts.lowerBound)-\(network.nodePorts.upperBound)"
            throw refusal(
                path, .int(port), "provided port is not in the valid range. The range of valid ports is \(range)")
        }
        guard isFree(key) else { throw refusal(path, .int(port), "provided port is already allocated") }
        take(key)
    }

    private mutating func newPort(_ transport: String, preferred: Int64?, salt: Int) throws(StatusError) -> Int64 {
        if let preferred, isFree(Self.portKey(preferred, transport)) {
            take(Self.portKey(preferred, transport))
            return preferred
        }
        let count = UInt64(network.nodePorts.count)
        let start = seed(salt)
        let band = min(max(16, count / 32), 128) < count ? min(max(16, count / 32), 128) : 0
        for step in 0..<count {
            // First above the band that is left to explicit choices, then the band itself.
            let offset = step < count - band ? band + (start &+ step) % (count - band) : step - (count - band)
            let port = network.nodePorts.lowerBound + Int64(offset)
            let key = Self.portKey(port, transport)
            if isFree(key) {
                take(key)
                return port
            }
        }
        throw Status.internalError("failed to allocate a nodePort: range is full")
    }

    private mutating func healthPort(_ held: Set<Key>) throws(StatusError) {
        if let given = service["spec", "healthCheckNodePort"]?.int, given > 0 {
            return try keepPort(given, "TCP", held, "spec.healthCheckNodePort")
        }
        service["spec", "healthCheckNodePort"] = .int(try newPort("TCP", preferred: nil, salt: 0))
    }
}
