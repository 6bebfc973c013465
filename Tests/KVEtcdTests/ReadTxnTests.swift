// Transactions that only read, and ranges that look at a lot: answered beside the replica, as any other.
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import Testing

@Suite(.serialized) struct ReadTxnTests {
    private func filled(_ count: Int) async throws -> Face {
        let face = try await Face()
        for start in stride(from: 0, to: count, by: 100) {
            let puts = (start..<min(start + 100, count)).map { Op.put(Key("k\($0)"), Array("v\(count - $0)".utf8)) }
            _ = try await face.replica.propose(Txn(success: puts))
        }
        return face
    }

    /// The keys of each range of the answer, and whether the comparisons held.
    private func read(_ message: [UInt8]) throws -> (succeeded: Bool, ranges: [[String]]) {
        var reader = ProtobufReader(message)
        var found: (succeeded: Bool, ranges: [[String]]) = (false, [])
        while try reader.next() {
            if reader.field == 2 { found.succeeded = try reader.int64() == 1 }
            guard reader.field == 3 else { continue }
            var op = try reader.message()
            while try op.next() { if op.field == 1 { found.ranges.append(try keys(op.message())) } }
        }
        return found
    }

    private func keys(_ message: ProtobufReader) throws -> [String] {
        var (reader, keys) = (message, [String]())
        while try reader.next() {
            guard reader.field == 2 else { continue }
            var record = try reader.message()
            while try record.next() { if record.field == 1 { keys.append(try record.string()) } }
        }
        return keys
    }

    @Test func `a transaction that only reads makes no entry of the log, one that may write does`() async throws {
        let face = try await filled(3000)
        var txn = ProtobufWriter()
        txn.message(1) {  // version of k7 = 1
            $0.string(3, "k7"); $0.int64(4, 1)
        }
        for _ in 0..<2 {
            txn.message(2) {
                $0.message(1) {
                    $0.string(1, "k1"); $0.string(2, "k2"); $0.int64(3, 2)
                }
            }
        }
        txn.message(2) {
            $0.message(1) {
                $0.string(1, "\0"); $0.string(2, "\0")
            }
        }
        let before = face.replica.status.counters.proposalsTotal
        let answer = try read(try await face.channel.unary("/etcdserverpb.KV/Txn", txn.bytes))
        #expect(answer.succeeded)
        #expect(answer.ranges.map(\.count) == [2, 2, 3000])
        #expect(answer.ranges[0] == ["k1", "k10"])
        #expect(face.replica.status.counters.proposalsTotal == before)
        // The branch that is not taken would write.
        txn.message(3) {
            $0.message(2) {
                $0.string(1, "other"); $0.string(2, "x")
            }
        }
        let same = try read(try await face.channel.unary("/etcdserverpb.KV/Txn", txn.bytes))
        #expect(same.ranges == answer.ranges && same.succeeded)
        #expect(face.replica.status.counters.proposalsTotal == before + 1)
        try await face.end()
    }

    @Test func `many large sorted ranges at once are all answered`() async throws {
        let face = try await filled(5000)
        let channel = face.channel
        let answers = try await withThrowingTaskGroup(of: [UInt8].self) { group in
            for limit in 1...40 {
                group.addTask {
                    var writer = ProtobufWriter()
                    writer.string(1, "k")
                    writer.string(2, "l")
                    writer.int64(3, Int64(limit))
                    writer.int(5, 2)  // descending
                    writer.int(6, 1)  // by version; then by key
                    return try await channel.unary("/etcdserverpb.KV/Range", writer.bytes)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let found = try answers.map { try keys(ProtobufReader($0)) }.sorted { $0.count < $1.count }
        #expect(found.map(\.count) == Array(1...40))
        #expect(found.allSatisfy { Array(found[39].prefix($0.count)) == $0 })
        try await face.end()
    }

    @Test func `a transaction that would look at too much is refused`() async throws {
        let face = try await filled(4000)
        var txn = ProtobufWriter()
        for _ in 0..<4 {
            txn.message(2) { op in
                op.message(4) { nested in
                    for _ in 0..<100 {
                        nested.message(2) {
                            $0.message(1) { range in
                                range.string(1, "k"); range.string(2, "l")
                            }
                        }
                    }
                }
            }
        }
        await #expect(throws: GRPCStatus(.invalidArgument, "etcdserver: too many operations in txn request")) {
            try await face.channel.unary("/etcdserverpb.KV/Txn", txn.bytes)
        }
        #expect(try await face.range("k1", "k2").count > 0)
        try await face.end()
    }
}
