// Requests by hand and what they are answered: the status of a refusal, or the fields of an answer.
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NetGRPC
import Raft

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
        try Fields(try await channel.unary("/\(method)", message))
    }

    /// The status of a call that is refused.
    func refusal(_ method: String, _ message: [UInt8] = []) async -> GRPCStatus? {
        do throws(GRPCStatus) {
            let call = try await channel.serverStream("/\(method)", message, timeout: .seconds(20))
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

/// Until it holds: for what comes by itself. Whoever waits for ever is ended by the test run's own limit.
func eventually(_ condition: () async throws -> Bool) async throws {
    while try await !condition() { try await Task.sleep(for: .milliseconds(10)) }
}

extension Face {
    /// Returns when the replica has taken all that was asked before.
    func afterInputs() async {
        await withCheckedContinuation { (waiting: CheckedContinuation<Void, Never>) in
            replica.afterInputs { waiting.resume() }
        }
    }

    /// The faces of all members of a cluster of three.
    static func three() async throws -> [Face] {
        let peers = try (1...3).map {
            PeerAddress(id: PeerID(UInt64($0)), name: "m\($0)", host: "127.0.0.1", port: try Face.freePort())
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
                })
        }
        for face in faces {
            try await eventually { face.replica.members().allSatisfy { !$0.clientURLs.isEmpty } }
        }
        return faces
    }

    static func end(_ faces: [Face]) async throws { for face in faces { try await face.end() } }

    /// Who leads, as all of them know it.
    static func leader(_ faces: [Face]) async throws -> Face {
        while true {
            if let face = faces.first(where: { $0.replica.status.role == .leader }),
                faces.allSatisfy({ $0.replica.status.leader == face.replica.configuration.id })
            {
                return face
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
