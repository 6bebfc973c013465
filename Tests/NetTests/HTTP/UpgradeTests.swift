// Connections that stop being HTTP: WebSocket both ways, half-close through spliced connections, CONNECT, foreign WebSocket frames.
import Foundation
import NIOCore
import NetHTTP
import NetPKI
import Synchronization
import Testing

private func makeClient() throws -> HTTPClient {
    HTTPClient(configuration: HTTPClientConfiguration(tls: try TestPKI.shared.clientTLS()), group: testGroup)
}

private func url(_ port: Int, _ secure: Bool) -> HTTPEndpoint {
    HTTPEndpoint(host: "127.0.0.1", port: port, isSecure: secure)
}

/// Echoes what it reads; at the end of the input it sends "bye" and ends its output.
private func echoRaw(_ raw: RawConnection) {
    raw.onInputClosed {
        raw.send(ByteBuffer(string: "bye"))
        raw.close()
    }
    raw.onReceive { raw.send($0) }
}

struct UpgradeTests {
    @Test(arguments: [true, false])
    func `a WebSocket carries messages of all sizes and closes with its code`(secure: Bool) async throws {
        try await withServer(
            tls: secure ? try TestPKI.shared.serverTLS() : nil,
            service: { request, response in
                let offered = WebSocketHandshake.offered(request)
                response.upgradeToWebSocket(protocol: offered.first { $0 == "v5" }) { socket in
                    socket.onMessage { bytes, isText in
                        isText ? socket.send(text: String(buffer: bytes)) : socket.send(binary: bytes)
                    }
                }
            }
        ) { port in
            let client = try makeClient()
            let socket = try await client.webSocket(
                HTTPClientRequest(method: "GET", endpoint: url(port, secure), target: "/exec"), protocols: ["v4", "v5"])
            #expect(socket.selectedProtocol == "v5")
            let got = Mutex<[ByteBuffer]>([])
            let code = Mutex<UInt16?>(nil)
            socket.onClose { value in code.withLock { $0 = value } }
            socket.onMessage { bytes, _ in got.withLock { $0.append(bytes) } }
            let sizes = [0, 1, 7, 8, 125, 126, 65_535, 65_536, 1 << 20]
            for size in sizes {
                socket.send(binary: ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }))
            }
            #expect(try await eventually { got.withLock { $0.count == sizes.count } })
            for (bytes, size) in zip(got.withLock({ $0 }), sizes) {
                #expect(Array(bytes.readableBytesView) == (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            }
            socket.send(binary: ByteBuffer(repeating: 0, count: (4 << 20) + 1))
            #expect(try await eventually { code.withLock { $0 } == 1009 })
            await client.shutdown()
        }
    }

    @Test func `a refused WebSocket shows status and body`() async throws {
        try await withServer(service: { $1.send(status: 403, headers: [], body: ByteBuffer(string: "no")) }) { port in
            let client = try makeClient()
            do throws(HTTPClientError) {
                _ = try await client.webSocket(
                    HTTPClientRequest(method: "GET", endpoint: url(port, false), target: "/"))
                Issue.record("it was not refused")
            } catch {
                #expect(error == .refused(status: 403, body: "no"))
            }
        }
    }

    @Test(arguments: [true, false])
    func `half close passes through spliced connections`(secure: Bool) async throws {
        let tls = secure ? try TestPKI.shared.serverTLS() : nil
        try await withServer(
            tls: tls,
            service: { request, response in
                response.upgradeToRaw(status: 101, headers: [("connection", "Upgrade"), ("upgrade", "spdy/3.1")]) {
                    echoRaw($0)
                }
            }
        ) { back in
            let client = try makeClient()
            try await withServer(
                tls: tls,
                service: { request, response in
                    Task {
                        var asking = HTTPClientRequest(method: "POST", endpoint: url(back, secure), target: "/")
                        asking.headers = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]
                        let answer = try await client.upgrade(asking)
                        response.upgradeToRaw(
                            status: answer.status, headers: answer.headers.map { ($0.name, $0.value) }
                        ) { front in
                            if let connection = answer.connection { front.pipe(to: connection) }
                        }
                    }
                }
            ) { port in
                var asking = HTTPClientRequest(method: "POST", endpoint: url(port, secure), target: "/")
                asking.headers = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]
                let answer = try await client.upgrade(asking)
                let raw = try #require(answer.connection)
                let got = Collector()
                let ended = Counter()
                let closed = Counter()
                raw.onClose { closed.increment() }
                raw.onInputClosed { ended.increment() }
                raw.onReceive { got.append($0) }
                let text = String(repeating: "abcdefgh", count: 100_000)
                raw.send(ByteBuffer(string: text))
                raw.shutdownOutput()
                #expect(try await eventually { ended.value == 1 })
                #expect(got.text == text + "bye", "\(got.text.utf8.count)")
                raw.close()
                #expect(try await eventually { closed.value == 1 })
            }
        }
    }

    @Test func `CONNECT joins the client with the target`() async throws {
        let client = try makeClient()
        try await withServer(service: {
            $1.send(status: 200, headers: [], body: ByteBuffer(string: "inner \($0.path)"))
        }) { inner in
            try await withServer(service: { request, response in
                guard request.method == "CONNECT", let (host, port) = splitAuthority(request.target), let port else {
                    return response.send(status: 400, headers: [], body: ByteBuffer())
                }
                Task {
                    let target = try await client.connectRaw(HTTPEndpoint(host: host, port: port, isSecure: false))
                    response.upgradeToRaw(status: 200, headers: []) { $0.pipe(to: target) }
                }
            }) { port in
                let answer = try await client.upgrade(
                    HTTPClientRequest(method: "CONNECT", endpoint: url(port, false), target: "127.0.0.1:\(inner)"))
                let raw = try #require(answer.connection)
                let got = Collector()
                raw.onReceive { got.append($0) }
                raw.send(ByteBuffer(string: "GET /deep HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
                #expect(try await eventually { got.text.hasSuffix("inner /deep") }, "\(got.text)")
                if let curl = try await run(
                    "/usr/bin/curl", ["-sS", "-p", "-x", "http://127.0.0.1:\(port)", "http://127.0.0.1:\(inner)/c"])
                {
                    #expect(curl.output == "inner /c", "\(curl)")
                }
                raw.close()
            }
        }
    }

    @Test func `broken frames end a WebSocket with 1002 and leave the server alive`() async throws {
        try await withServer(service: { request, response in
            guard request.isUpgrade != nil else { return response.send(status: 200, headers: [], body: ByteBuffer()) }
            response.upgradeToWebSocket(protocol: nil) { socket in
                socket.onMessage { bytes, _ in socket.send(binary: bytes) }
            }
        }) { port in
            let hello =
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            let text = try await exchange(port: port, [hello, "\u{2}\u{3}abc"])
            #expect(text.hasPrefix("HTTP/1.1 101"), "\(text)")
            #expect(text.utf8.suffix(4).elementsEqual([0x03, 0xEF, 0xBF, 0xBD]), "close frame 1002 (0x03EA, repaired)")
            #expect(try await exchange(port: port, ["GET / HTTP/1.0\r\n\r\n"]).hasPrefix("HTTP/1.1 200"))
        }
    }
}
