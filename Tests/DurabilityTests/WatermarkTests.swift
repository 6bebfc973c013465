// A disk that fills up: new writes are refused before it is full, so that there is room for what makes room.
import Glibc
import NIOCore
import NetGRPC
import TestSupport
import Testing
import Worker

private func message(_ build: (inout ProtobufWriter) -> Void) -> [UInt8] {
    var writer = ProtobufWriter()
    build(&writer)
    return writer.bytes
}

private func freeBytes(_ path: String) -> Int {
    var facts = statvfs()
    return statvfs(path, &facts) == 0 ? Int(facts.f_bavail * facts.f_frsize) : -1
}

@Suite(
    .serialized, .enabled(if: TernProgram.path != nil && geteuid() == 0, "needs the program, and root"),
    .timeLimit(.minutes(5)))
struct WatermarkTests {
    private func eventually(_ what: String, _ holds: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if try await holds() { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw StoreError(description: "not within a minute: \(what)")
    }

    @Test func `a disk that is nearly full refuses new writes, lets the rest go on, and lifts it by itself`()
        async throws
    {
        try await withFolder { folder, port in
            let data = "\(folder)/data"
            try Files.makeDirectory(data)
            let store = try StoreProcess(folder: folder, data: data, port: port, roomMegabytes: 64)
            do { try await fillUp(store, data) } catch {
                await store.kill()
                throw error
            }
            await store.kill()
        }
    }

    private func take(roomOf store: StoreProcess, _ data: String, butBytes bytes: Int) -> String {
        let ballast = store.outside("\(data)/ballast")
        let descriptor = open(ballast, O_CREAT | O_WRONLY, 0o600)
        #expect(posix_fallocate(descriptor, 0, off_t(freeBytes(store.outside(data)) - bytes)) == 0)
        close(descriptor)
        return ballast
    }

    @Test func `a full disk acknowledges nothing, goes on reading, and takes writes again when there is room`()
        async throws
    {
        try await withFolder { folder, port in
            let data = "\(folder)/data"
            try Files.makeDirectory(data)
            let store = try StoreProcess(
                folder: folder, data: data, port: port, roomMegabytes: 64, flags: ["--disk-free-bytes-min=-1"])
            do { try await overflow(store, data) } catch {
                await store.kill()
                throw error
            }
            await store.kill()
        }
    }

    private func overflow(_ store: StoreProcess, _ data: String) async throws {
        #expect(try await store.becomesReady(), "\(store.lastWords)")
        #expect(await store.put("kept", "1"))
        let ballast = take(roomOf: store, data, butBytes: 0)
        #expect(freeBytes(store.outside(data)) == 0)
        try await fillLog(store)
        #expect(!store.hasEnded, "\(store.lastWords)")
        #expect(try await store.values("kept") == ["kept": 1])
        unlink(ballast)
        try await eventually("writes are taken again") { await store.put("after", "1") }
        #expect(try await store.values("kept") == ["kept": 1])
        try await store.terminate()
    }

    /// The log goes on in room that it took before, until that is used up: then a write is acknowledged by nobody, and
    /// nobody is served what it wrote. One that was only late is served, and the log has room still.
    private func fillLog(_ store: StoreProcess) async throws {
        let large = String(repeating: "x", count: 200_000)
        for round in 0..<20 {
            var written = 0
            while await store.put("filler", large, within: .seconds(3)) {
                written += 1
                try #require(written < 1000, "the disk is never full")
            }
            let isTaken = await store.put("more-\(round)", "1", within: .seconds(3))
            if try await store.values("more-\(round)") == [:] { return #expect(!isTaken) }
        }
        Issue.record("what nobody acknowledged is served")
    }

    private func fillUp(_ store: StoreProcess, _ data: String) async throws {
        #expect(try await store.becomesReady(), "\(store.lastWords)")
        let grant = message {
            $0.int64(1, 600); $0.int64(2, 77)
        }
        #expect(await store.refusal("/etcdserverpb.Lease/LeaseGrant", grant) == nil)
        #expect(await store.put("kept", "1"))
        // Two of sixty-four megabytes are less than a twentieth.
        let ballast = take(roomOf: store, data, butBytes: 2 << 20)
        let put = message {
            $0.string(1, "more"); $0.string(2, "1")
        }
        try await eventually("new writes are refused") {
            await store.refusal("/etcdserverpb.KV/Put", put)?.contains("mvcc: database space exceeded") == true
        }
        // Nothing was full meanwhile.
        #expect(freeBytes(store.outside(data)) > 0)
        let revoked = message { $0.int64(1, 77) }
        let deleted = message { $0.string(1, "ready") }
        let compacted = message { $0.int64(1, 2) }
        #expect(await store.refusal("/etcdserverpb.KV/DeleteRange", deleted) == nil)
        #expect(await store.refusal("/etcdserverpb.KV/Compact", compacted) == nil)
        #expect(await store.refusal("/etcdserverpb.Lease/LeaseRevoke", revoked) == nil)
        #expect(try await store.values("kept") == ["kept": 1])
        unlink(ballast)
        try await eventually("writes are taken again") {
            await store.refusal("/etcdserverpb.KV/Put", put) == nil
        }
        #expect(try Files.text(store.log).contains("nearly full"))
        #expect(try Files.text(store.log).contains("room again"))
    }
}
