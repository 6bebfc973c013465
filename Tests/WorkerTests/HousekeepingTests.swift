// Logs stay bounded, and images make room: on real files and a runtime that only remembers.
import API
import Glibc
import Kubelet
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

private func inScratch(_ body: (String) async throws -> Void) async throws {
    var template = Array("/tmp/kubelet-housekeeping-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw FileError("mkdtemp", "/tmp") }
    let directory = String(cString: made)
    defer { do { try Files.removeTree(directory) } catch { Issue.record("\(error)") } }
    try await body(directory)
}

struct LogRotationTests {
    private func status(_ directory: String) -> ContainerStatus {
        var status = ContainerStatus()
        status.id = "c1"
        status.logPath = directory + "/0.log"
        return status
    }

    private func rotation(_ runtime: StillRuntime) -> LogRotation {
        LogRotation(runtime: runtime, bytesMax: 10, filesMax: 3, logger: Logger(label: "test"))
    }

    @Test func `a log above the limit is put aside, the runtime opens a new one, and the oldest go`() async throws {
        try await inScratch { directory in
            let runtime = StillRuntime()
            for round in 1...5 {
                try Files.write("line \(round) of the log\n", to: directory + "/0.log")
                let now: Nanoseconds = .seconds(1_700_000_000 + Int64(round))
                await rotation(runtime).rotate(status(directory), now: now)
                #expect(!Files.exists(directory + "/0.log"))
            }
            let kept = try Files.list(directory)
            #expect(kept == ["0.log.20231114-221324", "0.log.20231114-221325"])
            #expect(try Files.text(directory + "/" + kept[1]) == "line 5 of the log\n")
            #expect(runtime.state.withLock { $0.reopenedLogs } == Array(repeating: "c1", count: 5))
        }
    }

    @Test func `a log below the limit, and one that the runtime does not reopen, stay where they are`() async throws {
        try await inScratch { directory in
            let runtime = StillRuntime()
            try Files.write("short\n", to: directory + "/0.log")
            await rotation(runtime).rotate(status(directory), now: .seconds(1))
            #expect(try Files.list(directory) == ["0.log"])
            runtime.state.withLock { $0.refusesReopening = true }
            try Files.write("longer than ten bytes\n", to: directory + "/0.log")
            await rotation(runtime).rotate(status(directory), now: .seconds(2))
            #expect(try Files.list(directory) == ["0.log"])
            #expect(try Files.text(directory + "/0.log") == "longer than ten bytes\n")
        }
    }
}

struct ImageCollectionTests {
    private func image(_ id: String, _ tag: String, isPinned: Bool = false) -> Image {
        var image = Image()
        image.id = id
        image.tags = [tag]
        image.isPinned = isPinned
        return image
    }

    private func collect(
        in directory: String, _ runtime: StillRuntime, pulled: [String],
        disk: @escaping @Sendable (String) -> Disk?
    ) async throws {
        for id in pulled { try PulledImages(rootDirectory: directory).add(id) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        var configuration = KubeletConfiguration(nodeName: "n", nodeIPs: ["127.0.0.1"])
        configuration.rootDirectory = directory
        configuration.sandboxImage = "tern.local/pause:1"
        let prober = try ProbeExecutor(runtime: runtime, group: group, logger: logger)
        let executor = PodExecutor(
            configuration: configuration, machine: MachineFacts(), runtime: runtime, client: MemoryClient(),
            prober: prober, logger: logger)
        let loop = KubeletLoop(executor: executor, relistEvery: .seconds(1), logger: logger)
        await Housekeeping(executor: executor, loop: loop, logger: logger).collectImages(disk: disk)
        await prober.shutdown()
        try await group.shutdownGracefully()
    }

    private func runtime() -> StillRuntime {
        let runtime = StillRuntime()
        var container = ContainerEntry()
        container.imageReference = "used"
        runtime.state.withLock { state in
            state.containers = [container]
            state.images = [
                image("used", "example/used:1"), image("old", "example/old:1"), image("loaded", "tern.local/web:1"),
                image("pause", "tern.local/pause:1"), image("pinned", "example/pinned:1", isPinned: true),
                image("older", "example/older:1")
            ]
        }
        return runtime
    }

    private let everything = ["used", "old", "pause", "pinned", "older"]

    @Test func `a full disk loses what was pulled here and nobody uses, never sandbox, loaded or pinned images`()
        async throws
    {
        try await inScratch { directory in
            let runtime = runtime()
            try await collect(in: directory, runtime, pulled: everything) { _ in Disk(totalBytes: 100, freeBytes: 5) }
            #expect(runtime.state.withLock { $0.removedImages } == ["old", "older"])
            #expect(!PulledImages(rootDirectory: directory).contains("old"))
        }
    }

    @Test func `a disk below the upper limit keeps everything, and room enough ends the removal`() async throws {
        try await inScratch { directory in
            let runtime = runtime()
            try await collect(in: directory, runtime, pulled: everything) { _ in Disk(totalBytes: 100, freeBytes: 20) }
            #expect(runtime.state.withLock { $0.removedImages } == [])
            try await collect(in: directory, runtime, pulled: everything) { _ in
                let removed = runtime.state.withLock { $0.removedImages.count }
                return Disk(totalBytes: 100, freeBytes: removed == 0 ? 5 : 25)
            }
            #expect(runtime.state.withLock { $0.removedImages } == ["old"])
        }
    }
}
