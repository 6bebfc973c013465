// A member whose state was altered on its disk.
import CSQLite
import KVReplica
import TestSupport
import Testing

extension Face {
    /// One of three, whose others have stopped: its state cannot be made anew from its log, and nobody is there who could
    /// send a better one.
    static func wrong() async throws -> (face: Face, others: [Replica]) {
        let (first, others) = try await Face.ofThree()
        try await first.put("k", "value")
        let own = first.replica.configuration
        for other in others { await other.stop() }
        try await first.end(keepsData: true)
        alter(own.dataDirectory, "UPDATE current SET record = x'00'; UPDATE history SET events = x'00'")
        Shell.remove("\(own.dataDirectory)/raft.log")
        return (try await Face(directory: own.dataDirectory, isSettled: false) { $0 = own }, others)
    }

    /// Of a member that does not run.
    static func alter(_ directory: String, _ statements: String) {
        var handle: OpaquePointer?
        #expect(sqlite3_open_v2("\(directory)/state.sqlite", &handle, SQLITE_OPEN_READWRITE, nil) == SQLITE_OK)
        #expect(sqlite3_exec(handle, statements, nil, nil, nil) == SQLITE_OK)
        sqlite3_close_v2(handle)
    }
}
