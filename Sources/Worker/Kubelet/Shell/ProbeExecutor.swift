// Asks a container how it is: a command in it, a GET, a connection. One try; what several tries amount to is decided in
// Pod/Probe.swift. Certificates are not verified, as upstream. It must always end within its time limit.
import API
import Glibc
import Logging
import NIOCore
import NetGRPC
import NetHTTP
import NetPKI

/// What one try said.
package struct ProbeResult: Sendable, Equatable {
    package var isSuccess: Bool
    package var message: String
}

package struct ProbeExecutor: Sendable {
    package static let messageBytesMax = 10 << 10
    /// For hooks, which have no limit of their own.
    private static let hookSeconds: Int64 = 3600

    private let runtime: any ContainerRuntime
    private let http: HTTPClient
    private let group: any EventLoopGroup

    package init(runtime: any ContainerRuntime, group: any EventLoopGroup, logger: Logger) throws(PKIError) {
        self.runtime = runtime
        self.group = group
        var configuration = HTTPClientConfiguration(tls: try ClientTLS(trustRootsPEM: nil, skipsVerification: true))
        configuration.userAgent = "kube-probe/1.33"
        configuration.responseBytesMax = 64 << 10
        configuration.idleTimeout = .seconds(1)
        http = HTTPClient(configuration: configuration, group: group, logger: logger)
    }

    package func shutdown() async { await http.shutdown() }

    package func run(
        _ action: ProbeAction, container: JSON, id: String, ip: String, timeoutSeconds: Int64
    ) async
        -> ProbeResult
    {
        let seconds = timeoutSeconds > 0 ? timeoutSeconds : Self.hookSeconds
        switch action {
        case .exec(let command): return await exec(command, id, timeoutSeconds)
        case .sleep(let time):
            do { try await Task.sleep(for: .seconds(max(0, time))) } catch {
                return ProbeResult(isSuccess: true, message: "")
            }
            return ProbeResult(isSuccess: true, message: "")
        case .tcp(let host, let port):
            guard let number = port.resolve(in: container) else { return Self.badPort(port) }
            return await connect(host?.nonEmpty ?? ip, number, seconds)
        case .http(let host, let port, let path, let isTLS, let headers):
            guard let number = port.resolve(in: container) else { return Self.badPort(port) }
            let endpoint = HTTPEndpoint(host: host?.nonEmpty ?? ip, port: number, isSecure: isTLS)
            return await get(endpoint, path, headers, seconds)
        case .grpc(let port, let service): return await health(ip, port, service, seconds)
        }
    }

    private static func badPort(_ port: PortReference) -> ProbeResult {
        if case .name(let name) = port { return ProbeResult(isSuccess: false, message: "couldn't find port: \(name)") }
        return ProbeResult(isSuccess: false, message: "invalid port number")
    }

    private func exec(_ command: [String], _ id: String, _ timeoutSeconds: Int64) async -> ProbeResult {
        do throws(RuntimeError) {
            let result = try await runtime.execSync(id, command: command, timeoutSeconds: timeoutSeconds)
            let output = String(decoding: (result.stdout + result.stderr).prefix(Self.messageBytesMax), as: UTF8.self)
            return ProbeResult(isSuccess: result.exitCode == 0, message: output)
        } catch {
            if error.code == 4 {
                return ProbeResult(
                    isSuccess: false,
                    message:
                        "command timed out: \"\(command.joined(separator: " "))\" timed out after \(timeoutSeconds)s")
            }
            return ProbeResult(isSuccess: false, message: error.rpcDescription)
        }
    }

    private func connect(_ host: String, _ port: Int, _ seconds: Int64) async -> ProbeResult {
        do throws(HTTPClientError) {
            let endpoint = HTTPEndpoint(host: host, port: port, isSecure: false)
            try await http.connectRaw(endpoint, timeout: .seconds(seconds)).close()
            return ProbeResult(isSuccess: true, message: "")
        } catch {
            return ProbeResult(isSuccess: false, message: "dial tcp \(host):\(port): \(error.reason)")
        }
    }

    private func get(
        _ endpoint: HTTPEndpoint, _ path: String, _ headers: [EnvironmentVariable], _ seconds: Int64
    ) async
        -> ProbeResult
    {
        var list = headers.map { ($0.name, $0.value) }
        for (name, value) in [("Accept", "*/*"), ("Connection", "close")]
        where !list.contains(where: { $0.0.lowercased() == name.lowercased() }) {
            list.append((name, value))
        }
        var request = HTTPClientRequest(
            method: "GET", endpoint: endpoint, target: path, headers: list, timeout: .seconds(seconds))
        request.http1Only = true
        do throws(HTTPClientError) {
            let answer = try await http.send(request)
            guard (200..<400).contains(answer.status) else {
                return ProbeResult(isSuccess: false, message: "HTTP probe failed with statuscode: \(answer.status)")
            }
            return ProbeResult(isSuccess: true, message: "")
        } catch {
            if case .tooLarge = error { return ProbeResult(isSuccess: true, message: "") }
            let url = "\(endpoint.isSecure ? "https" : "http")://\(endpoint.authority)\(path)"
            let why =
                error.isTimeout
                ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                : "dial tcp \(endpoint.host):\(endpoint.port): \(error.reason)"
            return ProbeResult(isSuccess: false, message: "Get \"\(url)\": \(why)")
        }
    }

    /// grpc.health.v1.Health/Check.
    private func health(_ host: String, _ port: Int, _ service: String, _ seconds: Int64) async -> ProbeResult {
        let channel = GRPCChannel(target: .tcp(host: host, port: port, tls: nil), group: group)
        var request = ProtoWriter()
        request.string(1, service)
        var result: ProbeResult
        do {
            let bytes = try await channel.unary(
                "/grpc.health.v1.Health/Check", request.bytes, timeout: .seconds(seconds))
            var reader = ProtoReader(bytes)
            let status = try reader.next().map { $0.number == 1 ? $0.int : 0 } ?? 0
            result = ProbeResult(
                isSuccess: status == 1,
                message: status == 1
                    ? "" : "service unhealthy (responded with \"\(status == 2 ? "NOT_SERVING" : "UNKNOWN")\")")
        } catch {
            result = ProbeResult(isSuccess: false, message: "error: rpc failed: \(error)")
        }
        await channel.close()
        return result
    }
}

extension HTTPClientError {
    var isTimeout: Bool { if case .timeout = self { true } else { false } }
    /// Without this module's own prefix.
    var reason: String {
        switch self {
        case .connect(let why) where why.contains("errno: \(ECONNREFUSED)"): "connect: connection refused"
        case .connect(let why) where why.contains("errno: \(EHOSTUNREACH)"): "connect: no route to host"
        case .connect(let why), .tls(let why), .closed(let why), .malformed(let why): why
        case .timeout: "i/o timeout"
        default: description
        }
    }
}
