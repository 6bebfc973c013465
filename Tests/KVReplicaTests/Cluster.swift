// Three (or more) real replicas in one process: real SQLite in a directory of their own, real TCP on loopback.
// Every replica can be stopped, halted as by a crash, and started again on the same data.
import Glibc
import KVCore
import KVReplica
import Raft
import Synchronization
import TestSupport

struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

func temporaryDirectory() -> String {
    var template = Array("/tmp/tern-test-XXXXXX".utf8CString)
    guard let path = mkdtemp(&template) else { return "/tmp/tern-test" }
    return String(cString: path)
}

func removeTree(_ path: String) {
    guard let directory = opendir(path) else { unlink(path); return }
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { removeTree(path + "/" + name) }
    }
    closedir(directory)
    rmdir(path)
}

/// How long what comes by itself may take where any thread may be put off for seconds.
private let patience = Duration.seconds(60)

final class Cluster: Sendable {
    let directory = temporaryDirectory()
    let addresses: [PeerAddress]
    private let running = Mutex<[PeerID: Replica]>([:])
    let tls: [PeerID: PeerTLS]
    /// Whoever leads goes on leading while it lives and hands over to nobody, however late its threads are: nobody else
    /// ever loses patience.
    let isSteady: Bool
    let change: @Sendable (inout ReplicaConfiguration) -> Void

    init(
        _ count: Int, isSteady: Bool = false, tls: [PeerID: PeerTLS] = [:],
        change: @escaping @Sendable (inout ReplicaConfiguration) -> Void = { _ in }
    ) {
        addresses = (1...count).map {
            PeerAddress(id: PeerID(UInt64($0)), name: "m\($0)", host: "127.0.0.1", port: FreePort.take())
        }
        self.isSteady = isSteady
        self.tls = tls
        self.change = change
    }

    var replicas: [Replica] { running.withLock { $0.values.sorted { $0.configuration.id < $1.configuration.id } } }
    subscript(_ id: PeerID) -> Replica? { running.withLock { $0[id] } }

    /// `before`: what is asked of it before it takes part.
    func start(_ id: PeerID, before: @Sendable (Replica) -> Void = { _ in }) async throws {
        guard let me = addresses.first(where: { $0.id == id }) else { throw TestFailure("no peer \(id)") }
        var configuration = ReplicaConfiguration(
            dataDirectory: directory + "/" + me.name, id: id, name: me.name, clusterID: 7, initialPeers: addresses,
            listenHost: me.host, listenPort: me.port, tls: tls[id])
        configuration.silence()
        configuration.holdPatiently()
        if isSteady { configuration.leadSteadily() }
        change(&configuration)
        let replica = try await started(configuration, before)
        running.withLock { $0[id] = replica }
    }

    /// A child process of another test may hold the port for a moment.
    private func started(
        _ configuration: ReplicaConfiguration, _ before: (Replica) -> Void
    ) async throws -> Replica {
        var attempts = 0
        while true {
            let replica = try Replica(configuration)
            before(replica)
            do {
                // Whoever asks before the start must not take away what the start needs.
                _ = await replica.directory()
                try await replica.start()
                return replica
            } catch {
                await replica.halt()
                attempts += 1
                guard attempts < 100 else { throw error }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    func startAll() async throws {
        for address in addresses { try await start(address.id) }
        guard isSteady, let first = replicas.first else { return }
        var wait = Duration.milliseconds(20)
        try await eventually("the first leads") {
            if first.status.role == .leader { return true }
            // The others may not have begun yet.
            await first.campaign()
            try await Task.sleep(for: wait)
            wait = min(wait * 2, .seconds(5))
            return first.status.role == .leader
        }
    }

    /// As by `kill -9`.
    func halt(_ id: PeerID) async {
        let replica = running.withLock { $0.removeValue(forKey: id) }
        await replica?.halt()
    }

    func stop(_ id: PeerID) async {
        let replica = running.withLock { $0.removeValue(forKey: id) }
        await replica?.stop()
    }

    func end() async {
        for replica in replicas { await halt(replica.configuration.id) }
        removeTree(directory)
    }

    func leader(besides: PeerID? = nil) async throws -> Replica {
        var found: Replica?
        try await eventually("somebody leads") {
            found = replicas.first { $0.status.role == .leader && $0.configuration.id != besides }
            return found != nil
        }
        guard let found else { throw TestFailure("nobody leads") }
        return found
    }
}

extension ReplicaConfiguration {
    /// Without a leader requests are held as long as with one.
    mutating func holdPatiently() { holdMilliseconds = 60_000 }

    mutating func leadSteadily() {
        raft.electionTicksMin = 30_000
        raft.electionTicksMax = 30_001
        raft.saveStallTicks = 30_000
    }
}

/// Waits until it holds.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + patience
    while try await !condition() {
        if ContinuousClock.now > end { throw TestFailure("not within \(patience): \(what)") }
        try await Task.sleep(for: .milliseconds(5))
    }
}

func put(_ key: String, _ value: String) -> Txn { Txn(success: [.put(Key(key), Array(value.utf8))]) }
