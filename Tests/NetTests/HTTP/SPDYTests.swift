// SPDY/3.1: frames and header blocks against a small server of our own, and the dictionary's checksum (the one that containerd's
// own library uses).
import Foundation
import NIOCore
import NetGRPC
import NetHTTP
import NetPKI
import Synchronization
import Testing

struct SPDYTests {
    @Test(.enabled(if: ProcessInfo.processInfo.environment["NETTESTS_CRI"] != nil))
    func `containerd's streaming server runs a command over SPDY and sees the end of its input`() async throws {
        let channel = GRPCChannel(
            target: .unix(path: ProcessInfo.processInfo.environment["NETTESTS_CRI"] ?? ""), group: testGroup)
        let probe = CRIProbe(channel: channel)
        let (sandbox, container) = try await probe.run(image: "registry.local/bb:1")
        do {
            try await catOverSPDY(try await probe.execURL(container: container, command: ["cat"]))
        } catch {
            try await probe.remove(sandbox: sandbox)
            throw error
        }
        try await probe.remove(sandbox: sandbox)
        await channel.close()
    }

    private func catOverSPDY(_ url: String) async throws {
        let client = HTTPClient(configuration: HTTPClientConfiguration(), group: testGroup)
        var request = try HTTPClientRequest(method: "POST", url: url)
        request.headers = [
            ("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4.channel.k8s.io")
        ]
        let answer = try await client.upgrade(request)
        #expect(answer.status == 101, "\(answer.status) \(String(buffer: answer.body))")
        let raw = try #require(answer.connection)
        let session = try #require(await SPDYSession.start(on: raw))
        let error = try #require(session.open([("streamtype", "error")]))
        let stdin = try #require(session.open([("streamtype", "stdin")]))
        let stdout = try #require(session.open([("streamtype", "stdout")]))
        let (out, status, ends) = (Collector(), Collector(), Counter())
        stdout.onReceive { out.append($0) }
        error.onReceive { status.append($0) }
        stdout.onEnd { ends.increment() }
        error.onEnd { ends.increment() }
        stdin.send(ByteBuffer(string: "hello through SPDY\n"))
        stdin.finishSending()
        #expect(try await eventually { ends.value == 2 })
        #expect(out.text == "hello through SPDY\n")
        #expect(status.text.contains("Success"), "\(status.text)")
        session.close()
    }

    @Test func `a hostile peer ends the session, not the process`() async throws {
        try await withServer(service: { _, response in
            response.upgradeToRaw(status: 101, headers: [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]) { raw in
                raw.onReceive { _ in
                    raw.send(ByteBuffer(bytes: [0x80, 3, 0, 2, 0, 0, 0, 8, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]))
                }
            }
        }) { port in
            let client = HTTPClient(configuration: HTTPClientConfiguration(), group: testGroup)
            var request = HTTPClientRequest(
                method: "POST", endpoint: HTTPEndpoint(host: "127.0.0.1", port: port, isSecure: false), target: "/")
            request.headers = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]
            let raw = try #require(try await client.upgrade(request).connection)
            let session = try #require(await SPDYSession.start(on: raw))
            let closes = Counter()
            session.onClose { closes.increment() }
            let stream = try #require(session.open([("streamtype", "stdin")]))
            stream.onEnd { closes.increment() }
            #expect(try await eventually { closes.value == 2 })
            #expect(session.open([]) == nil)
        }
    }
}
