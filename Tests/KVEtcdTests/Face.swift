// One member with its etcd face on a free port of loopback, and a real etcd beside it where the machine has one.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import Logging
import NIOCore
import NIOPosix
import NetGRPC
import Raft
import TestSupport
import Testing

struct Face {
    let directory: String
    let replica: Replica
    let server: EtcdServer
    let channel: GRPCChannel
    let group: MultiThreadedEventLoopGroup
    let port: Int

    init(
        readOnly: Key? = nil, directory: String = Shell.temporaryDirectory(), isSettled: Bool = true,
        _ adjust: (inout ReplicaConfiguration) -> Void = { _ in },
        etcd adjustEtcd: (inout EtcdConfiguration) -> Void = { _ in }
    ) async throws {
        self.directory = directory
        var configuration = ReplicaConfiguration.single(dataDirectory: directory)
        configuration.silence()
        configuration.clusterID = 0x4827_6a8f_75b6_a87b
        configuration.id = PeerID(0x8334_a407_e5b0_1cb2)
        configuration.initialPeers = [PeerAddress(id: configuration.id, name: "m1", host: "127.0.0.1", port: 2380)]
        adjust(&configuration)
        replica = try Replica(configuration)
        try await replica.start()
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var etcd = EtcdConfiguration(clusterID: replica.configuration.clusterID)
        etcd.readOnlyPrefix = readOnly
        etcd.peerScheme = "http"
        adjustEtcd(&etcd)
        port = FreePort.take()
        etcd.advertisedURLs = ["http://127.0.0.1:\(port)"]
        server = EtcdServer(
            replica, etcd, host: "127.0.0.1", port: port, tls: nil, group: group, logger: configuration.logger)
        _ = try await server.start()
        var patient = GRPCChannelConfiguration()
        (patient.callTimeout, patient.connectTimeout, patient.pingTimeout) = (.seconds(60), .seconds(60), .seconds(60))
        channel = GRPCChannel(
            target: .tcp(host: "127.0.0.1", port: port, tls: nil), configuration: patient, group: group)
        let id = replica.configuration.id
        // A witness tells nobody where it is.
        guard isSettled, !replica.status.isWitness else { return }
        try await eventually("it is known where clients find it") { [replica] in
            replica.members().first { $0.id == id }?.clientURLs.isEmpty == false
        }
    }

    /// Asks again while nobody leads: what was refused for that had no effect.
    func answer(_ method: String, _ message: [UInt8]) async throws -> [UInt8] {
        let end = ContinuousClock.now + .seconds(60)
        while true {
            do { return try await channel.unary("/\(method)", message) } catch {
                guard error == GRPCStatus(.unavailable, "etcdserver: no leader"), ContinuousClock.now < end else {
                    throw error
                }
            }
        }
    }

    func end(keepsData: Bool = false) async throws {
        await channel.close()
        await server.stop(grace: .milliseconds(100))
        await replica.stop()
        try await group.shutdownGracefully()
        if !keepsData { Shell.remove(directory) }
    }

    var endpoint: String { "127.0.0.1:\(port)" }

    func put(_ key: String, _ value: String) async throws {
        var writer = ProtobufWriter()
        writer.string(1, key)
        writer.string(2, value)
        _ = try await answer("etcdserverpb.KV/Put", writer.bytes)
    }

    func revoke(_ lease: LeaseID) async throws {
        var writer = ProtobufWriter()
        writer.int64(1, lease.rawValue)
        _ = try await channel.unary("/etcdserverpb.Lease/LeaseRevoke", writer.bytes)
    }

    /// Keys and the count of a range, at a revision.
    func range(_ key: String, _ end: String = "", revision: Int64 = 0) async throws -> (keys: [String], count: Int64) {
        var writer = ProtobufWriter()
        writer.string(1, key)
        writer.string(2, end)
        writer.int64(4, revision)
        var reader = ProtobufReader(try await answer("etcdserverpb.KV/Range", writer.bytes))
        var keys: [String] = []
        var count: Int64 = 0
        while try reader.next() {
            if reader.field == 4 { count = try reader.int64() }
            guard reader.field == 2 else { continue }
            var record = try reader.message()
            while try record.next() { if record.field == 1 { keys.append(try record.string()) } }
        }
        return (keys, count)
    }
}

extension Face {
    /// The face of one member of three, and the other two.
    static func ofThree() async throws -> (face: Face, others: [Replica]) {
        let peers = (1...3).map {
            PeerAddress(id: PeerID(UInt64($0)), name: "m\($0)", host: "127.0.0.1", port: FreePort.take())
        }
        var others: [Replica] = []
        for peer in peers[1...] {
            var configuration = ReplicaConfiguration(
                dataDirectory: Shell.temporaryDirectory(), id: peer.id, name: peer.name, clusterID: 1,
                initialPeers: peers, listenHost: peer.host, listenPort: peer.port, tls: nil)
            configuration.silence()
            let replica = try Replica(configuration)
            try await replica.start()
            others.append(replica)
        }
        let face = try await Face { configuration in
            configuration.id = peers[0].id
            configuration.clusterID = 1
            configuration.configuredClusterID = 1
            configuration.initialPeers = peers
            configuration.listenPort = peers[0].port
        }
        return (face, others)
    }

    /// The status of a plain request, and its body.
    func get(_ target: String) -> (status: Int, body: String) {
        let answer = Shell.run("curl -s -w '\\n%{http_code}' 'http://\(endpoint)\(target)'")
        var lines = answer.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let status = lines.popLast().flatMap { Int($0) } ?? 0
        return (status, lines.joined(separator: "\n"))
    }
}

/// A real etcd of one member.
struct RealEtcd {
    let directory = Shell.temporaryDirectory()
    let endpoint: String
    private let process: ChildProcess

    /// `data`: a data directory that is there already.
    init(data: String? = nil, name: String = "m1") throws {
        let client = FreePort.take()
        let peer = FreePort.take()
        endpoint = "127.0.0.1:\(client)"
        let flags = [
            "--name \(name) --data-dir \(data ?? directory + "/data") --log-level error",
            "--listen-client-urls http://\(endpoint) --advertise-client-urls http://\(endpoint)",
            "--listen-peer-urls http://127.0.0.1:\(peer) --initial-advertise-peer-urls http://127.0.0.1:\(peer)",
            "--initial-cluster \(name)=http://127.0.0.1:\(peer)"
        ].joined(separator: " ")
        process = ChildProcess("etcd \(flags)", in: directory)
        try #require(Shell.succeeds("curl -sf -m 20 http://\(endpoint)/health"), "\(process.log)")
    }

    func end() {
        process.end()
        Shell.remove(directory)
    }
}
