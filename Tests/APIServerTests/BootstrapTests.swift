// What every cluster has from its first second is made once: a second run changes nothing, whoever leads.
import API
import APIServer
import Foundation
import KVCore
import KVReplica
import Logging
import NIOCore
import NIOPosix
import NetHTTP
import NetPKI
import Raft
import Testing

/// Three masters' stores and API servers in one process, without their control loops.
private final class ThreeMasters: Sendable {
    let directory = NSTemporaryDirectory() + "tern-three-\(UInt32.random(in: 0...UInt32.max))"
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let masters: [(replica: Replica, server: APIServer)]

    init() async throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var logger = Logger(label: "test")
        logger.logLevel = .error
        let base = Int.random(in: 12_000..<31_000)
        let peers = (1...3).map {
            PeerAddress(id: PeerID(UInt64($0)), name: "m\($0)", host: "127.0.0.1", port: base + $0)
        }
        let key = try ServiceAccountKey.make(.es256)
        var made: [(replica: Replica, server: APIServer)] = []
        for peer in peers {
            let replica = try Replica(
                ReplicaConfiguration(
                    dataDirectory: "\(directory)/\(peer.name)", id: peer.id, name: peer.name, clusterID: 7,
                    initialPeers: peers, listenHost: peer.host, listenPort: peer.port, tls: nil, logger: logger))
            try await replica.start()
            let server = APIServer(
                APIServerConfiguration(name: peer.name), store: replica, schema: SchemaTable(),
                policy: Policy(PolicyConfiguration(serviceAccountKey: key)).server, metrics: MetricsRegistry(),
                group: group, logger: logger)
            server.start()
            made.append((replica, server))
        }
        masters = made
    }

    func leader(besides former: PeerID? = nil) async throws -> (replica: Replica, server: APIServer) {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            let found = masters.first {
                $0.replica.status.role == .leader && $0.replica.configuration.id != former
            }
            if let found { return found }
            try await Task.sleep(for: .milliseconds(5))
        }
        throw Status.serviceUnavailable("no leader within a minute")
    }

    func stop() async {
        for master in masters {
            master.server.drain()
            await master.replica.stop()
        }
        do {
            try await group.shutdownGracefully()
            try FileManager.default.removeItem(atPath: directory)
        } catch {
            print("after the test: \(error)")
        }
    }
}

@Suite struct BootstrapTests {
    @Test func `bootstrap that runs again writes nothing, under the same leader and under another one`() async throws {
        let cluster = try await ThreeMasters()
        let first = try await cluster.leader()
        try await run(first.server)
        let settled = try await revision(first.server)
        #expect(settled > 100, "the first run made the default objects")
        try await run(first.server)
        #expect(try await revision(first.server) == settled)
        try await first.replica.transferLeadership(to: nil)
        let second = try await cluster.leader(besides: first.replica.configuration.id)
        try await run(second.server)
        #expect(try await revision(second.server) == settled)
        await cluster.stop()
    }

    private func run(_ server: APIServer) async throws {
        let bootstrap = Bootstrap(client: server.client())
        try await bootstrap.run()
        try await bootstrap.publish(masters: ["192.0.2.1"])
    }

    /// The store's revision after everything that was acknowledged.
    private func revision(_ server: APIServer) async throws -> Int {
        let list = try await server.client().list(.namespaces, namespace: nil, ListOptions())
        return Int(list.resourceVersion) ?? 0
    }
}
