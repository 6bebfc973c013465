// What the network tests share: event loops, a certificate authority, a running server, outside programs (curl, openssl)
// and a blocking TCP socket for malformed input.
import Foundation
import NIOCore
import NIOPosix
import NetHTTP
import NetPKI
import Synchronization
import Testing

let testGroup = MultiThreadedEventLoopGroup(numberOfThreads: 2)

/// One authority for all tests, with a server and a client identity.
struct TestPKI {
    let ca: CertificateAuthority
    let server: IssuedCertificate
    let client: IssuedCertificate

    init() throws {
        ca = try CertificateAuthority.make(commonName: "test-ca")
        server = try ca.issue(
            CertificateSpec(
                commonName: "server", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1", "::1"], usages: [.server]))
        client = try ca.issue(CertificateSpec(commonName: "alice", organizations: ["dev", "ops"], usages: [.client]))
    }

    static let shared: TestPKI = { do { return try TestPKI() } catch { fatalError("\(error)") } }()

    func serverTLS(policy: ClientCertificatePolicy = .optional) throws -> ServerTLS {
        try ServerTLS(
            certificatePEM: server.certificatePEM, keyPEM: server.keyPEM, clientCAPEM: ca.certificatePEM, policy: policy
        )
    }

    func clientTLS(identity: IssuedCertificate? = nil, alpn: [String] = ["h2", "http/1.1"]) throws -> ClientTLS {
        try ClientTLS(trustRootsPEM: ca.certificatePEM, identity: try identity.map { try TLSIdentity($0) }, alpn: alpn)
    }
}

/// A server on a free loopback port for the time of `body`.
func withServer(
    tls: ServerTLS? = nil, adjust: (inout HTTPServerConfiguration) -> Void = { _ in },
    service: @escaping @Sendable (HTTPRequest, HTTPResponseWriter) -> Void, body: (Int) async throws -> Void
) async throws {
    var configuration = HTTPServerConfiguration(host: "127.0.0.1", port: 0, tls: tls)
    adjust(&configuration)
    let server = HTTPServer(configuration: configuration, service: HTTPClosureService(service), group: testGroup)
    let port = try await server.start()
    do {
        try await body(port)
    } catch {
        await server.stop(grace: .milliseconds(200))
        throw error
    }
    await server.stop(grace: .milliseconds(200))
}

/// A folder that is removed again.
func withFolder(_ body: (String) async throws -> Void) async throws {
    let path = NSTemporaryDirectory() + "nettests-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { do { try FileManager.default.removeItem(atPath: path) } catch { print("left behind: \(path)") } }
    try await body(path)
}

/// Runs an outside program; nil when the machine has none.
func run(
    _ program: String, _ arguments: [String], input: String? = nil
) async throws -> (status: Int32, output: String, errors: String)? {
    guard FileManager.default.isExecutableFile(atPath: program) else { return nil }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    let (output, errors, feed) = (Pipe(), Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = feed
    try process.run()
    if let input { feed.fileHandleForWriting.write(Data(input.utf8)) }
    try feed.fileHandleForWriting.close()
    return await withCheckedContinuation { continuation in
        Thread {
            let out = output.fileHandleForReading.readDataToEndOfFile()
            let err = errors.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            continuation.resume(
                returning: (
                    process.terminationStatus, String(decoding: out, as: UTF8.self),
                    String(decoding: err, as: UTF8.self)
                ))
        }.start()
    }
}

/// Sends bytes over a plain TCP connection and returns everything until the server closes, or `isDone` holds, or the timeout.
func exchange(
    port: Int, _ parts: [String], pause: TimeAmount = .milliseconds(20), seconds: Int = 60,
    until isDone: (@Sendable () -> Bool)? = nil
) async throws -> String {
    let collector = Collector()
    let channel = try await ClientBootstrap(group: testGroup).channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Collecting(collector)) }
    }.connect(host: "127.0.0.1", port: port).get()
    for part in parts {
        channel.writeAndFlush(ByteBuffer(string: part), promise: nil)
        try await Task.sleep(nanoseconds: UInt64(pause.nanoseconds))
    }
    if let isDone {
        _ = try await eventually { isDone() }
        channel.close(promise: nil)
    }
    let deadline = channel.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) {
        Issue.record("the server did not close within \(seconds) s")
        channel.close(promise: nil)
    }
    await withCheckedContinuation { continuation in channel.closeFuture.whenComplete { _ in continuation.resume() } }
    deadline.cancel()
    return collector.text
}

final class Collector: Sendable {
    private let bytes = Mutex(ByteBuffer())
    var text: String { bytes.withLock { String(buffer: $0) } }
    func append(_ more: ByteBuffer) { bytes.withLock { _ = $0.writeImmutableBuffer(more) } }
}

private final class Collecting: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let collector: Collector
    init(_ collector: Collector) { self.collector = collector }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { collector.append(unwrapInboundIn(data)) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// A counter that tests wait on.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { count.load(ordering: .sequentiallyConsistent) }
    func increment() { count.wrappingAdd(1, ordering: .sequentiallyConsistent) }
}

/// Polls until the condition holds, for at most `seconds`.
func eventually(seconds: Double = 60, _ condition: () -> Bool) async throws -> Bool {
    let end = Date().addingTimeInterval(seconds)
    while Date() < end {
        if condition() { return true }
        try await Task.sleep(nanoseconds: 5_000_000)
    }
    return condition()
}
