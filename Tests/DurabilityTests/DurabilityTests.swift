// What was acknowledged is on the disk: power cuts of a real file system, death at counted system calls, failing and
// full disks, under writers. `ROUNDS=n` makes it longer.
import Glibc
import TestSupport
import Testing
import Worker

private let rounds = getenv("ROUNDS").flatMap { Int(String(cString: $0)) } ?? 1

/// A folder, a port, and promises for the time of one test.
func withFolder(_ body: (_ folder: String, _ port: Int) async throws -> Void) async throws {
    var template = Array("/tmp/tern-durability-XXXXXX".utf8CString)
    let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    let port = Int.random(in: 6000..<15000) * 2
    do { try await body(folder, port) } catch {
        try Subprocess.run(["rm", "-rf", "--one-file-system", folder])
        throw error
    }
    try Subprocess.run(["rm", "-rf", "--one-file-system", folder])
}

@Suite(
    .serialized, .enabled(if: TernProgram.path != nil, "needs the program beside the tests"),
    .timeLimit(.minutes(15)))
struct DurabilityTests {
    @Test(.enabled(if: LoopDisk.isPossible, "needs root, mkfs.ext4 and loop devices"))
    func `a power cut loses nothing that was acknowledged`() async throws {
        let broken = try await powerCuts(afterMilliseconds: [5, 40, 90, 200, 350, 20])
        #expect(broken.isEmpty, "\(broken)")
    }

    /// The proof that the test above would notice.
    @Test(.enabled(if: LoopDisk.isPossible && Subprocess.find("strace") != nil, "needs root, loop devices, strace"))
    func `a store whose syncs do nothing is caught by a power cut`() async throws {
        let broken = try await powerCuts(
            afterMilliseconds: [200, 300, 400, 200, 300, 400], injection: "fdatasync:retval=0")
        #expect(!broken.isEmpty)
    }

    /// Writes and cuts the power again and again on one disk; the promises that were not kept.
    private func powerCuts(afterMilliseconds: [Int], injection: String? = nil) async throws -> [String] {
        var broken: [String] = []
        try await withFolder { folder, port in
            let disk = try LoopDisk(folder)
            let promises = Promises()
            do {
                for milliseconds in Array(repeating: afterMilliseconds, count: rounds).joined() where broken.isEmpty {
                    let store = try StoreProcess(
                        folder: folder, data: "\(disk.path)/data", port: port, injection: injection)
                    #expect(try await store.becomesReady(), "\(store.lastWords)")
                    try await cut(disk, store, promises, afterMilliseconds: milliseconds)
                    let again = try StoreProcess(folder: folder, data: "\(disk.path)/data", port: port)
                    // A store that cannot start on what is left has lost it.
                    broken = try await again.becomesReady() ? try await unkept(again, promises) : [again.lastWords]
                    await again.kill()
                }
            } catch {
                try disk.unmount()
                throw error
            }
            #expect(promises.acknowledged > 0)
            try disk.unmount()
        }
        return broken
    }

    private func cut(
        _ disk: LoopDisk, _ store: StoreProcess, _ promises: Promises, afterMilliseconds: Int
    ) async throws {
        try await promises.write(to: store) {
            try await promises.grow(by: 10, afterMilliseconds: afterMilliseconds, in: store)
            try disk.cutPower()
            // What goes on after the cut must not be acknowledged.
            try await Task.sleep(for: .milliseconds(50))
            await store.kill()
        }
        try disk.unmount()
        try disk.mount()
    }

    /// The places of the kill, by system call and count: of those that a store makes whose data are there, the first ones
    /// and some later ones.
    private static let places: [(call: String, when: [Int])] = [
        ("pwrite64", [1, 2, 3, 7, 12, 40, 90]), ("fdatasync", [1, 2, 3, 10, 60]), ("fsync", [1]), ("ftruncate", [1]),
        ("sync_file_range", [1]), ("openat", [20, 40]), ("write", [1, 2, 4])
    ]
    /// Of a first start, which makes the directories, the files and the copy of who takes part.
    private static let firstPlaces: [(call: String, when: [Int])] = [
        ("mkdir", [1, 2]), ("write", [1, 2, 3, 5]), ("rename", [1, 2]), ("fsync", [1, 2, 4]),
        ("unlink", [1]), ("ftruncate", [1]), ("pwrite64", [1, 2, 5, 9]), ("fdatasync", [1, 2, 9])
    ]

    @Test(.enabled(if: Subprocess.find("strace") != nil, "needs strace"))
    func `death at counted system calls loses nothing that was acknowledged`() async throws {
        try await withFolder { folder, port in
            let promises = Promises()
            var deaths = 0
            for (call, when) in Self.places {
                for number in when {
                    for _ in 0..<rounds {
                        let isDead = try await die(at: call, number, folder, port, promises)
                        deaths += isDead ? 1 : 0
                    }
                }
            }
            let store = try StoreProcess(folder: folder, data: "\(folder)/data", port: port)
            #expect(try await store.becomesReady(), "\(store.lastWords)")
            try await check(store, promises)
            await store.kill()
            #expect(promises.acknowledged > 0)
            let tried = rounds * Self.places.reduce(0) { $0 + $1.when.count }
            #expect(deaths * 2 > tried, "only \(deaths) deaths of \(tried): the calls are not made any more")
        }
    }

    @Test(.enabled(if: Subprocess.find("strace") != nil, "needs strace"))
    func `death at counted system calls of a first start leaves what a second one begins with`() async throws {
        try await withFolder { folder, port in
            var deaths = 0, tried = 0
            for (call, when) in Self.firstPlaces {
                for number in when {
                    let promises = Promises()
                    let data = "\(folder)/\(call)-\(number)"
                    tried += 1
                    deaths += try await die(at: call, number, folder, port, promises, data: data) ? 1 : 0
                    let store = try StoreProcess(folder: folder, data: data, port: port)
                    #expect(try await store.becomesReady(), "\(call) \(number): \(store.lastWords)")
                    try await check(store, promises)
                    await store.kill()
                }
            }
            #expect(deaths * 2 > tried, "only \(deaths) deaths of \(tried): the calls are not made any more")
        }
    }

    /// True when it died of the injection.
    private func die(
        at call: String, _ number: Int, _ folder: String, _ port: Int, _ promises: Promises, data: String? = nil
    ) async throws -> Bool {
        let store = try StoreProcess(
            folder: folder, data: data ?? "\(folder)/data", port: port,
            injection: "\(call):signal=SIGKILL:when=\(number)")
        if try await store.becomesReady() {
            try await check(store, promises, mayDie: true)
            try await promises.write(to: store) {
                try await promises.grow(by: 100, afterMilliseconds: 300, in: store)
            }
        }
        let isDead = store.hasEnded
        await store.kill()
        return isDead
    }

    @Test(
        .enabled(if: Subprocess.find("strace") != nil, "needs strace"),
        arguments: [
            "fdatasync:error=EIO:when=40+", "pwrite64:error=EIO:when=120+", "sync_file_range:error=EIO:when=2+"
        ])
    func `a failing disk ends the process, with a reason and with nothing lost`(injection: String) async throws {
        try await withFolder { folder, port in
            let promises = Promises()
            let store = try StoreProcess(folder: folder, data: "\(folder)/data", port: port, injection: injection)
            #expect(try await store.becomesReady())
            try await promises.write(to: store) {
                for _ in 0..<6000 where !store.hasEnded { try await Task.sleep(for: .milliseconds(10)) }
            }
            #expect(store.hasEnded, "it goes on with a disk that fails")
            await store.kill()
            #expect(store.lastWords.contains("errno 5"), "\(store.lastWords)")
            let again = try StoreProcess(folder: folder, data: "\(folder)/data", port: port)
            #expect(try await again.becomesReady())
            try await check(again, promises)
            await again.kill()
        }
    }

    @Test(.enabled(if: Subprocess.find("strace") != nil, "needs strace"))
    func `a file system on which writes cannot be sent on to the disk is as good`() async throws {
        try await goesOn(with: "sync_file_range:error=ESPIPE", milliseconds: 3000)
    }

    @Test(.enabled(if: Subprocess.find("strace") != nil, "needs strace"))
    func `writes that find no room wait, and are done when there is room`() async throws {
        try await goesOn(with: "pwrite64:error=ENOSPC:when=100..112", milliseconds: 1000)
    }

    /// It does not end, and nothing is lost.
    private func goesOn(with injection: String, milliseconds: Int) async throws {
        try await withFolder { folder, port in
            let promises = Promises()
            let store = try StoreProcess(folder: folder, data: "\(folder)/data", port: port, injection: injection)
            #expect(try await store.becomesReady())
            try await promises.write(to: store) {
                try await promises.grow(by: 100, afterMilliseconds: milliseconds, in: store)
            }
            #expect(!store.hasEnded, "\(store.lastWords)")
            #expect(try await store.becomesReady())
            try await check(store, promises)
            await store.kill()
            let again = try StoreProcess(folder: folder, data: "\(folder)/data", port: port)
            #expect(try await again.becomesReady())
            try await check(again, promises)
            await again.kill()
        }
    }

    @Test(.enabled(if: Subprocess.find("strace") != nil, "needs strace"), .timeLimit(.minutes(5)))
    func `a store whose disk has no room any more ends when it is told to`() async throws {
        try await withFolder { folder, port in
            let promises = Promises()
            let store = try StoreProcess(
                folder: folder, data: "\(folder)/data", port: port, injection: "pwrite64:error=ENOSPC:when=100+")
            #expect(try await store.becomesReady())
            try await promises.write(to: store) {
                for _ in 0..<50 where !store.hasEnded { try await Task.sleep(for: .milliseconds(10)) }
            }
            #expect(!store.hasEnded, "\(store.lastWords)")
            try await store.terminate()
            await store.kill()
            let again = try StoreProcess(folder: folder, data: "\(folder)/data", port: port)
            #expect(try await again.becomesReady())
            try await check(again, promises)
            await again.kill()
        }
    }

    /// Every promise is kept.
    private func check(_ store: StoreProcess, _ promises: Promises, mayDie: Bool = false) async throws {
        let broken = try await unkept(store, promises, mayDie: mayDie)
        #expect(broken.isEmpty, "\(broken)")
    }

    private func unkept(_ store: StoreProcess, _ promises: Promises, mayDie: Bool = false) async throws -> [String] {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if let stored = try await store.values(Promises.prefix) { return promises.broken(by: stored) }
            if mayDie && store.hasEnded { return [] }
            try await Task.sleep(for: .milliseconds(20))
        }
        return ["no answer to a linearizable read: \(store.lastWords)"]
    }
}
