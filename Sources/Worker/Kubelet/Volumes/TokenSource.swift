// Service account tokens of pods, asked for through TokenRequest, bound to the pod, renewed at four fifths of
// their life.
import API
import Synchronization

package final class TokenSource: Sendable {
    package static let tokensMax = 4096

    private struct Key: Hashable {
        var podUID: String
        var account: String
        var audience: String
        var seconds: Int64
    }
    private struct Token {
        var bytes: [UInt8]
        var renewAt: Nanoseconds
        var expiresAt: Nanoseconds
    }

    private let client: any ObjectClient
    private let tokens = Mutex<[Key: Token]>([:])

    package init(client: any ObjectClient) { self.client = client }

    /// A token that is valid now; an old one as long as it is valid when nobody gives a new one.
    package func token(for pod: JSON, audience: String, seconds: Int64) async throws(StatusError) -> [UInt8] {
        let account = pod["spec", "serviceAccountName"]?.string?.nonEmpty ?? "default"
        let key = Key(podUID: pod.uid, account: account, audience: audience, seconds: seconds)
        let now = Clock.now()
        let known = tokens.withLock { $0[key] }
        if let known, now < known.renewAt { return known.bytes }
        do throws(StatusError) {
            let token = try await request(pod, account, audience, seconds, now)
            tokens.withLock { tokens in
                if tokens.count >= Self.tokensMax { tokens = tokens.filter { $0.value.expiresAt > now } }
                if tokens.count < Self.tokensMax { tokens[key] = token }
            }
            return token.bytes
        } catch {
            if let known, now < known.expiresAt { return known.bytes }
            throw error
        }
    }

    package func forget(podUID: String) {
        tokens.withLock { tokens in tokens = tokens.filter { $0.key.podUID != podUID } }
    }

    private func request(
        _ pod: JSON, _ account: String, _ audience: String, _ seconds: Int64, _ now: Nanoseconds
    )
        async throws(StatusError) -> Token
    {
        let body: JSON = [
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "metadata": ["name": .string(account), "namespace": .string(pod.namespace)],
            "spec": [
                "audiences": audience.isEmpty ? [] : [.string(audience)], "expirationSeconds": .int(seconds),
                "boundObjectRef": [
                    "apiVersion": "v1", "kind": "Pod", "name": .string(pod.name), "uid": .string(pod.uid)
                ]
            ]
        ]
        let answer = try await client.create(
            .serviceAccounts, namespace: pod.namespace, name: account, subresource: "token", body)
        guard let token = answer["status", "token"]?.string else {
            throw StatusError(status: [
                "code": 500, "reason": "InternalError", "message": "the token request was answered without a token"
            ])
        }
        let expires =
            answer["status", "expirationTimestamp"]?.string.flatMap(TimeText.parse) ?? now &+ .seconds(seconds)
        let life = max(.second, expires &- now)
        return Token(bytes: Array(token.utf8), renewAt: now &+ min(life / 5 * 4, .seconds(86400)), expiresAt: expires)
    }
}
