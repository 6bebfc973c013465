// A member whose state is known to be wrong says so, and answers nothing from it: least of all a backup.
import CSQLite
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import Testing

@Suite(.serialized) struct FencedTests {
    private func execute(_ sql: String, _ file: String) {
        var handle: OpaquePointer?
        #expect(sqlite3_open_v2(file, &handle, SQLITE_OPEN_READWRITE, nil) == SQLITE_OK)
        #expect(sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK)
        sqlite3_close_v2(handle)
    }

    @Test func `a member whose state is wrong answers nothing from it, and makes no backup`() async throws {
        let (first, others) = try await Face.ofThree()
        try await first.put("k", "value")
        let own = first.replica.configuration
        for other in others { await other.stop() }
        try await first.end(keepsData: true)
        execute(
            "UPDATE current SET record = x'00'; UPDATE history SET events = x'00'",
            "\(own.dataDirectory)/state.sqlite")
        // Neither can it be made anew from the log, nor is anybody there who could send a better one.
        Shell.remove("\(own.dataDirectory)/raft.log")
        let face = try await Face(directory: own.dataDirectory, isSettled: false) { $0 = own }
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
