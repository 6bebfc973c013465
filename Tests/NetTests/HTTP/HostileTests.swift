// Clients that send too much, too slowly or never: each ends within its limit, and the server goes on serving.
import Foundation
import NIOCore
import NetHTTP
import NetPKI
import Testing

private func hello(_ request: HTTPRequest, _ response: HTTPResponseWriter) {
    response.send(status: 200, headers: [], body: ByteBuffer(string: "hello"))
}

/// HTTP/2 bytes below 0x80, so that they go through a program's standard input as text.
private enum PlainFrames {
    static let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(type: 4, flags: 0, stream: 0, "")
    static let post = "\u{42}\u{4}POST\u{46}\u{5}https\u{44}\u{1}/\u{41}\u{1}a"

    static func frame(type: UInt8, flags: UInt8, stream: UInt8, _ payload: String) -> String {
        let head: [UInt8] = [0, 0, UInt8(payload.utf8.count), type, flags, 0, 0, 0, stream]
        return String(decoding: head, as: UTF8.self) + payload
    }
}

struct HostileTests {
    @Test(arguments: ["--http1.1", "--http2"])
    func `a body above the limit is refused in the words that clients know`(version: String) async throws {
        let pki = TestPKI.shared
        try await withFolder { folder in
            try PEMFile.write(pki.ca.certificatePEM, to: folder + "/ca.pem")
            try Data(repeating: 120, count: 4 << 20).write(to: URL(fileURLWithPath: folder + "/big"))
            try await withServer(tls: try pki.serverTLS(), service: hello) { port in
                let arguments = [
                    "-sS", version, "--cacert", folder + "/ca.pem", "-H", "Expect:", "--data-binary", "@\(folder)/big",
                    "https://127.0.0.1:\(port)/"
                ]
                guard let refused = try await run("/usr/bin/curl", arguments) else { return }
                #expect(refused.output == "Request entity too large: limit is 3145728\n", "\(refused)")
            }
        }
    }

    @Test func `a flood of header fields is answered with 431 or cut off, and the server lives on`() async throws {
        try await withServer(service: hello) { port in
            let fields = (0..<20_000).map { "X-\($0): y\r\n" }.joined()
            let text = try await exchange(port: port, ["GET / HTTP/1.1\r\nHost: a\r\n" + fields])
            #expect(text.isEmpty || text.hasPrefix("HTTP/1.1 431"), "\(text.prefix(200))")
            #expect(try await exchange(port: port, ["GET / HTTP/1.0\r\n\r\n"]).hasSuffix("hello"))
        }
    }

    @Test func `a head that drips in for ever is cut off at its limit of time`() async throws {
        try await withServer(adjust: { $0.headerTimeout = .seconds(1) }, service: hello) { port in
            let drops = ["GET / HTTP/1.1\r\n"] + (0..<40).map { "X-\($0): y\r\n" }
            let text = try await exchange(port: port, drops, pause: .milliseconds(50), seconds: 60)
            #expect(text.isEmpty)
        }
    }

    @Test(arguments: ["", "\u{16}\u{3}\u{1}"])
    func `a TLS handshake that never ends is closed`(begun: String) async throws {
        try await withServer(
            tls: try TestPKI.shared.serverTLS(), adjust: { $0.headerTimeout = .seconds(1) }, service: hello
        ) { port in
            let text = try await exchange(port: port, [begun], seconds: 60)
            #expect(text.isEmpty)
        }
    }

    @Test func `an HTTP 2 body that never comes is answered with 408`() async throws {
        let frames = PlainFrames.preface + PlainFrames.frame(type: 1, flags: 4, stream: 1, PlainFrames.post)
        let output = try await speak(frames)
        #expect(output?.contains("the request was not complete in time") != false, "\(output ?? "")")
    }

    @Test func `an HTTP 2 head that never ends is closed`() async throws {
        let frames = PlainFrames.preface + PlainFrames.frame(type: 1, flags: 0, stream: 1, PlainFrames.post)
        let output = try await speak(frames)
        #expect(output?.contains("hello") != true)
    }

    /// Sends frames and waits until the server closes; nil when the machine has no openssl.
    private func speak(_ frames: String) async throws -> String? {
        var output: String?
        try await withServer(
            tls: try TestPKI.shared.serverTLS(),
            adjust: {
                $0.bodyTimeout = .seconds(1)
                $0.idleTimeout = .seconds(4)
            }, service: hello
        ) { port in
            let arguments = ["s_client", "-connect", "127.0.0.1:\(port)", "-alpn", "h2", "-quiet", "-ign_eof"]
            output = try await run("/usr/bin/timeout", ["60", "/usr/bin/openssl"] + arguments, input: frames)?.output
        }
        return output
    }
}
