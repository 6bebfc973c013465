// A whole API server over a one-peer replica, on a real TLS socket, with the real policy: what the server tests run against.
import API
import APIServer
import Foundation
import KVReplica
import Logging
import NIOCore
import NIOPosix
import NetHTTP
import NetPKI
import Synchronization

final class TestServer: Sendable {
    let replica: Replica
    let policy: Policy
    let server: APIServer
    let http: HTTPServer
    let port: Int
    let directory: String
    let group: MultiThreadedEventLoopGroup
    let authority: CertificateAuthority
    let logger: Logger

    init(adjust: (inout PolicyConfiguration) -> Void = { _ in }) async throws {
        directory = NSTemporaryDirectory() + "tern-api-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var logger = Logger(label: "test")
        logger.logLevel = .warning
        self.logger = logger
        group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        authority = try CertificateAuthority.make(commonName: "tern-ca")
        let kubeletIdentity = try TLSIdentity(
            try authority.issue(
                CertificateSpec(commonName: "kube-apiserver-kubelet-client", organizations: ["system:masters"])))
        var configuration = APIServerConfiguration(name: "m1")
        configuration.kubelet = KubeletAccess(
            tls: try ClientTLS(trustRootsPEM: authority.certificatePEM, identity: kubeletIdentity))
        replica = try Replica(.single(dataDirectory: directory + "/data", logger: logger))
        try await replica.start()
        let key = try ServiceAccountKey.make(.es256)
        var rules = PolicyConfiguration(
            serviceAccountKey: key,
            staticTokens: ["jane-token": UserInfo(name: "jane", groups: ["system:authenticated"])])
        adjust(&rules)
        policy = Policy(rules)
        server = APIServer(
            configuration, store: replica, schema: SchemaTable(), policy: policy.server, metrics: MetricsRegistry(),
            group: group,
            logger: logger)
        server.start()
        let serving = try authority.issue(
            CertificateSpec(commonName: "kube-apiserver", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"]))
        let tls = try ServerTLS(
            certificatePEM: serving.certificatePEM, keyPEM: serving.keyPEM, clientCAPEM: authority.certificatePEM,
            policy: .optional)
        let wanted = ProcessInfo.processInfo.environment["TERN_PORT"].flatMap { Int($0) } ?? 0
        var settings = HTTPServerConfiguration(host: "127.0.0.1", port: wanted, tls: tls)
        settings.errorResponder = APIServer.answer(to:)
        http = HTTPServer(configuration: settings, service: server, group: group, logger: logger)
        port = try await http.start()
        let admin = try authority.issue(CertificateSpec(commonName: "admin", organizations: ["system:masters"]))
        try Self.write(directory, port, authority.certificatePEM, admin)
        for name in ["default", "kube-system"] {
            let namespace: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)]]
            _ = try await server.client().create(.namespaces, namespace: nil, namespace)
        }
    }

    private static func write(_ directory: String, _ port: Int, _ authority: String, _ admin: IssuedCertificate) throws
    {
        func encoded(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
        try authority.write(toFile: directory + "/ca.crt", atomically: true, encoding: .utf8)
        try admin.certificatePEM.write(toFile: directory + "/admin.crt", atomically: true, encoding: .utf8)
        try admin.keyPEM.write(toFile: directory + "/admin.key", atomically: true, encoding: .utf8)
        try """
        apiVersion: v1
        kind: Config
        clusters: [{name: t, cluster: {server: "https://127.0.0.1:\(port)", certificate-authority-data: \(encoded(authority))}}]
        users: [{name: t, user: {client-certificate-data: \(encoded(admin.certificatePEM)), client-key-data: \(encoded(admin.keyPEM))}}]
        contexts: [{name: t, context: {cluster: t, user: t}}]
        current-context: t
        """.write(toFile: directory + "/kubeconfig", atomically: true, encoding: .utf8)
    }

    /// A stand-in for a kubelet that takes client certificates of this cluster.
    func startKubelet(_ service: any HTTPService) async throws -> (server: HTTPServer, port: Int) {
        let serving = try authority.issue(CertificateSpec(commonName: "system:node:w1", ipAddresses: ["127.0.0.1"]))
        let tls = try ServerTLS(
            certificatePEM: serving.certificatePEM, keyPEM: serving.keyPEM, clientCAPEM: authority.certificatePEM,
            policy: .optional)
        let server = HTTPServer(
            configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0, tls: tls), service: service,
            group: group, logger: logger)
        return (server, try await server.start())
    }

    var client: InProcessClient { server.client() }

    func stop() async {
        server.drain()
        await http.stop(grace: .seconds(1))
        await replica.stop()
        do {
            try await group.shutdownGracefully()
            try FileManager.default.removeItem(atPath: directory)
        } catch {
            print("after the test: \(error)")
        }
    }

    struct Ran {
        var code: Int32
        var out: String
        var err: String
    }

    /// Runs a program to its end; nothing of ours waits on the calling thread's event loop.
    static func run(_ program: String, _ arguments: [String], environment: [String: String] = [:]) throws -> Ran {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let out = Pipe()
        let err = Pipe()
        process.standardOutput = out
        process.standardError = err
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let errors = Mailbox()
        let thread = Thread { errors.put(err.fileHandleForReading.readDataToEndOfFile()) }
        thread.start()
        let data = out.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Ran(
            code: process.terminationStatus, out: String(decoding: data, as: UTF8.self),
            err: String(decoding: errors.take(), as: UTF8.self))
    }

    func kubectl(_ arguments: String...) throws -> Ran {
        try Self.run(
            "/usr/bin/kubectl",
            ["--kubeconfig", directory + "/kubeconfig", "--cache-dir", directory + "/cache"] + arguments)
    }

    private var adminArguments: [String] {
        ["--cacert", directory + "/ca.crt", "--cert", directory + "/admin.crt", "--key", directory + "/admin.key"]
    }

    /// A watch that goes on until it is ended.
    func watch(_ path: String) throws -> CurlWatch {
        try CurlWatch(["-sSN", "--max-time", "240"] + adminArguments + ["https://127.0.0.1:\(port)\(path)"])
    }

    /// A request with the admin's certificate: status, then body.
    func curl(
        _ method: String, _ path: String, body: String? = nil, contentType: String = "application/json",
        headers: [String] = [], user: String? = nil, more: [String] = []
    ) throws -> (status: Int, body: String) {
        var arguments = ["-sS", "-X", method, "-w", "\n%{http_code}", "--max-time", "60"] + more
        if let user {
            arguments += ["--cacert", directory + "/ca.crt", "-H", "authorization: Bearer \(user)"]
        } else {
            arguments += adminArguments
        }
        for header in headers { arguments += ["-H", header] }
        if let body {
            let file = directory + "/body-\(UInt32.random(in: 0...UInt32.max))"
            try body.write(toFile: file, atomically: false, encoding: .utf8)
            arguments += ["-H", "content-type: \(contentType)", "--data-binary", "@" + file]
        }
        let ran = try Self.run("/usr/bin/curl", arguments + ["https://127.0.0.1:\(port)\(path)"])
        let cut = ran.out.lastIndex(of: "\n") ?? ran.out.startIndex
        return (Int(ran.out[cut...].dropFirst()) ?? 0, String(ran.out[..<cut]) + ran.err)
    }

    func json(
        _ method: String, _ path: String, body: JSON? = nil, contentType: String = "application/json",
        user: String? = nil
    ) throws -> (status: Int, body: JSON) {
        let answer = try curl(method, path, body: body?.text, contentType: contentType, user: user)
        return (answer.status, try JSON.parse(answer.body))
    }
}

/// The lines of an answer that goes on, as JSON, as they come.
final class CurlWatch: Sendable {
    private struct State {
        var rest = Data()
        var events: [JSON] = []
        var failure: (any Error)?
    }
    private let process: Process
    private let state = Mutex(State())

    fileprivate init(_ arguments: [String]) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        let out = Pipe()
        process.standardOutput = out
        try process.run()
        let thread = Thread { [self] in
            while case let piece = out.fileHandleForReading.availableData, !piece.isEmpty { take(piece) }
        }
        thread.start()
    }

    private func take(_ piece: Data) {
        state.withLock { state in
            state.rest.append(piece)
            while let end = state.rest.firstIndex(of: 10) {
                do { state.events.append(try JSON.parse(Array(state.rest[..<end]))) } catch { state.failure = error }
                state.rest = Data(state.rest[(end + 1)...])
            }
        }
    }

    /// All events so far, once they are as wished; what there is when that does not come about.
    func events(until isEnough: ([JSON]) -> Bool) async throws -> [JSON] {
        let end = ContinuousClock.now + .seconds(60)
        while true {
            let (events, failure) = state.withLock { ($0.events, $0.failure) }
            if let failure { throw failure }
            if isEnough(events) || ContinuousClock.now > end { return events }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    func end() {
        process.terminate()
        process.waitUntilExit()
    }
}

/// One value handed from one thread to another.
final class Mailbox: @unchecked Sendable {
    private let ready = DispatchSemaphore(value: 0)
    private var value = Data()

    func put(_ data: Data) {
        value = data
        ready.signal()
    }

    func take() -> Data {
        ready.wait()
        return value
    }
}
