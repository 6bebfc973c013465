// Gives each node a range of pod addresses: the lowest free one, so that equal histories give equal ranges. One key for
// all nodes, and no plan before the caches show the last assignment: no range is given twice. Pure.

import API

/// The range that nodes' ranges are cut from.
package struct PodRange: Sendable, Hashable {
    package var base: UInt32
    package var prefix: Int
    package var nodePrefix: Int

    /// `--cluster-cidr` and `--node-cidr-mask-size`; nil when the text is no IPv4 range or the mask does not fit into
    /// it.
    package init?(_ text: String = "10.244.0.0/16", nodePrefix: Int = 24) {
        guard let (base, prefix) = Self.parse(text), prefix >= 8, nodePrefix > prefix, nodePrefix <= 30 else {
            return nil
        }
        self.base = base
        self.prefix = prefix
        self.nodePrefix = nodePrefix
    }

    static func parse(_ text: String) -> (UInt32, Int)? {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2, let prefix = Int(halves[1]), (0...32).contains(prefix) else { return nil }
        let parts = halves[0].split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        guard parts.count == 4 else { return nil }
        var address: UInt32 = 0
        for part in parts {
            guard let part else { return nil }
            address = address << 8 | UInt32(part)
        }
        let mask: UInt32 = prefix == 0 ? 0 : UInt32.max << UInt32(32 - prefix)
        return (address & mask, prefix)
    }

    var count: UInt32 { 1 << UInt32(nodePrefix - prefix) }

    func text(_ index: UInt32) -> String {
        let address = base + index << UInt32(32 - nodePrefix)
        return "\(address >> 24).\(address >> 16 & 255).\(address >> 8 & 255).\(address & 255)/\(nodePrefix)"
    }

    /// The indexes that a range covers; foreign ranges cover none.
    func indexes(of text: String) -> ClosedRange<UInt32>? {
        guard let (address, prefix) = Self.parse(text) else { return nil }
        let last =
            address | (prefix == 0 ? UInt32.max : (UInt32.max >> UInt32(prefix)) & (prefix == 32 ? 0 : UInt32.max))
        let end = base | (UInt32.max >> UInt32(self.prefix))
        guard last >= base, address <= end else { return nil }
        let shift = UInt32(32 - nodePrefix)
        return (max(address, base) - base) >> shift...(min(last, end) - base) >> shift
    }
}

package enum NodeIPAMPlan {
    package static func changes(_ nodes: [NodeView], _ range: PodRange) -> [Change] {
        var used: Set<UInt32> = []
        for text in nodes.flatMap(\.podCIDRs) {
            if let indexes = range.indexes(of: text) { used.formUnion(indexes) }
        }
        var changes: [Change] = []
        var next: UInt32 = 0
        for node in nodes.sorted(by: { ($0.createdAt, $0.name) < ($1.createdAt, $1.name) }) where node.podCIDRs.isEmpty
        {
            while next < range.count && used.contains(next) { next += 1 }
            guard next < range.count else {
                changes.append(
                    .note(
                        Note(
                            node.reference, warning: true, "CIDRNotAvailable",
                            "Node \(node.name) status is now: CIDRNotAvailable")))
                continue
            }
            used.insert(next)
            let text = JSON.string(range.text(next))
            let patch: JSON = [
                "metadata": ["resourceVersion": .string(node.resourceVersion)],
                "spec": ["podCIDR": text, "podCIDRs": [text]]
            ]
            changes.append(.patch(.nodes, Target(namespace: "", name: node.name, uid: node.uid), .merge, patch))
        }
        return changes
    }
}
