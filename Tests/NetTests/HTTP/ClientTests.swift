// The HTTP client against our own server, both versions: whole and streamed bodies, back-pressure, deadlines, cancellation, retries,
// dead peers, many streams.
import Foundation
import NIOCore
import NetHTTP
import NetPKI
import Synchronization
import Testing

private func makeClient(_ adjust: (inout HTTPClientConfiguration) -> Void = { _ in }) throws -> HTTPClient {
    var configuration = HTTPClientConfiguration(tls: try TestPKI.shared.clientTLS(identity: TestPKI.shared.client))
    adjust(&configuration)
    return HTTPClient(configuration: configuration, group: testGroup)
}

private func endpoint(_ port: Int) -> HTTPEndpoint { HTTPEndpoint(host: "127.0.0.1", port: port, isSecure: true) }

struct ClientTests {
    @Test(arguments: [1, 2])
    func `a call carries method, body, headers and identity both ways`(version: Int) async throws {
        try await withServer(
            tls: try TestPKI.shared.serverTLS(),
            service: { request, response in
                let user = request.clientCertificate?.commonName ?? "nobody"
                let text =
                    "\(request.method) \(request.target) \(request.header("x-a") ?? "") \(request.body.readableBytes) \(user) \(request.header("authorization") ?? "")"
                response.send(status: 201, headers: [("x-b", "yes")], body: ByteBuffer(string: text))
            }
        ) { port in
            let client = try makeClient { $0.bearerToken = { "t0ken" } }
            var request = HTTPClientRequest(
                method: "POST", endpoint: endpoint(port), target: "/p?q=1", headers: [("X-A", "1")],
                body: ByteBuffer(repeating: 7, count: 100_000))
            request.http1Only = version == 1
            for _ in 0..<3 {
                let answer = try await client.send(request)
                #expect(answer.status == 201 && answer.version == version && answer.header("X-B") == "yes")
                #expect(String(buffer: answer.body) == "POST /p?q=1 1 100000 alice Bearer t0ken")
            }
            await client.shutdown()
        }
    }

    @Test(arguments: [true, false])
    func `five hundred calls at once are all answered`(http1: Bool) async throws {
        try await withServer(
            tls: try TestPKI.shared.serverTLS(), adjust: { $0.streamsMax = 100 },
            service: { request, response in
                response.eventLoop.scheduleTask(in: .milliseconds(2)) {
                    response.send(status: 200, headers: [], body: ByteBuffer(string: request.path))
                }
            }
        ) { port in
            let client = try makeClient()
            let count = http1 ? 200 : 500
            let good = try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<count {
                    group.addTask {
                        var request = HTTPClientRequest(method: "GET", endpoint: endpoint(port), target: "/\(index)")
                        request.http1Only = http1
                        return String(buffer: try await client.send(request).body) == "/\(index)"
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(good == count)
            await client.shutdown()
        }
    }

    @Test(arguments: [true, false])
    func `a slow reader stops the server and loses nothing`(http1: Bool) async throws {
        let most = Atomic<Int>(0)
        let total = 8 << 20
        try await withServer(
            tls: try TestPKI.shared.serverTLS(),
            service: { _, response in
                response.sendHead(status: 200, headers: [])
                let sent = Mutex(0)
                @Sendable func more() {
                    while response.isWritable {
                        let done = sent.withLock { sent -> Bool in
                            guard sent < total else { return true }
                            sent += 32 << 10
                            return false
                        }
                        if done { return response.end() }
                        response.write(ByteBuffer(repeating: 1, count: 32 << 10))
                        most.store(max(most.load(ordering: .relaxed), response.pendingBytes), ordering: .relaxed)
                    }
                    response.onWritable { more() }
                }
                more()
            }
        ) { port in
            let client = try makeClient()
            var request = HTTPClientRequest(method: "GET", endpoint: endpoint(port), target: "/")
            request.http1Only = http1
            let answer = try await client.stream(request)
            try await Task.sleep(nanoseconds: 100_000_000)
            var bytes = 0
            while let chunk = try await answer.body.next() { bytes += chunk.readableBytes }
            #expect(bytes == total)
            #expect(most.load(ordering: .relaxed) <= 128 << 10)
            await client.shutdown()
        }
    }

    @Test(arguments: [true, false])
    func `dropping or cancelling a stream ends it at the server`(http1: Bool) async throws {
        let (opens, closes) = (Counter(), Counter())
        try await withServer(
            tls: try TestPKI.shared.serverTLS(),
            service: { _, response in
                opens.increment()
                response.onClose { closes.increment() }
                response.sendHead(status: 200, headers: [])
                response.write(ByteBuffer(string: "one"))
            }
        ) { port in
            let client = try makeClient()
            var request = HTTPClientRequest(method: "GET", endpoint: endpoint(port), target: "/")
            request.http1Only = http1
            do {
                let answer = try await client.stream(request)
                #expect(String(buffer: try await answer.body.next() ?? ByteBuffer()) == "one")
            }
            #expect(try await eventually { closes.value == 1 })
            let waiting = Task { [request] in
                let answer = try await client.stream(request)
                for try await _ in answer.body {}
            }
            #expect(try await eventually { opens.value == 2 })
            waiting.cancel()
            #expect(try await eventually { closes.value == 2 })
            await client.shutdown()
        }
    }

    @Test func `deadlines, refusals and foreign servers are told apart`() async throws {
        let client = try makeClient { $0.connectTimeout = .seconds(60) }
        try await withServer(tls: try TestPKI.shared.serverTLS(), service: { _, _ in }) { port in
            let request = HTTPClientRequest(
                method: "GET", endpoint: endpoint(port), target: "/", timeout: .milliseconds(100))
            await #expect(throws: HTTPClientError.self) { try await client.send(request) }
            do throws(HTTPClientError) { _ = try await client.send(request) } catch {
                guard case .timeout = error else { Issue.record("\(error)"); return }
            }
        }
        do throws(HTTPClientError) {
            _ = try await client.send(HTTPClientRequest(method: "GET", endpoint: endpoint(1), target: "/"))
            Issue.record("port 1 answered")
        } catch {
            guard case .connect = error else { Issue.record("\(error)"); return }
        }
        let other = try CertificateAuthority.make(commonName: "other").issue(
            CertificateSpec(commonName: "x", ipAddresses: ["127.0.0.1"]))
        try await withServer(
            tls: try ServerTLS(certificatePEM: other.certificatePEM, keyPEM: other.keyPEM),
            service: { $1.send(status: 200, headers: [], body: ByteBuffer()) }
        ) { port in
            do throws(HTTPClientError) {
                _ = try await client.send(HTTPClientRequest(method: "GET", endpoint: endpoint(port), target: "/"))
                Issue.record("a foreign server was trusted")
            } catch {
                guard case .tls = error else { Issue.record("\(error)"); return }
            }
        }
        await client.shutdown()
    }

    @Test func `a server that stops says GOAWAY and calls go on elsewhere`() async throws {
        let tls = try TestPKI.shared.serverTLS()
        let arrivals = Counter()
        let service = HTTPClosureService { _, response in
            arrivals.increment()
            response.eventLoop.scheduleTask(in: .milliseconds(100)) {
                response.send(status: 200, headers: [], body: ByteBuffer(string: "ok"))
            }
        }
        let first = HTTPServer(
            configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0, tls: tls), service: service,
            group: testGroup)
        let port = try await first.start()
        let client = try makeClient()
        let request = HTTPClientRequest(method: "POST", endpoint: endpoint(port), target: "/")
        _ = try await client.send(request)
        async let under = client.send(request)
        #expect(try await eventually { arrivals.value == 2 })
        await first.stop(grace: .seconds(60))
        #expect(try await under.status == 200)
        let second = HTTPServer(
            configuration: HTTPServerConfiguration(host: "127.0.0.1", port: port, tls: tls), service: service,
            group: testGroup)
        _ = try await second.start()
        #expect(try await client.send(request).status == 200)
        await second.stop(grace: .zero)
        await client.shutdown()
    }

    @Test(.timeLimit(.minutes(5))) func `a silent peer is noticed by its missing ping answer`() async throws {
        // A relay that stops forwarding: the TCP connection lives, nothing arrives.
        let frozen = Atomic<Bool>(false)
        try await withServer(
            tls: try TestPKI.shared.serverTLS(),
            service: { _, response in
                response.sendHead(status: 200, headers: [])
                response.write(ByteBuffer(string: "x"))
            }
        ) { port in
            let relay = try await Relay.start(to: port, isFrozen: { frozen.load(ordering: .relaxed) })
            let client = try makeClient {
                $0.pingInterval = .milliseconds(500); $0.pingTimeout = .seconds(4)
            }
            let answer = try await client.stream(
                HTTPClientRequest(method: "GET", endpoint: endpoint(relay.port), target: "/"))
            _ = try await answer.body.next()
            try await Task.sleep(nanoseconds: 1_200_000_000)
            frozen.store(true, ordering: .relaxed)
            await #expect(throws: HTTPClientError.self) { _ = try await answer.body.next() }
            await client.shutdown()
            await relay.stop()
        }
    }
}
