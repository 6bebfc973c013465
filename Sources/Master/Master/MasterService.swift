// What a master serves beside the API: its view of the replicated store, for `tern status` and for members' commands.
// Administrators only, but for the authority's certificate, which is no secret and which a joining node holds against the hash that it
// was told. Everything else goes to the API server.
import API
import APIServer
import KVCore
import KVReplica
import NIOCore
import NetHTTP
import NetPKI
import Raft

struct MasterService: HTTPService {
    static let prefix = "/tern/"
    let server: APIServer
    let replica: Replica
    /// PEM of the cluster's authority.
    let authority: String

    func respond(to request: HTTPRequest, _ response: HTTPResponseWriter) {
        guard request.path.hasPrefix(Self.prefix) else { return server.respond(to: request, response) }
        if request.method == "GET", request.path == "/tern/ca" {
            return response.send(
                status: 200, headers: [("content-type", "application/x-pem-file")], body: ByteBuffer(string: authority))
        }
        guard request.clientCertificate?.organizations.contains("system:masters") == true else {
            return answer(response, 403, ["error": "a certificate of the group system:masters is needed"])
        }
        switch (request.method, request.path) {
        case ("GET", "/tern/status"): answer(response, 200, status())
        case ("POST", "/tern/transfer"): transfer(to: request.query("to"), response)
        default: answer(response, 404, ["error": "no such path"])
        }
    }

    private func status() -> JSON {
        let status = replica.status
        let members: [JSON] = status.members.map {
            [
                "id": .string(String($0.id.rawValue, radix: 16)), "name": .string($0.name),
                "address": .string("\($0.host):\($0.port)"),
                "role": .string($0.role.rawValue), "isLeader": .bool($0.isLeader)
            ]
        }
        return [
            "name": .string(status.name), "role": .string(status.role.rawValue),
            "leader": status.leaderName.map { .string($0) } ?? .null,
            "term": .int(Int64(clamping: status.term.rawValue)),
            "commitIndex": .int(Int64(clamping: status.commitIndex.rawValue)),
            "appliedIndex": .int(Int64(clamping: status.appliedIndex.rawValue)),
            "revision": .int(status.revision.rawValue),
            "compactRevision": .int(status.compactRevision.rawValue), "isBehind": .bool(status.isBehind),
            "keys": .int(Int64(status.keyCount)), "stateBytes": .int(Int64(status.stateBytes)),
            "logBytes": .int(Int64(status.logBytes)),
            "members": .array(members)
        ]
    }

    private func transfer(to name: String?, _ response: HTTPResponseWriter) {
        let target = name.flatMap { name in replica.status.members.first { $0.name == name }?.id }
        if name != nil && target == nil { return answer(response, 404, ["error": "no such member"]) }
        Task {
            do {
                try await replica.transferLeadership(to: target)
                answer(response, 200, ["ok": true])
            } catch {
                answer(response, 503, ["error": .string("\(error)")])
            }
        }
    }

    private func answer(_ response: HTTPResponseWriter, _ code: Int, _ body: JSON) {
        response.send(
            status: code, headers: [("content-type", "application/json")], body: ByteBuffer(bytes: body.serialized()))
    }
}
