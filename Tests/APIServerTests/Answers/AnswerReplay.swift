// Repeats recorded exchanges against our server, in their order, and says where its answers differ. What the recording
// left open (uids, revisions, tokens) is filled in from what our server has.
import API
import Foundation
import NIOCore
import NIOHTTP1
import NetHTTP
import NetPKI

final class AnswerReplay {
    private let server: TestServer
    private let client: HTTPClient
    private let endpoint: HTTPEndpoint
    /// The first token of each collection.
    private var continueTokens: [String: String] = [:]
    private var listVersion = "1"
    private var accountToken = ""

    init(_ server: TestServer) throws {
        self.server = server
        client = HTTPClient(
            configuration: HTTPClientConfiguration(
                tls: try ClientTLS(trustRootsPEM: server.authority.certificatePEM, alpn: ["http/1.1"])),
            group: server.group)
        endpoint = HTTPEndpoint(host: "127.0.0.1", port: server.port, isSecure: true)
    }

    func end() async { await client.shutdown() }

    /// The differences of one exchange; empty: alike.
    func run(_ recorded: RecordedAnswer) async throws -> [String] {
        let body = try await body(of: recorded)
        let response = try await send(
            recorded.method, path(of: recorded), headers: headers(of: recorded), body: body ?? ByteBuffer())
        let tree = tree(response, recorded)
        try await remember(tree, response, recorded)
        var lines: [String] = []
        if response.status != recorded.code {
            lines.append(
                "code: wanted \(recorded.code) found \(response.status): \(tree.text.prefix(400)) … \(tree.text.suffix(200))"
            )
        } else if recorded.method != "HEAD" && recorded.answer != .null {
            lines = AnswerMatch.differences(
                recorded.answer, tree, withManagers: recorded.area == "server-side-apply")
        }
        for name in ["Warning", "Retry-After", "Content-Type"] where name != "Content-Type" || lines.isEmpty {
            let found = response.headers[name].joined(separator: "\n")
            let wanted = recorded.answerHeader(name) ?? ""
            if found != wanted { lines.append("header \(name): wanted \(wanted) found \(found)") }
        }
        return lines
    }

    private func send(
        _ method: String, _ path: String, headers: [(String, String)], body: ByteBuffer
    ) async throws -> HTTPClientResponse {
        let request = HTTPClientRequest(
            method: method, endpoint: endpoint, target: path, headers: headers, body: body, timeout: .seconds(30))
        return try await client.send(request)
    }

    private func headers(of recorded: RecordedAnswer) -> [(String, String)] {
        var headers: [(String, String)] = []
        if let type = recorded.contentType, !type.isEmpty { headers.append(("content-type", type)) }
        if let accept = recorded.accept { headers.append(("accept", accept)) }
        var authorization: String? = "Bearer admintoken"
        for header in recorded.headers {
            let value = header.value.string?.replacingOccurrences(of: "<token>", with: accountToken)
            if header.key == "Authorization" {
                authorization = value
            } else {
                headers.append((header.key, value ?? ""))
            }
        }
        if recorded.title == "Basic auth header" { authorization = "Basic YTpi" }
        if let authorization { headers.append(("authorization", authorization)) }
        return headers
    }

    private func path(of recorded: RecordedAnswer) -> String {
        let isFuture = recorded.title.contains("future") || recorded.title.contains("too new")
        let token = continueTokens[Self.collection(recorded.path)] ?? ""
        return recorded.path.replacingOccurrences(of: "<token>", with: token)
            .replacingOccurrences(of: "<rv>", with: isFuture ? "99999999" : listVersion)
            .replacingOccurrences(of: " ", with: "%20")
    }

    private static func collection(_ path: String) -> String { path.split(separator: "?").first.map(String.init) ?? "" }

    /// An exchange that the recording's copy leaves out, for what it leaves behind.
    func unrecorded(_ method: String, _ path: String) async throws {
        let tree: JSON = ["method": .string(method), "path": .string(path), "code": 200]
        _ = try await run(RecordedAnswer(id: 0, area: "setup", title: "unrecorded", tree: tree))
    }

    private func tree(_ response: HTTPClientResponse, _ recorded: RecordedAnswer) -> JSON {
        let text = String(buffer: response.body)
        if recorded.isStream {
            let events = text.split(separator: "\n").map { (try? JSON.parse(String($0))) ?? .string(String($0)) }
            return ["<stream>": .array(events)]
        }
        return (try? JSON.parse(text)) ?? .string(text)
    }
}

// Filling in.
extension AnswerReplay {
    private func body(of recorded: RecordedAnswer) async throws -> ByteBuffer? {
        guard let body = recorded.tree["body"] else { return nil }
        if case .string(let text) = body { return ByteBuffer(string: text) }
        if body["<truncated>"] != nil { return ByteBuffer(string: LargeBodies.text(recorded.id)) }
        var current: JSON = .null
        if AnswerMatch.hasPattern(body) && ["PUT", "PATCH"].contains(recorded.method) {
            var path = recorded.path.split(separator: "?").first.map(String.init) ?? ""
            for sub in ["status", "approval", "scale", "finalize"] where path.hasSuffix("/\(sub)") {
                path.removeLast(sub.count + 1)
            }
            current = try await object(at: path)
        }
        if recorded.id == 253 { current["metadata", "uid"] = "00000000-0000-4000-8000-000000000000" }
        var made = filled(body, from: current)
        if recorded.id == 682, var operations = body.array, operations.count == 2 {
            operations[1]["value"] = .string(try await object(at: recorded.path).resourceVersion)
            made = .array(operations)
        }
        return ByteBuffer(bytes: made.serialized())
    }

    private func object(at path: String) async throws -> JSON {
        let headers = [("authorization", "Bearer admintoken"), ("accept", "application/json")]
        let found = try await send("GET", path, headers: headers, body: ByteBuffer())
        return found.status == 200 ? try JSON.parse(String(buffer: found.body)) : .null
    }

    private func filled(_ value: JSON, from current: JSON) -> JSON {
        switch value {
        case .object(let object):
            return .object(
                JSONObject(
                    uniqueMembers: object.map { member in
                        .init(key: member.key, value: filled(member.value, from: current[member.key] ?? .null))
                    }))
        case .array(let values):
            return .array(values.enumerated().map { filled($1, from: current[$0] ?? .null) })
        case .string(let text) where AnswerMatch.isPattern(text):
            if text == "<token>" { return .string(accountToken) }
            if current != .null { return current }
            return text == "<time>" ? "2024-01-01T00:00:00Z" : text == "<generated>" ? 30_999 : ""
        default: return value
        }
    }

    private func remember(_ tree: JSON, _ response: HTTPClientResponse, _ recorded: RecordedAnswer) async throws {
        let collection = Self.collection(recorded.path)
        if let token = tree["metadata", "continue"]?.string, continueTokens[collection] == nil {
            continueTokens[collection] = token
        }
        if tree.kind.hasSuffix("List"), !tree.resourceVersion.isEmpty { listVersion = tree.resourceVersion }
        if accountToken.isEmpty, recorded.path.hasSuffix("/token"), let token = tree["status", "token"]?.string {
            accountToken = token
        }
        let made = recorded.method == "POST" && recorded.path == "/api/v1/namespaces" && response.status == 201
        if made && recorded.id != 8 { try await furnish(tree.name) }
    }

    /// What the controllers of the recorded server had put into a new namespace.
    func furnish(_ namespace: String) async throws {
        let account: JSON = ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "default"]]
        let description =
            "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
            + "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
            + "Kubernetes clusters."
        let authority: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": [
                "name": "kube-root-ca.crt", "annotations": ["kubernetes.io/description": .string(description)]
            ],
            "data": ["ca.crt": "x\ny\n"]
        ]
        _ = try await server.client.create(.serviceAccounts, namespace: namespace, account)
        _ = try await server.client.create(.configMaps, namespace: namespace, authority)
    }
}

/// Bodies that the recording only counts.
enum LargeBodies {
    static func text(_ id: Int) -> String {
        func letters(_ count: Int) -> JSON { .string(String(repeating: "x", count: count)) }
        switch id {
        case 318:
            let pod: JSON = [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "bad", "annotations": ["a": letters(262_145)]],
                "spec": ["containers": [["name": "c", "image": "i"]]]
            ]
            return pod.text
        case 621:
            return JSON.array(
                Array(repeating: ["op": "test", "path": "/kind", "value": "ConfigMap"], count: 10_001)
            ).text
        case 927:
            let annotations = JSONObject(uniqueMembers: (0..<2700).map { .init(key: "k\($0)", value: letters(100)) })
            return map("big2", ["annotations": .object(annotations)], [:])
        case 926: return map("big", [:], ["a": letters(3_145_750)])
        default: return map("bad", [:], ["a": letters(1_048_577)])
        }
    }

    private static func map(_ name: String, _ metadata: JSON, _ data: JSON) -> String {
        var tree: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data]
        tree["metadata", "name"] = .string(name)
        return tree.text
    }
}
