// What a node offers and what a pod asks for, as whole numbers. Quantities are parsed once, when an object is projected.
// A quantity that cannot be read counts as nothing: the API server has validated it before, and the scheduler must not stop.

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
            case "cpu": milliCPU = Quantities.scaled(member.value, by: 1000)
            case "memory": memory = Quantities.scaled(member.value, by: 1)
            case "ephemeral-storage": ephemeralStorage = Quantities.scaled(member.value, by: 1)
            case "pods": pods = Quantities.scaled(member.value, by: 1)
            default: extended[member.key] = Quantities.scaled(member.value, by: 1)
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

/// Reading of quantities such as `100m`, `1.5`, `128Mi`, `2e3`.
package enum Quantities {
    private static let factors: [String: Double] = [
        "": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
        "Ki": 1024, "Mi": 1_048_576, "Gi": 1_073_741_824, "Ti": 1_099_511_627_776, "Pi": 1_125_899_906_842_624,
        "Ei": 1_152_921_504_606_846_976,
    ]

    /// The value times `factor`, rounded up; 0 when it is no quantity.
    package static func scaled(_ value: JSON, by factor: Double) -> Int64 {
        guard let number = value.double ?? value.string.flatMap(number) else { return 0 }
        let scaled = (number * factor - 1e-6).rounded(.up)
        return scaled > 9.2e18 ? Int64.max / 4 : scaled < -9.2e18 ? 0 : Int64(scaled)
    }

    private static func number(_ text: String) -> Double? {
        if let plain = Double(text) { return plain.isFinite ? plain : nil }
        let suffix = text.reversed().prefix { $0.isLetter }
        guard let factor = factors[String(suffix.reversed())], let value = Double(text.dropLast(suffix.count)) else { return nil }
        return value.isFinite ? value * factor : nil
    }
}
