// The client port of a witness: monitoring is answered, everybody else is sent on; and members that come and go with it.
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NetGRPC
import Raft
import TestSupport
import Testing

@Suite(.serialized) struct WitnessFaceTests {
    /// The face of the member with this number of three, the third being a witness, and the other two.
    private func three(_ number: Int) async throws -> (face: Face, others: [Replica]) {
        let peers = (1...3).map {
            PeerAddress(id: PeerID(UInt64($0)), name: "m\($0)", host: "127.0.0.1", port: FreePort.take())
        }
        var others: [Replica] = []
        for peer in peers where peer.id != PeerID(UInt64(number)) {
            var configuration = ReplicaConfiguration(
                dataDirectory: Shell.temporaryDirectory(), id: peer.id, name: peer.name, clusterID: 1,
                initialPeers: peers, listenHost: peer.host, listenPort: peer.port, tls: nil)
            configuration.witness = PeerID(3)
            configuration.silence()
            let replica = try Replica(configuration)
            try await replica.start()
            others.append(replica)
        }
        let me = peers[number - 1]
        let face = try await Face { configuration in
            configuration.id = me.id
            configuration.clusterID = 1
            configuration.configuredClusterID = 1
            configuration.initialPeers = peers
            configuration.listenPort = me.port
            configuration.witness = PeerID(3)
        }
        return (face, others)
    }

    private func end(_ face: Face, _ others: [Replica]) async throws {
        try await face.end()
        for other in others {
            await other.halt()
            Shell.remove(other.configuration.dataDirectory)
        }
    }

    private func members(_ face: Face) async throws -> [(id: UInt64, isWitness: Bool, urls: Int)] {
        var reader = ProtobufReader(try await face.channel.unary("/etcdserverpb.Cluster/MemberList", []))
        var found: [(id: UInt64, isWitness: Bool, urls: Int)] = []
        while try reader.next() {
            guard reader.field == 2 else { continue }
            var member = try reader.message()
            var one = (id: UInt64(0), isWitness: false, urls: 0)
            while try member.next() {
                switch member.field {
                case 1: one.id = try member.uint64()
                case 4: one.urls += 1
                case EtcdService.witnessField: one.isWitness = try member.bool()
                default: continue
                }
            }
            found.append(one)
        }
        return found
    }

    private func change(_ face: Face, _ method: String, _ body: (inout ProtobufWriter) -> Void) async throws {
        var request = ProtobufWriter()
        body(&request)
        _ = try await face.channel.unary("/etcdserverpb.Cluster/\(method)", request.bytes)
    }

    @Test func `a witness answers monitoring, and sends clients on`() async throws {
        let (face, others) = try await three(3)
        try await eventually { !(face.replica.status.leader == nil) }
        for method in [
            "KV/Put", "KV/Range", "KV/Txn", "Watch/Watch", "Lease/LeaseGrant", "Cluster/MemberList",
            "Maintenance/Snapshot"
        ] {
            let refusal = await face.refusal("etcdserverpb.\(method)")
            #expect(refusal == GRPCStatus(.unavailable, "there is no address available"), "\(method)")
        }
        _ = try await face.channel.unary("/etcdserverpb.Maintenance/Status", [])
        _ = try await face.channel.unary("/grpc.health.v1.Health/Check", [])
        if Shell.has("curl") {
            #expect(Shell.run("curl -s http://\(face.endpoint)/health").contains(#""health":"true""#))
            #expect(Shell.run("curl -s http://\(face.endpoint)/metrics").contains("tern_raft_is_witness 1"))
        }
        try await end(face, others)
    }

    @Test(.enabled(if: Shell.has("etcdctl")))
    func `etcdctl with the witness among its endpoints loses no write`() async throws {
        let (witness, others) = try await three(3)
        let group = witness.group
        var endpoints = [witness.endpoint]
        var servers: [EtcdServer] = []
        for other in others {
            let port = FreePort.take()
            let server = EtcdServer(
                other, EtcdConfiguration(clusterID: 1), host: "127.0.0.1", port: port, tls: nil, group: group,
                logger: other.configuration.logger)
            _ = try await server.start()
            servers.append(server)
            endpoints.append("127.0.0.1:\(port)")
        }
        try await eventually { witness.replica.status.leader != nil }
        let environment = [
            "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoints.joined(separator: ","), "ETCDCTL_COMMAND_TIMEOUT": "60s"
        ]
        // It says on the other stream that it asks again.
        func run(_ command: String) -> String { Shell.run("(\(command)) 2> /dev/null", environment: environment) }
        #expect(run("for i in $(seq 60); do etcdctl put w/$i $i; done | grep -c OK") == "60\n")
        let txn = #"printf 'create("w/1") = "0"\n\n\n\n' | etcdctl txn"#
        #expect(run("for i in $(seq 20); do \(txn); done | grep -c FAILURE") == "20\n")
        #expect(run("for i in $(seq 20); do etcdctl get --prefix w/ --keys-only; done | grep -c w/") == "1200\n")
        let watch =
            "f=$(mktemp); etcdctl watch w/1 --rev=1 > $f & p=$!;"
            + " for j in $(seq 600); do grep -q PUT $f && break; sleep 0.1; done; kill $p; cat $f; rm $f"
        #expect(run("for i in $(seq 3); do \(watch); done | grep -c PUT") == "3\n")
        #expect(run("for i in $(seq 6); do etcdctl lock l echo held; done | grep -c held") == "6\n")
        for server in servers { await server.stop(grace: .milliseconds(50)) }
        try await end(witness, others)
    }

    @Test func `the others name the witness, and keep two members with data beside it`() async throws {
        let (face, others) = try await three(1)
        try await face.put("a", "1")
        let list = try await members(face)
        #expect(list.filter(\.isWitness).map(\.id) == [3])
        #expect(list.first { $0.id == 3 }?.urls == 0)
        let needsData = GRPCStatus(
            .failedPrecondition, "etcdserver: a witness needs two voting members with data beside it")
        await #expect(throws: needsData) { try await change(face, "MemberRemove") { $0.uint64(1, 2) } }
        await #expect(throws: GRPCStatus(.failedPrecondition, "etcdserver: the cluster has a witness already")) {
            try await change(face, "MemberAdd") {
                $0.strings(1, ["http://127.0.0.1:9"]); $0.bool(EtcdService.witnessField, true)
            }
        }
        try await change(face, "MemberRemove") { $0.uint64(1, 3) }
        #expect(try await members(face).map(\.id) == [1, 2])
        try await end(face, others)
    }

    @Test func `a restored cluster has a witness again, without keys`() async throws {
        let old = try await Face()
        for i in 0..<20 { try await old.put("k/\(i)", "value-that-is-looked-for") }
        await old.replica.halt()
        try await old.end(keepsData: true)
        let members = (1...3).map { Member(id: PeerID($0), name: "m\($0)", host: "127.0.0.1", port: 2380) }
        let stopped = try StoppedStore(old.directory)
        let folder = Shell.temporaryDirectory()
        for me in members {
            try stopped.begin(after: 10).write(
                to: "\(folder)/\(me.name)", members: members, me: me.id, cluster: 5, witness: PeerID(3))
        }
        #expect(throws: (any Error).self) {
            try stopped.begin(after: 10).write(
                to: "\(folder)/few", members: Array(members[1...]), me: PeerID(2), cluster: 5, witness: PeerID(3))
        }
        let (data, witness) = (try StoppedStore("\(folder)/m1"), try StoppedStore("\(folder)/m3"))
        #expect(data.machine.view.keyCount == 20 && !data.isWitness)
        #expect(witness.machine.view.keyCount == 0 && witness.isWitness)
        #expect(data.configuration.witness == PeerID(3) && witness.configuration == data.configuration)
        #expect(!Shell.run("grep -r looked-for \(folder)/m3").contains("looked-for"))
        Shell.remove(folder)
        Shell.remove(old.directory)
    }
}
