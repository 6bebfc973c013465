// Entry point: one seed, one world, two phases. First everything may break and every promise is checked after every
// step; then all is mended, and the cluster must become useful again within a bounded time. Where one is a witness a
// third phase takes a machine away (`World+Loss`). One thread, no clock, no chance but the seed: the same seed gives the
// same trace in every process.

import KVCore
import Raft

/// Runs simulated clusters.
package enum Simulation {
    /// So many events of the first phase, unless asked otherwise: a seed is replayed with the number it was found with.
    package static let stepsDefault = 8_000
    /// Of all kinds of worlds, in the tests; in so many, whatever can happen does, often enough to mean something.
    package static let seedsDefault = 700

    /// One seed. `steps` counts events of the first phase; `trace` keeps what happened, in words.
    package static func run(
        seed: UInt64, steps: Int = stepsDefault, planted: PlantedBug? = nil, weather: Weather = .mixed,
        trace: Bool = false
    ) -> Report {
        var world = World(seed: seed, planted: planted, weather: weather, keepsTrace: trace)
        world.begin()
        world.runFaults(steps: steps)
        world.runHealing()
        world.runLoss()
        return world.finish()
    }

    /// Many seeds from `first` on, added up. Stops at the first violation.
    package static func run(
        first: UInt64, count: Int, steps: Int = stepsDefault, planted: PlantedBug? = nil,
        weather: Weather = .mixed
    ) -> Report {
        var sum = Report(seed: first)
        for offset in 0..<UInt64(max(0, count)) {
            sum.add(run(seed: first &+ offset, steps: steps, planted: planted, weather: weather))
            if sum.violation != nil { break }
        }
        return sum
    }
}

/// Everything there is.
struct World {
    let plan: Plan
    var random: SeededGenerator
    var now: UInt64 = 0
    var queue = EventQueue()
    var hosts: [Host]
    var network: Network
    var clients: [Client]
    var checker: Checker
    var report: Report
    var watchers: [Watcher]
    var toldWatchers: Set<Int> = []
    /// The pre-vote that each host was last asked for.
    var preVotes: [Int: (peer: PeerID, last: EntryID)] = [:]
    let planted: PlantedBug?
    let weather: Weather
    /// Crashes at the end of this step.
    var doomed: Int?
    var nextValue: UInt64 = 1
    var isHealed = false
    /// Until then some disks had little room.
    var lowUntil: UInt64 = 0
    /// From which entry on who has it applied knows that a member takes part.
    var entered: [PeerID: LogIndex] = [:]
    /// A machine that does not come back for now.
    var gone: Int?
    /// Cuts that wait to be mended, by the number of their heal event.
    var cuts: [[(from: Int, to: Int)]] = []
    let keepsTrace: Bool
    private var stepsMax = Simulation.stepsDefault

    init(seed: UInt64, planted: PlantedBug?, weather: Weather, keepsTrace: Bool) {
        random = SeededGenerator(seed: seed)
        var plan = Plan(weather: weather, using: &random)
        plan.drawWitness(seed: seed, weather)
        plan.drawSessions(seed: seed)
        plan.drawFlips(seed: seed, planted)
        plan.drawLeases(seed: seed, weather, planted)
        plan.drawPieces(seed: seed)
        plan.drawDisks(seed: seed, weather)
        plan.drawKeys(seed: seed)
        if planted == nil { plan.drawLongCommands(seed: seed) }
        if planted == nil { plan.drawRounds(seed: seed) }
        if planted == .takesOldExecutions { plan.limits.applyKeysMax = 0 }
        plan.drawWindows(seed: seed, planted)
        self.plan = plan
        self.planted = planted
        self.weather = weather
        let members = (1...UInt64(plan.voters)).map {
            Member(id: PeerID($0), name: "m\($0)", host: "host\($0)", port: 2380)
        }
        hosts = []
        for id in 1...UInt64(plan.hosts) {
            let knows = id <= UInt64(plan.voters)
            hosts.append(
                Host(
                    id: PeerID(id), plan: plan, members: knows ? members : [], planted: planted, seed: random.next()))
        }
        network = Network(count: plan.hosts)
        network.quality = plan.quality
        clients = [Client](repeating: Client(), count: plan.clients)
        watchers = (0..<5).map { Watcher.some($0 + Int(seed % 6), keys: plan.keys) }
        checker = Checker(hosts: plan.hosts, hasWitness: plan.witness != nil)
        report = Report(seed: seed)
        if plan.witness != nil { report.count(.witnesses) }
        if let leases = plan.leases {
            report.count(.leaseReads)
            if leases.stranger != nil { report.count(.leaseStrangers) }
            checker.oracle.leases.fastest = leases.fastest
        }
        if plan.hasSlowDisks { report.count(.slowClusters) }
        if plan.keys > 16 { report.count(.manyKeys) }
        if plan.limits.windowRevisionsMax <= 30 { report.count(.shortWindows) }
        self.keepsTrace = keepsTrace
    }

    mutating func below(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : random.next() % bound }
    mutating func schedule(_ event: Event, after low: UInt64, _ high: UInt64) {
        let time = now + between(low, high)
        queue.add(event, at: time)
    }
    mutating func chance(_ perMille: UInt64) -> Bool { below(1000) < perMille }
    mutating func between(_ low: UInt64, _ high: UInt64) -> UInt64 { low + below(high - low + 1) }
    /// A host's place stays when it is replaced under another id.
    func position(of peer: PeerID) -> Int { Int((peer.rawValue &- 1) % 100) }

    mutating func fail(_ complaint: String?) {
        guard let complaint, report.violation == nil else { return }
        report.violation = "\(complaint) (step \(report.steps), \(now) us; replay: \(replay))"
    }

    private var replay: String {
        let isUsual = weather == .mixed && stepsMax == Simulation.stepsDefault
        return isUsual
            ? "make sim SEED=\(report.seed)" : "tern sim --seed \(report.seed) --steps \(stepsMax) --weather \(weather)"
    }

    /// Asked only when `keepsTrace`: the words cost more than the run.
    mutating func note(_ line: String) { report.trace.append("\(now) \(line)") }
}

extension World {
    mutating func begin() {
        for position in hosts.indices { boot(position) }
        for client in clients.indices { queue.add(.act(client: client), at: between(0, 500_000)) }
        for number in watchers.indices { queue.add(.rewatch(number, isMove: true), at: between(0, 500_000)) }
        schedule(.fault, after: 100_000, 1_000_000)
    }

    mutating func runFaults(steps: Int) {
        stepsMax = steps
        while report.steps < steps, report.violation == nil, takeStep() {}
    }

    mutating func run(until deadline: UInt64, orUntil isDone: (World) -> Bool = { _ in false }) {
        while now < deadline, report.violation == nil, !isDone(self), takeStep() {}
    }

    mutating func finish() -> Report {
        if report.violation == nil { checkHistories() }
        report.time = now
        report.count(.leasesEnded, checker.oracle.leases.ended)
        for position in hosts.indices { noteLeases(position) }
        for host in hosts {
            report.count(.segments, host.disk.logCounts.segments)
            report.count(.segmentsReturned, host.disk.logCounts.returns)
            report.count(.logsSetAside, host.disk.logCounts.setAsides)
            report.count(.segmentsReplaced, host.disk.logCounts.replaced)
            report.count(.statesSetAside, host.disk.statesSetAside)
            report.count(.tornWrites, host.disk.logCounts.tears)
            report.count(.doubtfulSyncs, host.disk.logCounts.doubts)
            report.count(.stateWrites, host.disk.stateCounts.writes)
            report.count(.stateSyncs, host.disk.stateCounts.syncs)
            report.count(.tornStateWrites, host.disk.stateCounts.tears)
            report.count(.lostStateWrites, host.disk.stateCounts.lostWrites)
            report.count(.refusedStateWrites, host.disk.stateCounts.refusals)
            report.count(.doubtfulStateSyncs, host.disk.stateCounts.doubts)
            report.count(.remadeStates, host.disk.remadeStates)
            report.count(.condemnedStarts, host.disk.condemnedRemakings)
        }
        return report
    }

    mutating func takeStep() -> Bool {
        guard let (time, event) = queue.next() else { return false }
        now = max(now, time)
        report.steps += 1
        let touched = handle(event)
        judgeWatchers()
        switch event {
        case .fault, .siege: checkAll()
        default: break
        }
        defer { crashDoomed() }
        guard let touched else { return true }
        if planted != nil { mistakeWitness(touched) }
        let elections = report[.elections]
        let complaint = checker.check(touched, of: hosts, now: now, report: &report)
        fail(complaint ?? checker.oracle.checkFences() ?? checkMemory(touched))
        if report[.elections] > elections, chance(plan.ambush) {
            schedule(.ambush(host: touched), after: 100, plan.ambushMax)
        }
        mixState(of: touched)
        return true
    }

    /// A fault may have touched anybody.
    private mutating func checkAll() {
        for position in hosts.indices {
            let complaint = checker.check(position, of: hosts, now: now, report: &report)
            fail(complaint ?? checker.oracle.checkFences() ?? checkMemory(position))
        }
    }

    private mutating func mixState(of position: Int) {
        report.mix(now)
        guard let raft = hosts[position].life?.core.raft else { return }
        report.mix(raft.id.rawValue)
        report.mix(raft.term.rawValue)
        report.mix(raft.commitIndex.rawValue)
        report.mix(raft.lastIndex.rawValue)
        report.mix(hosts[position].life?.core.state.stateHash ?? 0)
    }
}

extension Simulation {
    static let healingMicroseconds: UInt64 = 30_000_000
    /// So long it may take until everybody knows that there is room again.
    static let roomMicroseconds: UInt64 = 6_000_000
    static let tickMicroseconds: UInt64 = 10_000
    /// Of a lease that a client takes when all is mended.
    static let errandMilliseconds: UInt64 = 8_000
    static let newestVersion: UInt8 = EntryFormat.oldest + 1
    /// Marks tickets of a host itself.
    static let ownTicket: UInt64 = 1 << 40
    static let patienceMicroseconds: UInt64 = 1_500_000
}
