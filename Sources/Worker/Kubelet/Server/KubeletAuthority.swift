// Who calls the kubelet, and may they? A verified client certificate or a token that the API vouches for; then the API
// is asked for the right. Nobody comes in unnamed. Answers are kept for seconds, within a limit.
import API
import NetHTTP
import NetPKI
import Synchronization

/// A caller that proved who it is.
package struct KubeletCaller: Sendable, Hashable {
    package var name: String
    package var groups: [String]
}

package final class KubeletAuthority: Sendable {
    package static let keptFor: Nanoseconds = .seconds(10)
    package static let entriesMax = 1024

    private struct Right: Hashable {
        var caller: KubeletCaller
        var verb: String
        var subresource: String
    }
    private struct Kept {
        var callers: [String: (KubeletCaller, Nanoseconds)] = [:]
        var rights: [Right: (Bool, Nanoseconds)] = [:]
    }
    private let client: any ObjectClient
    private let nodeName: String
    private let kept = Mutex(Kept())

    package init(client: any ObjectClient, nodeName: String) {
        self.client = client
        self.nodeName = nodeName
    }

    /// nil: nobody that is known.
    package func caller(_ request: HTTPRequest) async throws(StatusError) -> KubeletCaller? {
        if let certificate = request.clientCertificate {
            return KubeletCaller(
                name: certificate.commonName, groups: certificate.organizations + ["system:authenticated"])
        }
        guard let header = request.header("authorization"), header.hasPrefix("Bearer ") else { return nil }
        return try await review(String(header.dropFirst("Bearer ".count)))
    }

    private func review(_ token: String) async throws(StatusError) -> KubeletCaller? {
        let now = Clock.now()
        if let (caller, until) = kept.withLock({ $0.callers[token] }), until > now { return caller }
        let body: JSON = [
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": ["token": .string(token)]
        ]
        let answer = try await client.create(
            GroupVersionResource("authentication.k8s.io", "v1", "tokenreviews"), namespace: nil, body)
        guard answer["status", "authenticated"]?.bool == true,
            let name = answer["status", "user", "username"]?.string?.nonEmpty
        else { return nil }
        let caller = KubeletCaller(
            name: name, groups: (answer["status", "user", "groups"]?.elements ?? []).compactMap(\.string))
        kept.withLock { kept in
            if kept.callers.count >= Self.entriesMax { kept.callers = kept.callers.filter { $0.value.1 > now } }
            if kept.callers.count < Self.entriesMax { kept.callers[token] = (caller, now &+ Self.keptFor) }
        }
        return caller
    }

    package func isAllowed(_ caller: KubeletCaller, verb: String, subresource: String) async throws(StatusError) -> Bool
    {
        if caller.groups.contains("system:masters") { return true }
        let right = Right(caller: caller, verb: verb, subresource: subresource)
        let now = Clock.now()
        if let (answer, until) = kept.withLock({ $0.rights[right] }), until > now { return answer }
        let body: JSON = [
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": [
                "user": .string(caller.name), "groups": .array(caller.groups.map(JSON.string)),
                "resourceAttributes": [
                    "verb": .string(verb), "version": "v1", "resource": "nodes", "subresource": .string(subresource),
                    "name": .string(nodeName)
                ]
            ]
        ]
        let answer = try await client.create(
            GroupVersionResource("authorization.k8s.io", "v1", "subjectaccessreviews"), namespace: nil, body)
        let isAllowed = answer["status", "allowed"]?.bool == true
        kept.withLock { kept in
            if kept.rights.count >= Self.entriesMax { kept.rights = kept.rights.filter { $0.value.1 > now } }
            if kept.rights.count < Self.entriesMax { kept.rights[right] = (isAllowed, now &+ Self.keptFor) }
        }
        return isAllowed
    }
}
