// What probes and monitoring fetch from the client port by plain HTTP, with etcd's paths and bodies. Reads only.
import KVReplica
import NetGRPC
import NetHTTP
import Raft

struct EtcdWeb: Sendable {
    private let replica: Replica
    private let version: String
    private let metrics = MetricsRegistry()

    init(_ replica: Replica, version: String) {
        self.replica = replica
        self.version = version
        StoreMetrics(metrics).follow(replica)
    }

    func answer(method: String, path: String, _ done: @escaping @Sendable (PlainAnswer) -> Void) {
        guard ["GET", "HEAD"].contains(method) else {
            return done(PlainAnswer(status: 405, body: "Method Not Allowed\n"))
        }
        switch path {
        case "/health": health(done)
        case "/livez", "/readyz": probe(done)
        case "/version":
            let members = ["etcdserver", "etcdcluster", "storage"].map { "\"\($0)\":\"\(version)\"" }
            done(json("{\(members.joined(separator: ","))}"))
        case "/metrics":
            done(PlainAnswer(status: 200, contentType: MetricsRegistry.contentType, body: metrics.render()))
        default: done(PlainAnswer(status: 404, body: "404 page not found\n"))
        }
    }

    private func json(_ body: String, status: Int = 200) -> PlainAnswer {
        PlainAnswer(status: status, contentType: "application/json", body: body)
    }

    private func health(_ done: @escaping @Sendable (PlainAnswer) -> Void) {
        reason { reason in
            done(
                reason.map { json(#"{"health":"false","reason":"\#($0)"}"#, status: 503) }
                    ?? json(#"{"health":"true","reason":""}"#))
        }
    }

    private func probe(_ done: @escaping @Sendable (PlainAnswer) -> Void) {
        reason { reason in
            done(reason.map { PlainAnswer(status: 503, body: "\($0)\n") } ?? PlainAnswer(status: 200, body: "ok\n"))
        }
    }

    /// Healthy is who can read linearizably and write; nil then.
    private func reason(_ done: @escaping @Sendable (String?) -> Void) {
        let status = replica.status
        if status.leader == nil { return done("RAFT NO LEADER") }
        if status.stateBytes > replica.configuration.stateBytesMax { return done("ALARM NOSPACE") }
        replica.barrier { result in
            switch result {
            case .success: done(nil)
            case .failure(let error): done("RANGE ERROR:\(EtcdStatus.status(error).message)")
            }
        }
    }
}
