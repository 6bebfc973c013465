// Links that fail: partitions of every shape, links that flap, links that hold messages up.

import Raft

typealias Link = (from: Int, to: Int)

extension World {
    private mutating func cut(_ links: [Link]) {
        for link in links { network.cut(from: link.from, to: link.to) }
        cuts.append(links)
        schedule(.heal(cuts.count - 1), after: min(100_000, plan.repairMax / 2), plan.repairMax)
    }

    mutating func mend(_ number: Int) {
        for link in cuts[number] { network.mend(from: link.from, to: link.to) }
        cuts[number] = []
    }

    /// Both ways between all pairs for which `isApart` holds.
    private func links(where isApart: (Int, Int) -> Bool) -> [Link] {
        var links: [Link] = []
        for a in hosts.indices {
            for b in hosts.indices where a != b && isApart(a, b) { links.append((a, b)) }
        }
        return links
    }

    private mutating func cut(_ name: String, _ counter: Report.Counter, _ links: [Link]) {
        guard !links.isEmpty else { return }
        if keepsTrace { note("\(name) \(links.map { "\(hosts[$0.from].id)-\(hosts[$0.to].id)" })") }
        report.count(counter)
        cut(links)
    }

    /// In two parts; a bridge if one host reaches both.
    mutating func partition(isBridged: Bool) {
        let side = hosts.map { _ in chance(500) }
        let bridge = isBridged ? Int(below(UInt64(hosts.count))) : hosts.count
        let apart = links { side[$0] != side[$1] && $0 != bridge && $1 != bridge }
        cut(isBridged ? "bridge" : "partition", isBridged ? .bridges : .partitions, apart)
    }

    /// Everybody reaches two neighbours only.
    mutating func formRing() {
        let count = hosts.count, shift = Int(below(UInt64(hosts.count)))
        guard count > 3 else { return }
        let order = hosts.indices.map { ($0 * (count % 3 == 0 ? 1 : 3) + shift) % count }
        let apart = links { a, b in
            let distance = (order[a] - order[b] + count) % count
            return distance != 1 && distance != count - 1
        }
        cut("ring", .rings, apart)
    }

    mutating func cutOneWay(_ position: Int) {
        let isInbound = chance(500)
        let others = hosts.indices.filter { $0 != position }
        cut(
            "one way", .oneWayPartitions,
            others.map { isInbound ? (from: $0, to: position) : (from: position, to: $0) })
    }

    mutating func isolate(_ position: Int) {
        cut("isolate", .isolations, links { a, b in a == position || b == position })
    }

    /// Both ways between two groups.
    mutating func cutBetween(_ some: [Int], _ others: [Int]) {
        cut(
            "siege", .isolations,
            links { a, b in some.contains(a) && others.contains(b) || some.contains(b) && others.contains(a) })
    }

    /// It hears nothing of anybody.
    mutating func deafen(_ position: Int) {
        cut("deaf", .oneWayPartitions, hosts.indices.filter { $0 != position }.map { (from: $0, to: position) })
    }

    /// One host's links go and come, many times.
    mutating func flap(_ position: Int) {
        report.count(.flaps)
        if keepsTrace { note("flap \(hosts[position].id)") }
        flapOnce(position, left: between(3, 12))
    }

    mutating func flapOnce(_ position: Int, left: UInt64) {
        guard !isHealed, left > 0 else { return }
        let apart = links { a, b in a == position || b == position }
        for link in apart { network.cut(from: link.from, to: link.to) }
        cuts.append(apart)
        schedule(.heal(cuts.count - 1), after: 20_000, 250_000)
        schedule(.flap(host: position, left: left - 1), after: 250_000, 500_000)
    }

    /// Messages from one host to some others are held up, then all come at once.
    mutating func clog(_ position: Int) {
        report.count(.clogs)
        if keepsTrace { note("clog \(hosts[position].id)") }
        for other in hosts.indices where other != position && chance(600) {
            let until = now + between(50_000, 1_500_000)
            if chance(500) {
                network.clog(from: position, to: other, until: until)
            } else {
                network.clog(from: other, to: position, until: until)
            }
        }
    }
}
