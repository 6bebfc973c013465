// The thin gRPC: client against our own server over TCP, TLS and a Unix socket, protobuf reader and writer, and (when NETTESTS_CRI names the
// socket of a running containerd) against the real CRI.
import Foundation
import NIOCore
import NIOPosix
import NetGRPC
import NetPKI
import Synchronization
import Testing

private let sharedNumbers: [Int64] = [0, 1, 127, 128, 16_383, 16_384, .max, -1]

private struct TestService: GRPCService {
    func handle(_ call: GRPCServerCall) {
        switch call.path {
        case "/t.T/Echo": call.onUnary { call.reply($0) }
        case "/t.T/Who": call.onUnary { _ in call.reply(Array((call.clientCertificate?.commonName ?? "nobody").utf8)) }
        case "/t.T/Fail": call.onUnary { _ in call.finish(GRPCStatus(.notFound, "no such thing: 100% ä\n")) }
        case "/t.T/Slow": call.onUnary { _ in }
        case "/t.T/Many":
            call.onUnary { _ in
                for index in 0..<1000 { call.send(Array("\(index)".utf8)) }
                call.finish()
            }
        case "/t.T/Shared":
            call.onUnary { bytes in
                for number in sharedNumbers { call.send(bytes, field: 200, number) }
                call.finish()
            }
        case "/t.T/Chat":
            call.onEnd { call.finish() }
            call.onMessage { call.send($0.reversed()) }
        default: call.finish(GRPCStatus(.unimplemented, "unknown method \(call.path)"))
        }
    }
}

/// A name with two addresses; at the first nobody listens.
private struct TwoAddresses: Resolver {
    let loop: any EventLoop

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        loop.makeCompletedFuture {
            try ["127.0.0.2", "127.0.0.1"].map { try SocketAddress(ipAddress: $0, port: port) }
        }
    }

    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        loop.makeSucceededFuture([])
    }

    func cancelQueries() {}
}

/// Where any thread may be put off for seconds.
private var patient: GRPCChannelConfiguration {
    var configuration = GRPCChannelConfiguration()
    configuration.connectTimeout = .seconds(60)
    configuration.callTimeout = .seconds(60)
    configuration.pingTimeout = .seconds(60)
    return configuration
}

private func withGRPC(
    _ address: GRPCServerConfiguration.Address, tls: ServerTLS? = nil, _ body: (Int) async throws -> Void
) async throws {
    let server = GRPCServer(
        configuration: GRPCServerConfiguration(address: address, tls: tls), service: TestService(), group: testGroup)
    let port = try await server.start()
    do { try await body(port) } catch {
        await server.stop(grace: .milliseconds(10))
        throw error
    }
    await server.stop(grace: .milliseconds(10))
}

private func exercise(_ channel: GRPCChannel, user: String) async throws {
    #expect(try await channel.unary("/t.T/Echo", Array("hello".utf8)) == Array("hello".utf8))
    #expect(try await channel.unary("/t.T/Echo", []) == [])
    #expect(String(decoding: try await channel.unary("/t.T/Who", []), as: UTF8.self) == user)
    let big = [UInt8](repeating: 7, count: 5 << 20)
    #expect(try await channel.unary("/t.T/Echo", big) == big)
    await #expect(throws: GRPCStatus(.notFound, "no such thing: 100% ä\n")) { try await channel.unary("/t.T/Fail", []) }
    await #expect(throws: GRPCStatus(.unimplemented, "unknown method /t.T/None")) {
        try await channel.unary("/t.T/None", [])
    }
    let many = try await channel.serverStream("/t.T/Many", [])
    var count = 0
    while let message = try await many.next() {
        #expect(message == Array("\(count)".utf8))
        count += 1
    }
    #expect(count == 1000)
    let chat = try await channel.open("/t.T/Chat")
    for text in ["abc", "def"] {
        chat.send(Array(text.utf8))
        #expect(try await chat.next() == Array(text.utf8.reversed()))
    }
    chat.finishSending()
    #expect(try await chat.next() == nil)
}

struct GRPCTests {
    @Test func `the end of a request never overtakes its message`() async throws {
        try await withGRPC(.tcp(host: "127.0.0.1", port: 0)) { port in
            let channel = GRPCChannel(
                target: .tcp(host: "127.0.0.1", port: port, tls: nil), configuration: patient, group: testGroup)
            // Streams open on the loop while these tasks send: the two meet in every possible order.
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for task in 0..<8 {
                    tasks.addTask {
                        for number in 0..<400 {
                            let message = Array("\(task) \(number)".utf8)
                            let answer = try await channel.unary("/t.T/Echo", message)
                            #expect(answer == message)
                        }
                    }
                }
                try await tasks.waitForAll()
            }
            await channel.close()
        }
    }

    @Test func `all four kinds of call work over TCP`() async throws {
        try await withGRPC(.tcp(host: "127.0.0.1", port: 0)) { port in
            let channel = GRPCChannel(
                target: .tcp(host: "127.0.0.1", port: port, tls: nil), configuration: patient, group: testGroup)
            try await exercise(channel, user: "nobody")
            await channel.close()
        }
    }

    @Test func `bytes that messages share are followed by each one's own number, in one window and cut to several`()
        async throws
    {
        try await withGRPC(.tcp(host: "127.0.0.1", port: 0)) { port in
            let channel = GRPCChannel(
                target: .tcp(host: "127.0.0.1", port: port, tls: nil), configuration: patient, group: testGroup)
            for size in [0, 10, 300_000] {
                var writer = ProtobufWriter()
                writer.byteArray(1, [UInt8](repeating: 7, count: size))
                let stream = try await channel.serverStream("/t.T/Shared", writer.bytes)
                var numbers: [Int64] = []
                while let message = try await stream.next() {
                    var reader = ProtobufReader(message)
                    var found: (bytes: Int, number: Int64) = (0, 0)
                    while try reader.next() {
                        if reader.field == 1 { found.bytes = try reader.byteArray().count }
                        if reader.field == 200 { found.number = try reader.int64() }
                    }
                    #expect(found.bytes == size)
                    numbers.append(found.number)
                }
                #expect(numbers == sharedNumbers)
            }
            await channel.close()
        }
    }

    @Test func `all four kinds of call work over TLS and show the client's certificate`() async throws {
        let pki = TestPKI.shared
        let tls = try ServerTLS(
            certificatePEM: pki.server.certificatePEM, keyPEM: pki.server.keyPEM, clientCAPEM: pki.ca.certificatePEM,
            policy: .required, alpn: ["h2"])
        try await withGRPC(.tcp(host: "127.0.0.1", port: 0), tls: tls) { port in
            let channel = GRPCChannel(
                target: .tcp(host: "127.0.0.1", port: port, tls: try pki.clientTLS(identity: pki.client)),
                configuration: patient, group: testGroup)
            try await exercise(channel, user: "alice")
            await channel.close()
            let bare = GRPCChannel(
                target: .tcp(host: "127.0.0.1", port: port, tls: try pki.clientTLS()),
                configuration: patient, group: testGroup)
            await #expect(throws: GRPCStatus.self) { try await bare.unary("/t.T/Echo", []) }
            await bare.close()
        }
    }

    @Test(arguments: [false, true])
    func `of a name with two addresses of which the first refuses the other one is used`(isSecure: Bool) async throws {
        let pki = TestPKI.shared
        let server = try ServerTLS(
            certificatePEM: pki.server.certificatePEM, keyPEM: pki.server.keyPEM, clientCAPEM: pki.ca.certificatePEM,
            policy: .optional, alpn: ["h2"])
        var configuration = patient
        configuration.resolver = { TwoAddresses(loop: $0) }
        try await withGRPC(.tcp(host: "127.0.0.1", port: 0), tls: isSecure ? server : nil) { port in
            let tls = isSecure ? try pki.clientTLS() : nil
            let channel = GRPCChannel(
                target: .tcp(host: "localhost", port: port, tls: tls), configuration: configuration, group: testGroup)
            try await exercise(channel, user: "nobody")
            await channel.close()
        }
    }

    @Test func `a channel over a Unix socket comes back after the server was restarted`() async throws {
        try await withFolder { folder in
            let channel = GRPCChannel(
                target: .unix(path: folder + "/s"), configuration: patient, group: testGroup)
            await #expect(throws: GRPCStatus.self) { try await channel.unary("/t.T/Echo", []) }
            for _ in 0..<2 {
                try await withGRPC(.unix(path: folder + "/s")) { _ in try await exercise(channel, user: "nobody") }
            }
            await channel.close()
        }
    }

    @Test func `deadlines and cancellation end a call on both sides`() async throws {
        try await withGRPC(.tcp(host: "127.0.0.1", port: 0)) { port in
            let channel = GRPCChannel(
                target: .tcp(host: "127.0.0.1", port: port, tls: nil), configuration: patient, group: testGroup)
            do throws(GRPCStatus) {
                _ = try await channel.unary("/t.T/Slow", [], timeout: .milliseconds(50))
                Issue.record("it was answered")
            } catch {
                #expect(error.code == .deadlineExceeded)
            }
            let call = try await channel.serverStream("/t.T/Slow", [])
            let task = Task { try await call.next() }
            task.cancel()
            await #expect(throws: GRPCStatus.self) { try await task.value }
            #expect(try await channel.unary("/t.T/Echo", [1]) == [1])
            await channel.close()
        }
    }

    @Test(.timeLimit(.minutes(5))) func `a refused connection ends every kind of call, as one that nobody saw`()
        async throws
    {
        // Nobody listens there any more.
        let taken = try await ServerBootstrap(group: testGroup).bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(taken.localAddress?.port)
        try await taken.close()
        let channel = GRPCChannel(
            target: .tcp(host: "127.0.0.1", port: port, tls: nil), configuration: patient, group: testGroup)
        for _ in 0..<3 {
            let failure = await #expect(throws: GRPCStatus.self) {
                let call = try await channel.serverStream("/t.T/Many", [])
                _ = try await call.next()
            }
            #expect(failure?.code == .unavailable && failure?.mayHaveRun == false, "\(String(describing: failure))")
        }
        await channel.close()
    }

    @Test func `two thousand calls run on one connection`() async throws {
        try await withGRPC(.tcp(host: "127.0.0.1", port: 0)) { port in
            let channel = GRPCChannel(
                target: .tcp(host: "127.0.0.1", port: port, tls: nil), configuration: patient, group: testGroup)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<2000 {
                    group.addTask {
                        let answer = try await channel.unary("/t.T/Echo", [UInt8(index & 255)])
                        #expect(answer == [UInt8(index & 255)])
                    }
                }
                try await group.waitForAll()
            }
            await channel.close()
        }
    }

    @Test func `protobuf fields come back as they were written`() throws {
        var writer = ProtobufWriter()
        writer.uint64(1, .max)
        writer.int64(2, -5)
        writer.string(3, "ä")
        writer.bool(4, true)
        writer.double(5, -1.5)
        writer.stringMap(6, ["b": "2", "a": "1"])
        writer.packed(7, [1, -1, 300])
        writer.sint64(8, -77)
        writer.message(9) { $0.strings(1, ["x", "", "y"]) }
        var reader = ProtobufReader(writer.bytes)
        var seen: [Int: String] = [:]
        while try reader.next() {
            switch reader.field {
            case 1: seen[1] = "\(try reader.uint64())"
            case 2: seen[2] = "\(try reader.int64())"
            case 3: seen[3] = try reader.string()
            case 4: seen[4] = "\(try reader.bool())"
            case 5: seen[5] = "\(try reader.double())"
            case 6:
                let pair = try reader.stringPair()
                seen[6, default: ""] += "\(pair.key)=\(pair.value);"
            case 7: try reader.packedInts { seen[7, default: ""] += "\($0);" }
            case 8: seen[8] = "\(try reader.sint64())"
            default: break
            }
        }
        #expect(
            seen == [
                1: "18446744073709551615", 2: "-5", 3: "ä", 4: "true", 5: "-1.5", 6: "a=1;b=2;", 7: "1;-1;300;",
                8: "-77"
            ])
    }

    @Test func `hostile protobuf bytes are refused, never a trap`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...24)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            var reader = ProtobufReader(bytes)
            do throws(ProtobufError) {
                while try reader.next() {
                    if reader.wireType == .bytes { _ = try reader.stringPair() } else { _ = try reader.int() }
                }
            } catch {
                continue
            }
        }
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["NETTESTS_CRI"] != nil))
    func `containerd answers Version and ListImages a thousand times on one connection`() async throws {
        let path = ProcessInfo.processInfo.environment["NETTESTS_CRI"] ?? ""
        let channel = GRPCChannel(target: .unix(path: path), group: testGroup)
        var reader = ProtobufReader(try await channel.unary("/runtime.v1.RuntimeService/Version", []))
        var texts: [Int: String] = [:]
        while try reader.next() { texts[reader.field] = try reader.string() }
        #expect(texts[2] == "containerd", "\(texts)")
        for _ in 0..<1000 { _ = try await channel.unary("/runtime.v1.ImageService/ListImages", []) }
        await #expect(throws: GRPCStatus.self) {
            try await channel.unary("/runtime.v1.RuntimeService/ContainerStatus", [0x0A, 1, 120])
        }
        await channel.close()
    }
}
