// What probes and monitoring fetch by plain HTTP, with etcd's paths and bodies: from the client port, and from
// listeners that serve nothing else. Reads only. A probe of the member itself must not need the others: who restarts
// what fails it would restart the survivors when the majority is lost.
import KVReplica
import NetGRPC
import NetHTTP
import Raft

struct EtcdWeb: Sendable {
    private let replica: Replica
    private let version: String
    private let metrics: MetricsRegistry
    private let successes: MetricFamily
    private let failures: MetricFamily

    init(_ replica: Replica, version: String, metrics: MetricsRegistry) {
        self.replica = replica
        self.version = version
        self.metrics = metrics
        successes = metrics.counter("etcd_server_health_success", help: "Health checks that passed.")
        failures = metrics.counter("etcd_server_health_failures", help: "Health checks that failed.")
        for family in [successes, failures] { family.set(0) }
    }

    /// `target`: path and query as received.
    func answer(method: String, target: String, _ done: @escaping @Sendable (PlainAnswer) -> Void) {
        guard ["GET", "HEAD"].contains(method) else {
            return done(PlainAnswer(status: 405, body: "Method Not Allowed\n"))
        }
        guard let target = RequestTarget(target) else { return done(PlainAnswer(status: 400, body: "Bad Request\n")) }
        switch target.path {
        case "/health": health(target, done)
        case "/version":
            let members = ["etcdserver", "etcdcluster", "storage"].map { "\"\($0)\":\"\(version)\"" }
            done(json("{\(members.joined(separator: ","))}"))
        case "/metrics":
            done(PlainAnswer(status: 200, contentType: MetricsRegistry.contentType, body: metrics.render()))
        default:
            guard let probe = EtcdProbe(target) else {
                return done(PlainAnswer(status: 404, body: "404 page not found\n"))
            }
            self.probe(probe, done)
        }
    }

    private func json(_ body: String, status: Int = 200) -> PlainAnswer {
        PlainAnswer(status: status, contentType: "application/json", body: body)
    }

    /// Healthy is who can read and write; `serializable=true` asks for this member alone.
    private func health(_ target: RequestTarget, _ done: @escaping @Sendable (PlainAnswer) -> Void) {
        let isLocal = target.query.first { $0.name == "serializable" }?.value == "true"
        let tell: @Sendable (String?) -> Void = { reason in
            (reason == nil ? successes : failures).add()
            done(
                reason.map { json(#"{"health":"false","reason":"\#($0)"}"#, status: 503) }
                    ?? json(#"{"health":"true","reason":""}"#))
        }
        let status = replica.status
        let excluded = EtcdProbe.excluded(target)
        if let alarm = EtcdAlarm.own(status, isLocal: isLocal).first(where: { !excluded.contains($0.name) }) {
            return tell("ALARM \(alarm.name)")
        }
        if !isLocal, status.leader == nil { return tell("RAFT NO LEADER") }
        read(isLocal: isLocal) { reason in tell(reason.map { "RANGE ERROR:\($0)" }) }
    }

    private func probe(_ probe: EtcdProbe, _ done: @escaping @Sendable (PlainAnswer) -> Void) {
        read(isLocal: true) { local in
            let tell: @Sendable (String?) -> Void = { common in
                let status = replica.status
                let answer = probe.answer { check in
                    switch check {
                    case .dataCorruption: status.isFenced ? "alarm activated: CORRUPT" : nil
                    case .serializableRead: local
                    case .linearizableRead: common
                    case .nonLearner: status.role == .learner ? "the member is a learner" : nil
                    }
                }
                (answer.status == 200 ? successes : failures).add()
                done(PlainAnswer(status: answer.status, body: answer.body))
            }
            guard probe.checks.contains(.linearizableRead) else { return tell(nil) }
            read(isLocal: false, tell)
        }
    }

    /// Whether a read would be answered; nil then, else why not. A witness answers none: it tells whether it hears of a
    /// leader.
    private func read(isLocal: Bool, _ done: @escaping @Sendable (String?) -> Void) {
        guard !isLocal else { return replica.ping { error in done(error.map { EtcdStatus.status($0).message }) } }
        let status = replica.status
        guard !status.isWitness else { return done(status.leader == nil ? EtcdStatus.noLeader.message : nil) }
        replica.barrier { result in
            switch result {
            case .success: done(nil)
            case .failure(let error): done(EtcdStatus.status(error).message)
            }
        }
    }
}
