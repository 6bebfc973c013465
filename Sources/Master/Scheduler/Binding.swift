// The writes of the scheduler for one pod: the binding, or the condition and event that say why there is none, and the
// deletions of a preemption.

import API

/// Carries out one decision.
struct Binding: Sendable {
    enum Outcome: Sendable {
        case done
        case failed
        /// The pod does not exist any more.
        case gone
    }

    let pod: SchedulingPod
    let client: any ObjectClient
    let recorder: EventRecorder
    let now: Int64

    init(_ pod: SchedulingPod, _ client: any ObjectClient, _ recorder: EventRecorder, _ now: Int64) {
        self.pod = pod
        self.client = client
        self.recorder = recorder
        self.now = now
    }

    func bind(to node: String) async -> Outcome {
        let binding: JSON = [
            "apiVersion": "v1", "kind": "Binding",
            "metadata": ["name": .string(pod.name), "namespace": .string(pod.namespace), "uid": .string(pod.uid)],
            "target": ["apiVersion": "v1", "kind": "Node", "name": .string(node)]
        ]
        do throws(StatusError) {
            _ = try await client.create(
                .pods, namespace: pod.namespace, name: pod.name, subresource: "binding", binding)
        } catch {
            if error.isNotFound { return .gone }
            note(warning: true, "FailedScheduling", "running Bind plugin \"DefaultBinder\": \(error.message)")
            return .failed
        }
        note("Scheduled", "Successfully assigned \(pod.namespace)/\(pod.name) to \(node)")
        return .done
    }

    func refuse(_ message: String, _ preemption: Preemption?) async {
        note(warning: true, "FailedScheduling", message)
        if preemption != nil || pod.lastMessage != message { await mark(message, nominated: preemption?.node) }
        if let preemption { await preempt(preemption) }
    }

    private func mark(_ message: String, nominated: String?) async {
        let condition: JSON = [
            "type": "PodScheduled", "status": "False", "lastProbeTime": .null,
            "lastTransitionTime": .string(Timestamp.seconds(now)),
            "reason": "Unschedulable", "message": .string(message)
        ]
        var status: JSON = ["conditions": [condition]]
        if let nominated { status["nominatedNodeName"] = .string(nominated) }
        await attempt {
            _ = try await client.patch(
                .pods, namespace: pod.namespace, name: pod.name, subresource: "status", type: .strategic,
                ["status": status])
        }
    }

    private func preempt(_ preemption: Preemption) async {
        for victim in preemption.victims {
            let parts = victim.key.split(separator: "/", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            let condition: JSON = [
                "type": "DisruptionTarget", "status": "True", "lastTransitionTime": .string(Timestamp.seconds(now)),
                "reason": "PreemptionByScheduler",
                "message": "default-scheduler: preempting to accommodate a higher priority pod"
            ]
            await attempt {
                _ = try await client.patch(
                    .pods, namespace: parts[0], name: parts[1], subresource: "status", type: .strategic,
                    ["status": ["conditions": [condition]]])
                try await client.delete(.pods, namespace: parts[0], name: parts[1], DeleteOptions(uid: victim.uid))
            }
            let about = ObjectReference(
                apiVersion: "v1", kind: "Pod", namespace: parts[0], name: parts[1], uid: victim.uid, resourceVersion: ""
            )
            recorder.record(
                about, reason: "Preempted", message: "Preempted by pod \(pod.uid) on node \(preemption.node)",
                through: client)
        }
    }

    /// What fails here is tried again with the pod's next turn.
    private func attempt(_ write: () async throws -> Void) async {
        do { try await write() } catch { return }
    }

    private func note(warning: Bool = false, _ reason: String, _ message: String) {
        let about = ObjectReference(
            apiVersion: "v1", kind: "Pod", namespace: pod.namespace, name: pod.name, uid: pod.uid, resourceVersion: "")
        recorder.record(about, warning: warning, reason: reason, message: message, through: client)
    }
}
