// Writes a pod's status: a merge patch of what changed, bound to the pod's uid, so that a pod of the same name
// that came
// later is never described by mistake. Where others own conditions too, the object's version is the lock.
import API

package struct PodStatusWriter: Sendable {
    private let client: any ObjectClient

    package init(client: any ObjectClient) { self.client = client }

    /// Returns the status that the API then has. `known` is what it had: members that are gone are removed.
    package func write(_ pod: JSON, known: JSON, _ status: JSON) async throws(StatusError) -> JSON {
        var patch: JSON = ["metadata": ["uid": .string(pod.uid)]]
        var body = status
        for key in known.object?.keys ?? [] where status[key] == nil { body[key] = .null }
        patch["status"] = body
        let isShared = (pod["status", "conditions"]?.elements ?? []).contains {
            !PodLife.ownConditions.contains($0["type"]?.string ?? "")
        }
        if isShared { patch["metadata", "resourceVersion"] = .string(pod.resourceVersion) }
        do throws(StatusError) {
            _ = try await client.patch(
                .pods, namespace: pod.namespace, name: pod.name, subresource: "status", type: .merge, patch)
        } catch  where error.isConflict && isShared {
            let newer = try await client.get(.pods, namespace: pod.namespace, name: pod.name)
            guard newer.uid == pod.uid else { throw error }
            let foreign = (newer["status", "conditions"]?.elements ?? []).filter {
                !PodLife.ownConditions.contains($0["type"]?.string ?? "")
            }
            let own = (status["conditions"]?.elements ?? []).filter {
                PodLife.ownConditions.contains($0["type"]?.string ?? "")
            }
            patch["status", "conditions"] = .array(own + foreign)
            patch["metadata", "resourceVersion"] = .string(newer.resourceVersion)
            _ = try await client.patch(
                .pods, namespace: pod.namespace, name: pod.name, subresource: "status", type: .merge, patch)
        }
        return status
    }
}
