// Rows of workload kinds and of what stands next to them.

extension CellContext {
    func workload(_ kind: String) -> [JSON]? {
        switch kind {
        case "Deployment": deployment
        case "ReplicaSet": replicas + [age] + template + [Self.selector(object["spec", "selector"])]
        case "ReplicationController": replicas + [age] + template + [Self.labels(object["spec", "selector"])]
        case "DaemonSet": daemonSet
        case "StatefulSet":
            [name, .string("\(count(status: "readyReplicas"))/\(desired)"), age] + template
        case "Job": job
        case "CronJob": cronJob
        case "ControllerRevision": controllerRevision
        case "PodTemplate": [name] + containers("template") + [Self.labels(object["template", "metadata", "labels"])]
        case "Scale": [name, number("spec", "replicas"), number("status", "replicas"), age]
        case "PodDisruptionBudget":
            [
                name, intOrString("spec", "minAvailable"), intOrString("spec", "maxUnavailable"),
                number("status", "disruptionsAllowed"), age
            ]
        case "PriorityClass":
            [name, number("value"), .bool(object["globalDefault"]?.bool ?? false), age, text("preemptionPolicy")]
        default: nil
        }
    }

    private var template: [JSON] { containers("spec", "template") }
    private var desired: Int64 { object["spec", "replicas"]?.int ?? 1 }
    private func count(status field: String) -> Int64 { object["status", field]?.int ?? 0 }

    private var replicas: [JSON] {
        [name, .int(desired), number("status", "replicas"), number("status", "readyReplicas")]
    }

    private var deployment: [JSON] {
        let ready = "\(count(status: "readyReplicas"))/\(object["spec", "replicas"]?.int ?? 0)"
        return [name, .string(ready), number("status", "updatedReplicas"), number("status", "availableReplicas"), age]
            + template
            + [Self.selector(object["spec", "selector"])]
    }

    private var daemonSet: [JSON] {
        let counts = [
            "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled",
            "numberAvailable"
        ]
        return [name] + counts.map { .int(count(status: $0)) } + [
            Self.labels(object["spec", "template", "spec", "nodeSelector"]), age
        ] + template
            + [Self.selector(object["spec", "selector"])]
    }

    private var job: [JSON] {
        let succeeded = count(status: "succeeded")
        let completions: String
        if let wanted = object["spec", "completions"]?.int {
            completions = "\(succeeded)/\(wanted)"
        } else {
            let parallelism = object["spec", "parallelism"]?.int ?? 0
            completions = parallelism > 1 ? "\(succeeded)/1 of \(parallelism)" : "\(succeeded)/1"
        }
        return [name, .string(jobStatus), .string(completions), .string(jobDuration), age] + template + [
            Self.selector(object["spec", "selector"])
        ]
    }

    private var jobStatus: String {
        let conditions = (object["status", "conditions"]?.elements ?? []).filter { $0["status"] == "True" }.compactMap {
            $0["type"]?.string
        }
        if conditions.contains("Complete") { return "Complete" }
        if conditions.contains("Failed") { return "Failed" }
        if object.isBeingDeleted { return "Terminating" }
        return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].first(where: conditions.contains) ?? "Running"
    }

    private var jobDuration: String {
        guard let start = object["status", "startTime"]?.string.flatMap(Timestamp.parse) else { return "" }
        let end = object["status", "completionTime"]?.string.flatMap(Timestamp.parse)
        return Timestamp.humanDuration((end ?? now) - start)
    }

    private var cronJob: [JSON] {
        let last = object["status", "lastScheduleTime"]?.string
        let isSuspended = object["spec", "suspend"]?.bool == true
        return [
            name, text("spec", "schedule"), text("spec", "timeZone", or: "<none>"),
            .string(isSuspended ? "True" : "False"),
            .int(Int64(count("status", "active"))), .string(last == nil ? "<none>" : Timestamp.age(last, now: now)),
            age
        ] + containers("spec", "jobTemplate", "spec", "template") + [
            Self.selector(object["spec", "jobTemplate", "spec", "selector"])
        ]
    }

    private var controllerRevision: [JSON] {
        var owner = "<none>"
        if let reference = object.controllerReference {
            let kind = GroupVersionKind(apiVersion: reference.apiVersion, kind: reference.kind)
            let groupKind = kind.group.isEmpty ? kind.kind.lowercased() : "\(kind.kind.lowercased()).\(kind.group)"
            owner = "\(groupKind)/\(reference["name"]?.string ?? "")"
        }
        return [name, .string(owner), number("revision"), age]
    }

    private func intOrString(_ path: String...) -> JSON {
        switch object.value(at: path) {
        case .int(let number): .string(String(number))
        case .string(let text): .string(text)
        default: "N/A"
        }
    }
}
