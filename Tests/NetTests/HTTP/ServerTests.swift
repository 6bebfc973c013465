// The HTTP server against outside clients (curl, openssl) and against malformed input on a bare socket.
import Foundation
import NIOCore
import NetHTTP
import NetPKI
import Synchronization
import Testing

private func echo(_ request: HTTPRequest, _ response: HTTPResponseWriter) {
    let user = request.clientCertificate?.commonName ?? (request.clientCertificateFailure ?? "nobody")
    let groups = request.clientCertificate?.organizations.joined(separator: ",") ?? ""
    let text =
        "\(request.method) \(request.path) v\(request.version) body=\(request.body.readableBytes) user=\(user) groups=\(groups)\n"
    response.send(status: 200, headers: [("content-type", "text/plain")], body: ByteBuffer(string: text))
}

private func stream(_ request: HTTPRequest, _ response: HTTPResponseWriter) {
    response.sendHead(status: 200, headers: [("content-type", "application/json")])
    for index in 0..<5 { response.write(ByteBuffer(string: "event \(index)\n")) }
    response.end()
}

struct ServerTests {
    @Test func `curl gets an answer over plain HTTP 1.1`() async throws {
        try await withServer(service: echo) { port in
            guard let result = try await run("/usr/bin/curl", ["-sS", "-i", "http://127.0.0.1:\(port)/a%20b?x=1"])
            else { return }
            #expect(result.output.hasPrefix("HTTP/1.1 200 OK"), "\(result)")
            #expect(result.output.contains("GET /a b v1"))
        }
    }

    @Test(arguments: ["--http1.1", "--http2"])
    func `curl gets whole and streamed answers over TLS and shows its certificate`(version: String) async throws {
        let pki = TestPKI.shared
        try await withFolder { folder in
            try PEMFile.write(pki.ca.certificatePEM, to: folder + "/ca.pem")
            try PEMFile.write(pki.client.certificatePEM, to: folder + "/c.pem")
            try PEMFile.write(pki.client.keyPEM, to: folder + "/k.pem")
            let common = ["-sS", version, "--cacert", folder + "/ca.pem"]
            try await withServer(tls: try pki.serverTLS(), service: { $0.path == "/s" ? stream($0, $1) : echo($0, $1) })
            { port in
                let url = "https://127.0.0.1:\(port)"
                guard let plain = try await run("/usr/bin/curl", common + [url + "/x"]) else { return }
                #expect(plain.output.contains("user=nobody"), "\(plain)")
                #expect(plain.output.contains(version == "--http2" ? "v2" : "v1"))
                let known = try await run(
                    "/usr/bin/curl", common + ["--cert", folder + "/c.pem", "--key", folder + "/k.pem", url + "/x"])
                #expect(known?.output.contains("user=alice groups=dev,ops") == true, "\(String(describing: known))")
                let streamed = try await run("/usr/bin/curl", common + [url + "/s"])
                #expect(streamed?.output == (0..<5).map { "event \($0)\n" }.joined())
                let big = String(repeating: "x", count: 1 << 20)
                let posted = try await run("/usr/bin/curl", common + ["--data-binary", "@-", url + "/p"], input: big)
                #expect(posted?.output.contains("body=1048576") == true, "\(String(describing: posted))")
                let two = try await run("/usr/bin/curl", common + [url + "/1", url + "/2", url + "/3"])
                #expect(two?.output.split(separator: "\n").count == 3)
                let head = try await run("/usr/bin/curl", common + ["-I", url + "/h"])
                #expect(head?.status == 0)
            }
        }
    }

    @Test(.timeLimit(.minutes(5)), arguments: ["--http1.1", "--http2"])
    func `a client that leaves before its answer is noticed, and one that got it too, once each`(
        version: String
    )
        async throws
    {
        let pki = TestPKI.shared
        let opened = Mutex<[String]>([])
        let closed = Mutex<[String]>([])
        let service: @Sendable (HTTPRequest, HTTPResponseWriter) -> Void = { request, response in
            opened.withLock { $0.append(request.path) }
            response.onClose { closed.withLock { $0.append(request.path) } }
            if request.path == "/answered" { echo(request, response) }
        }
        try await withFolder { folder in
            try PEMFile.write(pki.ca.certificatePEM, to: folder + "/ca.pem")
            let common = ["-sS", version, "--cacert", folder + "/ca.pem"]
            try await withServer(tls: try pki.serverTLS(), service: service) { port in
                let url = "https://127.0.0.1:\(port)"
                guard try await run("/usr/bin/curl", common + [url + "/answered"]) != nil else { return }
                // One that leaves before it was heard comes again with more patience.
                var seconds = 0.3
                while opened.withLock({ !$0.contains("/held") }) {
                    _ = try await run("/usr/bin/curl", common + ["-m", "\(seconds)", url + "/held"])
                    seconds *= 2
                }
                #expect(try await eventually { closed.withLock { $0.count } >= opened.withLock { $0.count } })
                #expect(closed.withLock { $0 } == opened.withLock { $0 } && closed.withLock { $0.count } >= 2)
            }
        }
    }

    @Test func `an expired and a foreign client certificate leave the client unauthenticated with a reason`()
        async throws
    {
        let pki = TestPKI.shared
        let old = try pki.ca.issue(
            CertificateSpec(commonName: "old", usages: [.client], validitySeconds: 60), now: wallClockSeconds() - 86_400
        )
        let foreign = try CertificateAuthority.make(commonName: "other").issue(
            CertificateSpec(commonName: "eve", usages: [.client]))
        try await withFolder { folder in
            try PEMFile.write(pki.ca.certificatePEM, to: folder + "/ca.pem")
            try await withServer(tls: try pki.serverTLS(), service: echo) { port in
                for (issued, text) in [(old, "expired or is not yet valid"), (foreign, "unknown authority")] {
                    try PEMFile.write(issued.certificatePEM + issued.keyPEM, to: folder + "/c.pem")
                    let arguments = [
                        "-sS", "--cacert", folder + "/ca.pem", "--cert", folder + "/c.pem", "https://127.0.0.1:\(port)/"
                    ]
                    guard let result = try await run("/usr/bin/curl", arguments) else { return }
                    #expect(result.output.contains(text), "\(result)")
                }
            }
            try await withServer(tls: try pki.serverTLS(policy: .required), service: echo) { port in
                let url = "https://127.0.0.1:\(port)/"
                guard let bare = try await run("/usr/bin/curl", ["-sS", "--cacert", folder + "/ca.pem", url]) else {
                    return
                }
                #expect(bare.status != 0)
                let bad = try await run(
                    "/usr/bin/curl", ["-sS", "--cacert", folder + "/ca.pem", "--cert", folder + "/c.pem", url])
                #expect(bad?.status != 0)
            }
        }
    }

    @Test func `openssl cannot agree on TLS 1 point 1`() async throws {
        try await withServer(tls: try TestPKI.shared.serverTLS(), service: echo) { port in
            let old = try await run(
                "/usr/bin/openssl", ["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_1"], input: "")
            #expect(old?.status != 0)
            guard
                let new = try await run(
                    "/usr/bin/openssl", ["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_2", "-alpn", "h2"],
                    input: "")
            else { return }
            #expect(new.output.contains("ALPN protocol: h2"), "\(new)")
        }
    }

    @Test(arguments: ["--http1.1", "--http2"])
    func `a body above the limit is answered with 413`(version: String) async throws {
        let pki = TestPKI.shared
        try await withFolder { folder in
            try PEMFile.write(pki.ca.certificatePEM, to: folder + "/ca.pem")
            try Data(repeating: 120, count: 10 << 20).write(to: URL(fileURLWithPath: folder + "/big"))
            try await withServer(tls: try pki.serverTLS(), service: echo) { port in
                let common = [
                    "-sS", "-o", "/dev/null", "-w", "%{http_code}", version, "--cacert", folder + "/ca.pem", "-H",
                    "Expect:"
                ]
                let url = "https://127.0.0.1:\(port)/"
                guard let sized = try await run("/usr/bin/curl", common + ["--data-binary", "@\(folder)/big", url])
                else { return }
                #expect(sized.output == "413", "\(sized)")
                let unsized = try await run(
                    "/usr/bin/curl", common + ["-H", "Transfer-Encoding: chunked", "-T", folder + "/big", url])
                #expect(unsized?.output == "413", "\(String(describing: unsized))")
                let after = try await run("/usr/bin/curl", common + [url])
                #expect(after?.output == "200")
            }
        }
    }

    @Test func `pipelined requests are answered in order and keep alive works`() async throws {
        try await withServer(service: { request, response in
            let delay: Int64 = request.path == "/slow" ? 60 : 0
            response.eventLoop.scheduleTask(in: .milliseconds(delay)) {
                response.send(status: 200, headers: [], body: ByteBuffer(string: "<\(request.path)>"))
            }
        }) { port in
            let get = { (path: String) in "GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n" }
            let text = try await exchange(
                port: port,
                [get("/slow") + get("/2"), get("/3") + "GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"])
            let order = ["</slow>", "</2>", "</3>", "</4>"].compactMap { text.range(of: $0)?.lowerBound }
            #expect(order.count == 4 && order == order.sorted(), "\(text)")
        }
    }

    @Test(arguments: [
        ("garbage\u{1}\u{2}\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n", "413"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", "400")
    ])
    func `malformed requests are refused`(request: String, status: String) async throws {
        try await withServer(service: echo) { port in
            let text = try await exchange(port: port, [request])
            #expect(text.hasPrefix("HTTP/1.1 \(status)"), "\(request) -> \(text)")
        }
    }

    @Test func `an oversized header is answered with 431 and the server lives on`() async throws {
        try await withServer(adjust: { $0.headerBytesMax = 8 << 10 }, service: echo) { port in
            let text = try await exchange(
                port: port, ["GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "y", count: 20_000))\r\n\r\n"])
            #expect(text.hasPrefix("HTTP/1.1 431"), "\(text)")
            #expect(try await exchange(port: port, ["GET / HTTP/1.0\r\n\r\n"]).hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func `half sent requests are closed after their time`() async throws {
        try await withServer(adjust: { $0.headerTimeout = .seconds(1) }, service: echo) { port in
            let text = try await exchange(port: port, ["GET / HTTP/1.1\r\nHos"])
            #expect(text == "")
        }
        try await withServer(
            adjust: {
                $0.headerTimeout = .seconds(60); $0.bodyTimeout = .seconds(1)
            }, service: echo
        ) { port in
            let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"
            let text = try await exchange(port: port, [post])
            #expect(text.hasPrefix("HTTP/1.1 408"))
        }
        // Long enough for a first request whose sender is late.
        try await withServer(adjust: { $0.headerTimeout = .seconds(4) }, service: echo) { port in
            let second = try await exchange(port: port, ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HT"])
            #expect(second.hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func `a client that disconnects ends a stream once`() async throws {
        let closes = Counter()
        let writers = Mutex<[HTTPResponseWriter]>([])
        try await withServer(service: { _, response in
            response.onClose { closes.increment() }
            response.sendHead(status: 200, headers: [])
            response.write(ByteBuffer(string: "x"))
            writers.withLock { $0.append(response) }
        }) { port in
            for index in 1...3 {
                let seen: @Sendable () -> Bool = { writers.withLock { $0.count } == index }
                _ = try await exchange(port: port, ["GET / HTTP/1.1\r\nHost: a\r\n\r\n"], until: seen)
            }
            #expect(try await eventually { closes.value == 3 })
            for writer in writers.withLock({ $0 }) {
                writer.write(ByteBuffer(string: "late")); writer.end(); writer.reset()
            }
            try await Task.sleep(nanoseconds: 50_000_000)
            #expect(closes.value == 3)
        }
    }
}
