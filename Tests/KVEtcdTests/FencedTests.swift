// A member whose state is known to be wrong says so, and answers nothing from it: least of all a backup.
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import TestSupport
import Testing

@Suite(.serialized) struct FencedTests {
    @Test func `a member whose state is wrong answers nothing from it, and makes no backup`() async throws {
        let (face, others) = try await Face.wrong()
        #expect(face.replica.status.isFenced)
        var range = ProtobufWriter()
        range.string(1, "k")
        range.bool(7, true)
        for (method, message) in [
            ("KV/Range", range.bytes), ("KV/RangeStream", range.bytes), ("Maintenance/Hash", []),
            ("Maintenance/HashKV", []), ("Maintenance/Snapshot", [])
        ] {
            do {
                let call = try await face.channel.serverStream("/etcdserverpb.\(method)", message)
                while try await call.next() != nil {}
                Issue.record("\(method) was answered")
            } catch let status {
                #expect(status.message == "etcdserver: corrupt cluster", "\(method)")
                #expect(status.code == .dataLoss)
            }
        }
        #expect(await face.replica.export() == nil)
        try await face.end()
        for other in others { Shell.remove(other.configuration.dataDirectory) }
    }
}
