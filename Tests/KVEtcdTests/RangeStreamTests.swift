// Ranges that are sent in pieces: what they hold, how large they are, and what is written meanwhile.
import KVCore
import KVReplica
import NetGRPC
import Testing

/// A message of the stream.
private struct Piece {
    var bytes: Int
    var revision: Int64?
    var count: Int64 = 0
    var keys: [String] = []
    var modRevisions: [Int64] = []

    init(_ message: [UInt8]) throws {
        bytes = message.count
        var outer = ProtobufReader(message)
        while try outer.next() {
            var reader = try outer.message()
            while try reader.next() {
                switch reader.field {
                case 1:
                    var header = try reader.message()
                    while try header.next() {
                        if header.field == 3 { revision = try header.int64() } else { _ = try header.int64() }
                    }
                case 2:
                    var record = try reader.message()
                    while try record.next() {
                        if record.field == 1 { keys.append(try record.string()) }
                        if record.field == 3 { modRevisions.append(try record.int64()) }
                    }
                case 4: count = try reader.int64()
                default: continue
                }
            }
        }
    }
}

@Suite struct RangeStreamTests {
    private func request(limit: Int64 = 0) -> [UInt8] {
        var request = ProtobufWriter()
        request.string(1, "s/")
        request.string(2, "s0")
        request.int64(3, limit)
        return request.bytes
    }

    private func filled(_ count: Int, bytes: Int) async throws -> Face {
        let face = try await Face()
        for i in 0..<count { try await face.put("s/\(10_000 + i)", String(repeating: "x", count: bytes)) }
        return face
    }

    @Test func `a range streamed in pieces is the range`() async throws {
        let face = try await filled(40, bytes: 50_000)
        let call = try await face.channel.serverStream("/etcdserverpb.KV/RangeStream", request(limit: 30))
        var pieces: [Piece] = []
        while let message = try await call.next() { pieces.append(try Piece(message)) }
        #expect(pieces.flatMap(\.keys) == (0..<30).map { "s/\(10_000 + $0)" } && pieces.count > 2)
        #expect(pieces.dropLast().allSatisfy { $0.revision == nil && $0.count == 0 })
        #expect(pieces.last?.revision == 41 && pieces.last?.count == 40)
        try await face.end()
    }

    @Test func `pieces are small and of one revision, however large the range and whatever is written meanwhile`()
        async throws
    {
        let face = try await filled(800, bytes: 20_000)
        let before = face.replica.view().revision.rawValue
        let call = try await face.channel.serverStream("/etcdserverpb.KV/RangeStream", request())
        var pieces: [Piece] = []
        while let message = try await call.next() {
            pieces.append(try Piece(message))
            // Where it has been, and where it comes yet.
            for i in [0, 400, 799] { try await face.put("s/\(10_000 + i)", "later") }
            _ = try await face.replica.propose(Txn(success: [.delete(Key("s/\(10_700 + pieces.count)"))]))
        }
        #expect(pieces.flatMap(\.keys) == (0..<800).map { "s/\(10_000 + $0)" })
        #expect(pieces.allSatisfy { $0.bytes < 600_000 } && pieces.count > 20)
        #expect(pieces.flatMap(\.modRevisions).allSatisfy { $0 <= before })
        #expect(pieces.last?.revision == before && pieces.last?.count == 800)
        #expect(face.replica.view().revision.rawValue > before)
        try await face.end()
    }
}
