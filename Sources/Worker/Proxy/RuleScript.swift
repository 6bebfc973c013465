// The nftables scripts: the fixed frame of the table, and the difference between two rule sets as one atomic transaction.

package enum RuleScript {
    /// Makes the table afresh: hooks, maps, fixed chains. Run once at start, in the same transaction as the first rules.
    package static func frame(podNetwork: String) -> String {
        let table = RuleSet.table
        let mark = RuleSet.masqueradeMark
        return """
            table ip \(table) {}
            delete table ip \(table)
            table ip \(table) {
              map services { type ipv4_addr . inet_proto . inet_service : verdict; }
              map node-ports { type inet_proto . inet_service : verdict; }
              set empty-services { type ipv4_addr . inet_proto . inet_service; }
              set empty-node-ports { type inet_proto . inet_service; }
              chain mark-masquerade { meta mark set meta mark | \(mark); }
              chain find-service {
                ip daddr . meta l4proto . th dport vmap @services
                fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @node-ports
              }
              chain refuse {
                meta l4proto tcp reject with tcp reset
                reject
              }
              chain find-empty {
                ip daddr . meta l4proto . th dport @empty-services goto refuse
                fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport @empty-node-ports goto refuse
              }
              chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump find-service; }
              chain nat-output { type nat hook output priority -100; policy accept; jump find-service; }
              chain nat-postrouting {
                type nat hook postrouting priority srcnat; policy accept;
                meta mark & \(mark) == \(mark) meta mark set meta mark & 0xffffbfff masquerade fully-random
              }
              chain filter-input { type filter hook input priority -110; policy accept; ct state new jump find-empty; }
              chain filter-forward { type filter hook forward priority -110; policy accept; ct state new jump find-empty; }
              chain filter-output { type filter hook output priority -110; policy accept; ct state new jump find-empty; }
            }

            """
    }

    package static let removal = "table ip \(RuleSet.table) {}\ndelete table ip \(RuleSet.table)\n"

    /// What turns `old` into `new`; empty when they are equal.
    package static func difference(from old: RuleSet, to new: RuleSet) -> String {
        let table = "ip \(RuleSet.table)"
        var lines: [String] = []
        // Elements go first, so that no chain that is deleted below is still referred to.
        lines += removed(old.serviceElements, new.serviceElements).map { "delete element \(table) services { \($0) }" }
        lines += removed(old.nodePortElements, new.nodePortElements).map {
            "delete element \(table) node-ports { \($0) }"
        }
        lines += old.emptyElements.subtracting(new.emptyElements).sorted().map {
            "delete element \(table) empty-services { \($0) }"
        }
        lines += old.emptyNodePorts.subtracting(new.emptyNodePorts).sorted().map {
            "delete element \(table) empty-node-ports { \($0) }"
        }
        for (set, seconds) in new.affinitySets.sorted(by: { $0.key < $1.key }) where old.affinitySets[set] == nil {
            lines.append("add set \(table) \(set) { type ipv4_addr; flags dynamic,timeout; timeout \(seconds)s; }")
        }
        let changed = new.chains.filter { old.chains[$0.key] != $0.value }.sorted { $0.key < $1.key }
        lines += changed.map { "add chain \(table) \($0.key)" }
        lines += changed.filter { old.chains[$0.key] != nil }.map { "flush chain \(table) \($0.key)" }
        for (chain, rules) in changed { lines += rules.map { "add rule \(table) \(chain) \($0)" } }
        let gone = old.chains.keys.filter { new.chains[$0] == nil }.sorted()
        lines += gone.map { "flush chain \(table) \($0)" }
        lines += gone.map { "delete chain \(table) \($0)" }
        lines += old.affinitySets.keys.filter { new.affinitySets[$0] == nil }.sorted().map {
            "delete set \(table) \($0)"
        }
        lines += added(old.serviceElements, new.serviceElements).map { "add element \(table) services { \($0) }" }
        lines += added(old.nodePortElements, new.nodePortElements).map { "add element \(table) node-ports { \($0) }" }
        lines += new.emptyElements.subtracting(old.emptyElements).sorted().map {
            "add element \(table) empty-services { \($0) }"
        }
        lines += new.emptyNodePorts.subtracting(old.emptyNodePorts).sorted().map {
            "add element \(table) empty-node-ports { \($0) }"
        }
        return lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
    }

    /// UDP endpoints that were there before and are not any more: their connections must be forgotten.
    package static func goneUDPEndpoints(from old: RuleSet, to new: RuleSet) -> [String] {
        func targets(_ set: RuleSet) -> Set<String> {
            Set(
                set.chains.values.flatMap { $0 }.filter { $0.hasPrefix("meta l4proto udp dnat to ") }.map {
                    String($0.dropFirst(25))
                })
        }
        return targets(old).subtracting(targets(new)).sorted()
    }

    private static func removed(_ old: [String: String], _ new: [String: String]) -> [String] {
        old.filter { new[$0.key] != $0.value }.keys.sorted()
    }

    private static func added(_ old: [String: String], _ new: [String: String]) -> [String] {
        new.filter { old[$0.key] != $0.value }.sorted { $0.key < $1.key }.map { "\($0.key) : \($0.value)" }
    }
}
