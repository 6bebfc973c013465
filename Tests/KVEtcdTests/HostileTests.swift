// Requests that no honest client sends: altered bytes of every message are answered with a status, nothing is changed
// by what was refused, and the member goes on. Garbage on the ports is dropped.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import Testing

@Suite(.serialized) struct HostileTests {
    private static let unary = [
        "KV/Range", "KV/RangeStream", "KV/Put", "KV/DeleteRange", "KV/Txn", "KV/Compact", "Lease/LeaseGrant",
        "Lease/LeaseRevoke", "Lease/LeaseTimeToLive", "Lease/LeaseLeases", "Cluster/MemberList", "Cluster/MemberUpdate",
        "Cluster/MemberRemove", "Maintenance/Status", "Maintenance/Alarm", "Maintenance/HashKV", "Maintenance/Hash",
        "Maintenance/MoveLeader", "Auth/UserAdd", "Auth/Authenticate"
    ]

    /// A message with something of everything.
    private func seed() -> [UInt8] {
        var writer = ProtobufWriter()
        writer.message(1) { compare in
            compare.int(1, 1)
            compare.int(2, 3)
            compare.string(3, "key")
            compare.string(7, "value")
        }
        writer.message(2) { op in
            op.message(2) { put in
                put.string(1, "key"); put.string(2, "value")
            }
        }
        writer.message(3) { op in
            op.message(4) { txn in
                txn.message(2) { inner in
                    inner.message(3) {
                        $0.string(1, "a"); $0.string(2, "b")
                    }
                }
            }
        }
        writer.int64(4, 3)
        writer.int64(5, 1)
        return writer.bytes
    }

    private func altered(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 0...4, using: &random) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: at)
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
            default: bytes.removeLast(bytes.count - at)
            }
        }
        return bytes
    }

    /// What a refused request must leave as it was: the revision, what is compacted, all keys.
    private func mark(_ face: Face) -> [String] {
        let view = face.replica.view()
        var hash = Hash64()
        view.forEach(.all) { record in
            hash.add(record.key.bytes)
            hash.add(record.value)
            hash.add(UInt64(bitPattern: record.modRevision.rawValue))
            return true
        }
        return ["\(view.revision)", "\(view.compactRevision)", "\(view.keyCount)", "\(hash.value)"]
    }

    @Test func `altered requests get a status and the member goes on`() async throws {
        let face = try await Face()
        var random = SeededGenerator(seed: 5)
        var codes: Set<Int> = []
        for round in 0..<1500 {
            let method = Self.unary[round % Self.unary.count]
            let message = altered(seed(), &random)
            let before = mark(face)
            do throws(GRPCStatus) {
                _ = try await face.channel.unary("/etcdserverpb.\(method)", message)
                codes.insert(0)
            } catch {
                codes.insert(error.code.rawValue)
                #expect(mark(face) == before, "\(method) was refused with \(error) and changed something: \(message)")
            }
        }
        // Done, malformed, refused.
        #expect(codes.isSuperset(of: [0, GRPCCode.internal.rawValue, GRPCCode.invalidArgument.rawValue]))
        try await face.put("still", "there")
        #expect(try await face.range("still").count == 1)
        try await face.end()
    }

    @Test func `altered messages of streams end the stream and nothing else`() async throws {
        let face = try await Face()
        var random = SeededGenerator(seed: 6)
        var create = ProtobufWriter()
        create.message(1) {
            $0.string(1, "a"); $0.string(2, "b"); $0.int64(3, 1); $0.packed(5, [0, 1]); $0.int64(7, 4)
        }
        for method in ["Watch/Watch", "Lease/LeaseKeepAlive"] {
            for _ in 0..<100 {
                let call = try await face.channel.open("/etcdserverpb.\(method)")
                for _ in 0..<3 { call.send(altered(create.bytes, &random)) }
                // A watch stream goes on when its requests have ended: one that still lives answers this.
                call.send(WatchAsk.progress)
                call.finishSending()
                do throws(GRPCStatus) {
                    while let message = try await call.next() { if isProgress(message) { call.cancel() } }
                } catch { #expect(error.code != .unknown) }
            }
        }
        try await face.put("still", "there")
        try await face.end()
    }

    private func isProgress(_ message: [UInt8]) -> Bool {
        do {
            let answer = try WatchAnswer(message)
            return answer.isProgress && answer.id == -1
        } catch { return false }
    }

    @Test func `garbage on the port is dropped`() async throws {
        let face = try await Face()
        var random = SeededGenerator(seed: 7)
        for round in 0..<40 {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = UInt16(face.port).bigEndian
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            let isConnected = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            #expect(isConnected)
            let preface = round % 2 == 0 ? Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) : []
            let garbage = preface + (0..<400).map { _ in UInt8.random(in: 0...255, using: &random) }
            send(descriptor, garbage, garbage.count, Int32(MSG_NOSIGNAL))
            shutdown(descriptor, Int32(SHUT_WR))
            close(descriptor)
        }
        try await face.put("still", "there")
        #expect(try await face.range("still").count == 1)
        try await face.end()
    }
}
