// Answers within a transaction, byte for byte as etcd gives them: a header with the revision alone, in a nested
// transaction an empty one.
import KVEtcd
import NIOCore
import NIOPosix
import NetGRPC
import TestSupport
import Testing

@Suite(.serialized) struct TxnHeaderTests {
    private static func range(_ key: String) -> [UInt8] { request { $0.message(1) { $0.string(1, key) } } }
    private static func put(_ key: String) -> [UInt8] {
        request {
            $0.message(2) {
                $0.string(1, key); $0.string(2, "1")
            }
        }
    }
    private static func delete(_ key: String) -> [UInt8] { request { $0.message(3) { $0.string(1, key) } } }
    private static func txn(_ operations: [UInt8]...) -> [UInt8] {
        request { writer in for one in operations { writer.byteArray(2, one) } }
    }
    private static func nested(_ operations: [UInt8]...) -> [UInt8] {
        request { writer in writer.message(4) { for one in operations { $0.byteArray(2, one) } } }
    }

    /// In this order on an empty store; what etcd answered, without the outer header.
    private static let calls: [(txn: [UInt8], answer: String)] = [
        (txn(put("x")), "10011a0612040a021802"),
        (
            txn(range("x"), range("nope")),
            "10011a160a140a021802120c0a01781002180220012a013120011a060a040a021802"
        ),
        (
            txn(range("x"), put("y"), range("y"), delete("nope"), delete("x"), range("x")),
            "10011a160a140a021802120c0a01781002180220012a013120011a0612040a0218031a160a140a021803120c0a01791003180320012a"
                + "013120011a061a040a0218031a081a060a02180310011a060a040a021803"
        ),
        (txn(delete("nope")), "10011a061a040a021803"),
        (
            txn(delete("nope"), range("y"), put("y")),
            "10011a061a040a0218031a160a140a021803120c0a01791003180320012a013120011a0612040a021804"
        ),
        (
            txn(range("y"), nested(range("y"), put("z"), range("z")), range("z")),
            "10011a160a140a021804120c0a01791003180420022a013120011a3e223c0a0010011a160a140a021804120c0a01791003180420022a"
                + "013120011a0612040a0218051a160a140a021805120c0a017a1005180520012a013120011a160a140a021805120c0a017a1005"
                + "180520012a01312001"
        ),
        (
            txn(nested(range("y")), put("q")),
            "10011a1e221c0a0010011a160a140a021805120c0a01791003180420022a013120011a0612040a021806"
        ),
        (txn(nested(range("y"))), "10011a1e221c0a0010011a160a140a021806120c0a01791003180420022a01312001"),
        (
            txn(put("y"), nested(range("y"), delete("nope"))),
            "10011a0612040a0218071a2622240a0010011a160a140a021807120c0a01791003180720032a013120011a061a040a021807"
        ),
        (
            txn(nested(nested(put("w")), range("w"))),
            "10011a2e222c0a0010011a0e220c0a0010011a0612040a0218081a160a140a021808120c0a01771008180820012a01312001"
        ),
        (txn(nested()), "10011a0622040a001001"), (txn(), "1001")
    ]

    private func compare(_ channel: GRPCChannel) async throws {
        for (number, call) in Self.calls.enumerated() {
            let answer = try await channel.unary("/etcdserverpb.KV/Txn", call.txn)
            // The outer header differs from store to store, and is the first.
            let header = answer.count > 1 ? 2 + Int(answer[1]) : 0
            let digits = answer.dropFirst(header).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            #expect(digits == call.answer, "call \(number)")
        }
    }

    @Test func `answers within a transaction carry the revision of their turn and nothing else`() async throws {
        let face = try await Face()
        try await compare(face.channel)
        try await face.end()
    }

    @Test(.enabled(if: Shell.has("etcd"))) func `etcd answers within a transaction are the same`() async throws {
        let etcd = try RealEtcd()
        defer { etcd.end() }
        let parts = etcd.endpoint.split(separator: ":")
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let port = parts.last.flatMap { Int($0) } ?? 0
        let channel = GRPCChannel(target: .tcp(host: "127.0.0.1", port: port, tls: nil), group: group)
        try await compare(channel)
        await channel.close()
        try await group.shutdownGracefully()
    }
}
