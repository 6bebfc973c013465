// The log server on real files and a real socket: what the end of a log is while its container goes on writing.
import Glibc
import Kubelet
import Logging
import NIOCore
import NIOPosix
import NetHTTP
import Synchronization
import Testing

/// Serves one log file for the time of `body`, which gets a function that asks for it.
private func withLog(
    _ path: String, _ options: LogOptions, body: (_ get: () async throws -> String) async throws -> Void
) async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    let server = HTTPServer(
        configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0, tls: nil),
        service: HTTPClosureService { _, response in
            Task { await LogStreamer(path: path, options: options, isRunning: { true }).run(response) }
        }, group: group)
    let port = try await server.start()
    let client = HTTPClient(configuration: HTTPClientConfiguration(), group: group, logger: logger)
    let endpoint = HTTPEndpoint(host: "127.0.0.1", port: port, isSecure: false)
    try await body {
        String(buffer: try await client.send(HTTPClientRequest(method: "GET", endpoint: endpoint, target: "/")).body)
    }
    await client.shutdown()
    await server.stop(grace: .milliseconds(200))
}

@Suite(.timeLimit(.minutes(5)))
struct LogStreamerTests {
    @Test func `a line that is just being written is not the last one`() async throws {
        let path = "/tmp/tern-log-begun-\(getpid())"
        defer { unlink(path) }
        let lines = (0..<3).map { "2026-01-02T03:04:05.000000006Z stdout F line \($0)\n" }.joined()
        for (text, expected) in [(lines + "2026-01-02T03:04:05.00", "line 2\n"), ("2026-01", ""), ("", "")] {
            let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            _ = write(file, text, text.utf8.count)
            close(file)
            var options = LogOptions()
            options.tailLines = 1
            try await withLog(path, options) { get in
                let seen = try await get()
                #expect(seen == expected)
            }
        }
    }

    @Test func `without follow a log ends where it ended, however fast its container writes`() async throws {
        let path = "/tmp/tern-log-test-\(getpid())"
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600)
        defer {
            close(file)
            unlink(path)
        }
        @Sendable func line(_ number: Int) {
            let text = Array("2026-01-02T03:04:05.000000006Z stdout F line \(number)\n".utf8)
            _ = write(file, text, text.count)
        }
        for number in 0..<10 { line(number) }
        let box = Shared(from: 10)
        let writer = Thread { while !box.isStopped { line(box.next()) } }
        var options = LogOptions()
        options.tailLines = 1
        try await withLog(path, options) { get in
            for _ in 0..<3 {
                let text = try await get()
                #expect(text.split(separator: "\n").count == 1, "\(text.prefix(200))")
            }
        }
        box.stop()
        writer.join()
    }
}

/// A counter and a flag for the thread that writes.
private final class Shared: Sendable {
    private let stopped = Atomic<Bool>(false)
    private let number: Mutex<Int>
    init(from first: Int) { number = Mutex(first) }
    var isStopped: Bool { stopped.load(ordering: .relaxed) }
    func stop() { stopped.store(true, ordering: .relaxed) }
    func next() -> Int {
        number.withLock { number in
            number += 1
            return number
        }
    }
}

/// A thread of the test that can be waited for.
private struct Thread {
    private let handle: pthread_t
    init(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Body(body))
        var handle = pthread_t()
        let failed = pthread_create(
            &handle, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        precondition(failed == 0, "no thread: \(failed)")
        self.handle = handle
    }
    func join() { pthread_join(handle, nil) }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}
