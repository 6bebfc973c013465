// Requests by hand and what they are answered: the status of a refusal, or the fields of an answer.
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NetGRPC
import Raft
import TestSupport
import Testing

/// A request's bytes.
func request(_ build: (inout ProtobufWriter) -> Void) -> [UInt8] {
    var writer = ProtobufWriter()
    build(&writer)
    return writer.bytes
}

/// A message's integer fields, and its other fields' bytes; repeated ones in order.
struct Fields {
    private(set) var numbers: [Int: Int64] = [:]
    private(set) var bodies: [Int: [[UInt8]]] = [:]

    init(_ message: [UInt8]) throws {
        var reader = ProtobufReader(message)
        while try reader.next() {
            if reader.wireType == .bytes {
                bodies[reader.field, default: []].append(try reader.byteArray())
            } else {
                numbers[reader.field] = try reader.int64()
            }
        }
    }

    subscript(_ field: Int) -> Int64 { numbers[field] ?? 0 }
    func texts(_ field: Int) -> [String] { (bodies[field] ?? []).map { String(decoding: $0, as: UTF8.self) } }
    func messages(_ field: Int) throws -> [Fields] { try (bodies[field] ?? []).map { try Fields($0) } }
}

extension Face {
    @discardableResult
    func ask(_ method: String, _ message: [UInt8] = []) async throws -> Fields {
        try Fields(try await answer(method, message))
    }

    /// The status of a call that is refused.
    func refusal(_ method: String, _ message: [UInt8] = []) async -> GRPCStatus? {
        do throws(GRPCStatus) {
            let call = try await channel.serverStream("/\(method)", message, timeout: .seconds(60))
            while try await call.next() != nil {}
            return nil
        } catch { return error }
    }

    /// Kinds of alarms that this member tells of.
    func alarms(kind: Int64 = 0) async throws -> [Int64] {
        let answer = try await ask("etcdserverpb.Maintenance/Alarm", request { $0.int64(3, kind) })
        let members = try answer.messages(2)
        return members.map { $0[1] == Int64(bitPattern: replica.configuration.id.rawValue) ? $0[2] : -1 }
    }

    func errors() async throws -> [String] { try await ask("etcdserverpb.Maintenance/Status").texts(8) }
}

/// Until it holds: for what comes by itself, where any thread may be put off for seconds.
func eventually(
    _ what: String = "it holds", at place: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(60)
    while try await !condition() {
        guard ContinuousClock.now < end else {
            throw GRPCStatus(.deadlineExceeded, "not within a minute: \(what), at \(place.fileID):\(place.line)")
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}

extension Face {
    /// Returns when the replica has taken all that was asked before.
    func afterInputs() async {
        await withCheckedContinuation { (waiting: CheckedContinuation<Void, Never>) in
            replica.afterInputs { waiting.resume() }
        }
    }

    /// The faces of all members of a cluster of three. Steady: whoever leads goes on leading while it lives, however late
    /// its threads are.
    static func three(isSteady: Bool = false) async throws -> [Face] {
        let peers = (1...3).map {
            PeerAddress(id: PeerID(UInt64($0)), name: "m\($0)", host: "127.0.0.1", port: FreePort.take())
        }
        var faces: [Face] = []
        for me in peers {
            faces.append(
                try await Face(isSettled: false) { configuration in
                    configuration.id = me.id
                    configuration.name = me.name
                    configuration.clusterID = 1
                    configuration.configuredClusterID = 1
                    configuration.initialPeers = peers
                    configuration.listenPort = me.port
                    guard isSteady else { return }
                    configuration.raft.electionTicksMin = 30_000
                    configuration.raft.electionTicksMax = 30_001
                    configuration.raft.saveStallTicks = 30_000
                })
        }
        if isSteady { try await faces[0].lead() }
        for face in faces {
            try await eventually("all are known") { face.replica.members().allSatisfy { !$0.clientURLs.isEmpty } }
        }
        return faces
    }

    /// Of a cluster that nobody leads yet.
    private func lead() async throws {
        var wait = Duration.milliseconds(20)
        try await eventually("it leads") {
            // The others may not have begun yet.
            await replica.campaign()
            try await Task.sleep(for: wait)
            wait = min(wait * 2, .seconds(5))
            return replica.status.role == .leader
        }
    }

    static func end(_ faces: [Face]) async throws { for face in faces { try await face.end() } }

    /// Who leads, as all of them know it.
    static func leader(_ faces: [Face]) async throws -> Face {
        var found: Face?
        try await eventually("all know who leads") {
            found = faces.first { $0.replica.status.role == .leader }
            return found != nil
                && faces.allSatisfy { $0.replica.status.leader == found?.replica.configuration.id }
        }
        return try #require(found)
    }
}
