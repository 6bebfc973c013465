// What a kubelet and a balancer ask of a member by plain HTTP: whether it lives, which is its own affair, and whether
// it can serve, which needs the others.
import KVEtcd
import KVReplica
import NetGRPC
import TestSupport
import Testing

@Suite(.serialized, .enabled(if: Shell.has("curl"))) struct ProbeTests {
    @Test func `a lone member of three lives and is not ready`() async throws {
        let (face, others) = try await Face.ofThree()
        for other in others { await other.halt() }
        try await eventually { !(face.replica.status.leader != nil) }
        let live = face.get("/livez")
        #expect(live.status == 200 && live.body == "ok\n", "\(live)")
        let local = face.get("/health?serializable=true")
        #expect(local.status == 200 && local.body == #"{"health":"true","reason":""}"#, "\(local)")
        let health = face.get("/health")
        #expect(health.status == 503 && health.body == #"{"health":"false","reason":"RAFT NO LEADER"}"#, "\(health)")
        let ready = face.get("/readyz")
        #expect(ready.status == 503, "\(ready)")
        #expect(ready.body.contains("[+]serializable_read ok\n[-]linearizable_read failed: "), "\(ready)")
        #expect(face.get("/readyz/serializable_read").status == 200)
        #expect(face.get("/readyz/linearizable_read").status == 503)
        #expect(face.get("/readyz?exclude=linearizable_read").status == 200)
        try await face.end()
        for other in others { Shell.remove(other.configuration.dataDirectory) }
    }

    @Test func `a member tells its version as etcd does, to who reads`() async throws {
        let face = try await Face()
        let version = EtcdConfiguration.reportedVersion
        let body = "{\"etcdserver\":\"\(version)\",\"etcdcluster\":\"\(version)\",\"storage\":\"\(version)\"}"
        #expect(face.get("/version") == (200, body))
        #expect(face.get("/version/more").status == 404)
        let posted = Shell.run("curl -s -o /dev/null -w '%{http_code}' -X POST http://\(face.endpoint)/version")
        #expect(posted == "405")
        try await face.end()
    }

    @Test func `probes say which checks passed when they are asked`() async throws {
        let face = try await Face()
        #expect(face.get("/livez?verbose") == (200, "[+]serializable_read ok\nok\n"))
        #expect(
            face.get("/readyz?verbose")
                == (
                    200,
                    "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n"
                ))
        #expect(face.get("/readyz?verbose&exclude=non_learner&exclude=data_corruption").body.hasPrefix("[+]serial"))
        #expect(face.get("/livez/serializable_read") == (200, "ok\n"))
        #expect(face.get("/livez/linearizable_read").status == 404)
        #expect(face.get("/livez?exclude=%zz").status == 400)
        #expect(face.get("/livezz").status == 404)
        try await face.end()
    }

    @Test func `a full store is unhealthy unless that alarm is excluded, and stays ready`() async throws {
        let face = try await Face { $0.stateBytesMax = 1 << 20 }
        let value = String(repeating: "v", count: 700_000)
        try await face.put("a", value)
        try await face.put("b", value)
        #expect(face.get("/health") == (503, #"{"health":"false","reason":"ALARM NOSPACE"}"#))
        #expect(face.get("/health?exclude=NOSPACE").status == 200)
        #expect(face.get("/health?serializable=true").status == 503)
        #expect(face.get("/livez").status == 200)
        #expect(face.get("/readyz").status == 200)
        try await face.end()
    }
}
