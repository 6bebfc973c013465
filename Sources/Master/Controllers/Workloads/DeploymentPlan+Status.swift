// The status of a deployment: counts, and the conditions Available, Progressing and ReplicaFailure.

import API

extension DeploymentPlan {
    /// The counts as the sets' own statuses show them.
    func statusCounts() -> JSON {
        let total = all.reduce(Int64(0)) { $0 + $1.replicas }
        let available = all.reduce(Int64(0)) { $0 + $1.available }
        let counts: [(String, Int64)] = [
            ("observedGeneration", original.generation),
            ("replicas", all.reduce(0) { $0 + $1.actual }), ("updatedReplicas", new?.actual ?? 0),
            ("readyReplicas", all.reduce(0) { $0 + $1.ready }), ("availableReplicas", available),
            ("unavailableReplicas", max(0, total - available))
        ]
        var status: JSON = [:]
        for (key, count) in counts where count != 0 { status[key] = .int(count) }
        status["collisionCount"] = original["status", "collisionCount"]
        return status
    }

    func isComplete(_ status: JSON) -> Bool {
        status.number("updatedReplicas") == replicas && status.number("replicas") == replicas
            && status.number("availableReplicas") == replicas
            && status.number("observedGeneration") >= deployment.generation
    }

    mutating func status() {
        var status = statusCounts()
        availability(status)
        progress(status)
        replicaFailure()
        if !conditions.isEmpty { status["conditions"] = .array(conditions) }
        let isAnnotated = deployment["metadata"] != original["metadata"]
        if isAnnotated || status.essential != (original["status"] ?? .null).essential {
            var object = deployment
            object["status"] = status
            changes.append(.updateStatus(.deployments, object))
        }
        waitForDeadline(status)
    }

    private mutating func availability(_ status: JSON) {
        let enough = status.number("availableReplicas") >= replicas - margins.unavailable
        let condition =
            enough
            ? Conditions.make(
                "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now: now,
                updated: true)
            : Conditions.make(
                "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.",
                now: now, updated: true)
        Conditions.set(&conditions, condition)
    }

    private mutating func progress(_ status: JSON) {
        guard hasDeadline else { return Conditions.remove(&conditions, "Progressing") }
        let current = conditions.first { $0["type"]?.string == "Progressing" }
        let reason = current?["reason"]?.string
        let settled =
            status.number("replicas") == status.number("updatedReplicas") && reason == "NewReplicaSetAvailable"
        if settled || isPaused || deployment.isBeingDeleted { return }
        let subject = new.map { "ReplicaSet \"\($0.name)\"" } ?? "Deployment \"\(deployment.name)\""
        if isComplete(status) {
            progressing("True", "NewReplicaSetAvailable", "\(subject) has successfully progressed.")
        } else if hasProgressed(status) {
            Conditions.remove(&conditions, "Progressing")
            var condition = Conditions.make(
                "Progressing", "True", "ReplicaSetUpdated", "\(subject) is progressing.", now: now, updated: true)
            if current?["status"]?.string == "True" { condition["lastTransitionTime"] = current?["lastTransitionTime"] }
            conditions.append(condition)
        } else if hasTimedOut(current) {
            progressing("False", "ProgressDeadlineExceeded", "\(subject) has timed out progressing.")
        }
    }

    private func hasProgressed(_ status: JSON) -> Bool {
        let before = original["status"] ?? .null
        let oldLeft = status.number("replicas") - status.number("updatedReplicas")
        return status.number("updatedReplicas") > before.number("updatedReplicas")
            || oldLeft < before.number("replicas") - before.number("updatedReplicas")
            || status.number("readyReplicas") > before.number("readyReplicas")
            || status.number("availableReplicas") > before.number("availableReplicas")
    }

    private func hasTimedOut(_ progressing: JSON?) -> Bool {
        guard let progressing, let reason = progressing["reason"]?.string, reason != "NewReplicaSetAvailable" else {
            return false
        }
        if reason == "ProgressDeadlineExceeded" { return true }
        guard let since = Timestamp.milliseconds(progressing["lastUpdateTime"]?.string ?? "") else { return false }
        return since &+ deadlineSeconds &* 1000 < now
    }

    private mutating func replicaFailure() {
        let failing = ([new].compactMap { $0 } + old).compactMap { $0.object["status"]?.condition("ReplicaFailure") }
            .first
        guard let failing else { return Conditions.remove(&conditions, "ReplicaFailure") }
        let reason = failing["reason"]?.string ?? ""
        let message = failing["message"]?.string ?? ""
        Conditions.set(&conditions, Conditions.make("ReplicaFailure", "True", reason, message, now: now, updated: true))
    }

    /// Looks again when the deadline is over, since nothing else would wake it.
    private mutating func waitForDeadline(_ status: JSON) {
        guard hasDeadline, !isComplete(status), !isPaused,
            let progressing = conditions.first(where: { $0["type"]?.string == "Progressing" }),
            progressing["reason"]?.string != "ProgressDeadlineExceeded",
            let since = Timestamp.milliseconds(progressing["lastUpdateTime"]?.string ?? "")
        else { return }
        changes.append(.again(milliseconds: max(1000, since &+ deadlineSeconds &* 1000 &- now &+ 1000)))
    }
}
