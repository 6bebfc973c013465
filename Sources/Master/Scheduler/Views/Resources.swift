// What a node offers and what a pod asks for, as whole numbers. Quantities are parsed once, when an object is
// projected. A quantity that cannot be read counts as nothing: the API server has validated it before, and the
// scheduler must not stop.

import API

/// Amounts of the resources that nodes hand out.
package struct Resources: Sendable, Hashable {
    package var milliCPU: Int64 = 0
    /// Bytes.
    package var memory: Int64 = 0
    /// Bytes.
    package var ephemeralStorage: Int64 = 0
    /// How many pods a node takes; not used in requests.
    package var pods: Int64 = 0
    /// Everything else by name: huge pages, devices.
    package var extended: [String: Int64] = [:]

    package init() {}

    package init(milliCPU: Int64, memory: Int64, pods: Int64 = 0) {
        self.milliCPU = milliCPU
        self.memory = memory
        self.pods = pods
    }

    /// From a mapping of resource names to quantities.
    package init(_ list: JSON?) {
        guard let object = list?.object else { return }
        for member in object {
            switch member.key {
            case "cpu": milliCPU = Quantity(member.value)?.milliValue ?? 0
            case "memory": memory = Quantity(member.value)?.value ?? 0
            case "ephemeral-storage": ephemeralStorage = Quantity(member.value)?.value ?? 0
            case "pods": pods = Quantity(member.value)?.value ?? 0
            default: extended[member.key] = Quantity(member.value)?.value ?? 0
            }
        }
    }

    package mutating func add(_ other: Resources, times sign: Int64 = 1) {
        milliCPU &+= sign &* other.milliCPU
        memory &+= sign &* other.memory
        ephemeralStorage &+= sign &* other.ephemeralStorage
        pods &+= sign &* other.pods
        for (name, amount) in other.extended { extended[name, default: 0] &+= sign &* amount }
    }

    /// The greater of both, resource by resource.
    package mutating func raise(to other: Resources) {
        milliCPU = max(milliCPU, other.milliCPU)
        memory = max(memory, other.memory)
        ephemeralStorage = max(ephemeralStorage, other.ephemeralStorage)
        for (name, amount) in other.extended { extended[name] = max(extended[name] ?? 0, amount) }
    }
}
