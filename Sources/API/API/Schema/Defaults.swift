// What upstream's defaulting sets on every write: constants and those that depend on other fields. Runs after decoding
// and again after admission; it never changes a value that is there. Allocated values (cluster IPs, node ports) are not
// here but in the API server.

extension SchemaTable {
    /// Sets what upstream's defaulting sets for this kind.
    package func applyDefaults(_ object: inout JSON, as kind: GroupVersionKind) {
        Defaults.apply(to: &object, kind)
        ZeroFields.fill(&object, kind)
    }
}

/// Defaulting of whole objects by kind.
enum Defaults {
    static func apply(to object: inout JSON, _ kind: GroupVersionKind) {
        switch (kind.group, kind.kind) {
        case ("", _): core(&object, kind.kind)
        case ("apps", _): apps(&object, kind.kind)
        case ("batch", _): batch(&object, kind.kind)
        case ("discovery.k8s.io", "EndpointSlice"):
            object.each("ports") { port in
                port.fill("name", "", evenEmpty: true)
                port.fill("protocol", "TCP")
            }
        case ("rbac.authorization.k8s.io", "RoleBinding"), ("rbac.authorization.k8s.io", "ClusterRoleBinding"):
            binding(&object)
        case ("scheduling.k8s.io", "PriorityClass"): object.fill("preemptionPolicy", "PreemptLowerPriority")
        case ("authentication.k8s.io", "TokenRequest"): object.inside("spec") { $0.fill("expirationSeconds", 3600) }
        case ("storage.k8s.io", "StorageClass"):
            object.fill("reclaimPolicy", "Delete")
            object.fill("volumeBindingMode", "Immediate")
        case ("autoscaling", "HorizontalPodAutoscaler"): object.inside("spec") { $0.fill("minReplicas", 1) }
        case ("networking.k8s.io", "NetworkPolicy"): networkPolicy(&object)
        default: break
        }
    }

    private static func core(_ object: inout JSON, _ kind: String) {
        switch kind {
        case "Pod": object.inside("spec") { pod(&$0) }
        case "PodTemplate": object.inside("template") { template(&$0) }
        case "Service": service(&object)
        case "Endpoints": object.each("subsets") { $0.each("ports") { $0.fill("protocol", "TCP") } }
        case "Secret": secret(&object)
        case "Namespace": namespace(&object)
        case "Node": node(&object)
        case "ReplicationController": replicationController(&object)
        case "PersistentVolume":
            object.with("status") { $0.fill("phase", "Pending") }
            object.inside("spec") { spec in
                spec.fill("persistentVolumeReclaimPolicy", "Retain")
                spec.fill("volumeMode", "Filesystem")
            }
        case "PersistentVolumeClaim":
            object.with("status") { $0.fill("phase", "Pending") }
            object.inside("spec") { $0.fill("volumeMode", "Filesystem") }
        case "LimitRange": object.inside("spec") { $0.each("limits") { limit(&$0) } }
        default: break
        }
    }

    /// Plain texts become data and are never answered.
    private static func secret(_ object: inout JSON) {
        object.fill("type", "Opaque")
        let texts = object["stringData"]?.object?.members ?? []
        object["stringData"] = nil
        for member in texts {
            let text = member.value.string ?? ""
            object.with("data") { $0[member.key] = .string(Base64.encode(text.utf8)) }
        }
    }

    private static func namespace(_ object: inout JSON) {
        object.with("status") { $0.fill("phase", "Active") }
        let name = object.name
        if !name.isEmpty {
            object.with("metadata") { $0.with("labels") { $0.fill("kubernetes.io/metadata.name", .string(name)) } }
        }
    }

    private static func node(_ object: inout JSON) {
        guard let capacity = object["status", "capacity"], object["status", "allocatable"] == nil else { return }
        object["status", "allocatable"] = capacity
    }

    private static func limit(_ limit: inout JSON) {
        guard limit["type"] == "Container" else { return }
        for member in limit["max"]?.object?.members ?? [] {
            limit.with("default") { $0.fill(member.key, member.value) }
        }
        for member in limit["default"]?.object?.members ?? [] {
            limit.with("defaultRequest") { $0.fill(member.key, member.value) }
        }
        for member in limit["min"]?.object?.members ?? [] {
            limit.with("defaultRequest") { $0.fill(member.key, member.value) }
        }
    }

    private static func service(_ object: inout JSON) {
        object.with("spec") { spec in
            spec.fill("sessionAffinity", "None")
            if spec["sessionAffinity"] == "None" { spec["sessionAffinityConfig"] = nil }
            if spec["sessionAffinity"] == "ClientIP" {
                spec.with("sessionAffinityConfig") { $0.with("clientIP") { $0.fill("timeoutSeconds", 10_800) } }
            }
            spec.fill("type", "ClusterIP")
            spec.each("ports") { port in
                port.fill("protocol", "TCP")
                let target = port["targetPort"]
                if target == nil || target == 0 || target == "" { port["targetPort"] = port["port"] }
            }
            trafficPolicies(&spec)
        }
        object.inside("status") {
            $0.inside("loadBalancer") {
                $0.each("ingress") { entry in
                    if entry["ip"]?.string?.isEmpty == false { entry.fill("ipMode", "VIP") }
                }
            }
        }
    }

    private static func trafficPolicies(_ spec: inout JSON) {
        let type = spec["type"]?.string ?? ""
        let isExternal =
            type == "NodePort" || type == "LoadBalancer"
            || (type == "ClusterIP" && !(spec["externalIPs"]?.elements ?? []).isEmpty)
        if isExternal { spec.fill("externalTrafficPolicy", "Cluster") }
        if ["ClusterIP", "NodePort", "LoadBalancer"].contains(type) { spec.fill("internalTrafficPolicy", "Cluster") }
        if type == "LoadBalancer" { spec.fill("allocateLoadBalancerNodePorts", true) }
    }

    private static func binding(_ object: inout JSON) {
        object.inside("roleRef") { $0.fill("apiGroup", "rbac.authorization.k8s.io") }
        object.each("subjects") { subject in
            if subject["kind"] == "User" || subject["kind"] == "Group" {
                subject.fill("apiGroup", "rbac.authorization.k8s.io")
            }
        }
    }

    private static func networkPolicy(_ object: inout JSON) {
        object.inside("spec") { spec in
            spec.each("ingress") { $0.each("ports") { $0.fill("protocol", "TCP") } }
            spec.each("egress") { $0.each("ports") { $0.fill("protocol", "TCP") } }
            let hasEgress = !(spec["egress"]?.elements ?? []).isEmpty
            spec.fill("policyTypes", hasEgress ? ["Ingress", "Egress"] : ["Ingress"])
        }
    }
}

// Workloads.
extension Defaults {
    private static func replicationController(_ object: inout JSON) {
        object.with("spec") { spec in
            spec.fill("replicas", 1)
            spec.inside("template") { template(&$0) }
        }
        guard let labels = object["spec", "template", "metadata", "labels"], labels.object?.isEmpty == false else {
            return
        }
        if object["spec", "selector"]?.object?.isEmpty != false { object["spec", "selector"] = labels }
        if object["metadata", "labels"]?.object?.isEmpty != false { object["metadata", "labels"] = labels }
    }

    private static func apps(_ object: inout JSON, _ kind: String) {
        guard kind != "ControllerRevision" else { return }
        object.with("spec") { spec in
            switch kind {
            case "Deployment": deployment(&spec)
            case "ReplicaSet": spec.fill("replicas", 1)
            case "DaemonSet": daemonSet(&spec)
            case "StatefulSet": statefulSet(&spec)
            default: break
            }
            spec.inside("template") { template(&$0) }
        }
    }

    private static func deployment(_ spec: inout JSON) {
        spec.fill("replicas", 1)
        spec.with("strategy") { strategy in
            strategy.fill("type", "RollingUpdate")
            guard strategy["type"] == "RollingUpdate" else { return }
            strategy.with("rollingUpdate") { update in
                update.fill("maxUnavailable", "25%")
                update.fill("maxSurge", "25%")
            }
        }
        spec.fill("revisionHistoryLimit", 10)
        spec.fill("progressDeadlineSeconds", 600)
    }

    private static func daemonSet(_ spec: inout JSON) {
        spec.with("updateStrategy") { strategy in
            strategy.fill("type", "RollingUpdate")
            guard strategy["type"] == "RollingUpdate" else { return }
            strategy.with("rollingUpdate") { update in
                update.fill("maxUnavailable", 1)
                update.fill("maxSurge", 0)
            }
        }
        spec.fill("revisionHistoryLimit", 10)
    }

    private static func statefulSet(_ spec: inout JSON) {
        spec.fill("replicas", 1)
        spec.fill("podManagementPolicy", "OrderedReady")
        spec.with("updateStrategy") { strategy in
            strategy.fill("type", "RollingUpdate")
            guard strategy["type"] == "RollingUpdate" else { return }
            strategy.with("rollingUpdate") { $0.fill("partition", 0) }
        }
        spec.with("persistentVolumeClaimRetentionPolicy") { policy in
            policy.fill("whenDeleted", "Retain")
            policy.fill("whenScaled", "Retain")
        }
        spec.fill("revisionHistoryLimit", 10)
        spec.each("volumeClaimTemplates") { claim in
            claim.with("status") { $0.fill("phase", "Pending") }
            claim.inside("spec") { $0.fill("volumeMode", "Filesystem") }
        }
    }

    private static func batch(_ object: inout JSON, _ kind: String) {
        if kind == "CronJob" {
            object.with("spec") { spec in
                spec.fill("concurrencyPolicy", "Allow")
                spec.fill("suspend", false)
                spec.fill("successfulJobsHistoryLimit", 3)
                spec.fill("failedJobsHistoryLimit", 1)
                spec.inside("jobTemplate") { $0.inside("spec") { $0.inside("template") { template(&$0) } } }
            }
        }
        if kind == "Job" { object.with("spec") { job(&$0) } }
    }

    private static func job(_ spec: inout JSON) {
        if spec["completions"] == nil && spec["parallelism"] == nil { spec["completions"] = 1 }
        spec.fill("parallelism", 1)
        spec.fill("backoffLimit", spec["backoffLimitPerIndex"] == nil ? 6 : 2_147_483_647)
        spec.fill("completionMode", "NonIndexed")
        spec.fill("suspend", false)
        spec.fill("manualSelector", false)
        spec.fill("podReplacementPolicy", spec["podFailurePolicy"] == nil ? "TerminatingOrFailed" : "Failed")
        spec.inside("template") { template(&$0) }
    }

    static func template(_ template: inout JSON) {
        template.with("spec") { PodDefaults.spec(&$0) }
    }

    private static func pod(_ spec: inout JSON) {
        PodDefaults.spec(&spec)
        spec.fill("enableServiceLinks", true)
        let usesHostNetwork = spec["hostNetwork"]?.bool == true
        for list in ["containers", "initContainers"] {
            spec.each(list) { container in
                PodDefaults.requests(&container)
                if usesHostNetwork { PodDefaults.hostPorts(&container) }
            }
        }
    }
}

/// Changing members that are there, or making them.
extension JSON {
    /// Sets a member that is absent or, unless `evenEmpty`, an empty string.
    mutating func fill(_ key: String, _ value: JSON, evenEmpty: Bool = false) {
        let existing = self[key]
        if existing == nil || existing == .null || (!evenEmpty && existing == "") { self[key] = value }
    }

    /// Changes a member that is an object.
    mutating func inside(_ key: String, _ body: (inout JSON) -> Void) {
        guard case .object = self[key] else { return }
        modify(key, body)
    }

    /// Changes a member, which is made an object when it is absent.
    mutating func with(_ key: String, _ body: (inout JSON) -> Void) {
        if self[key] == nil || self[key] == .null { self[key] = .object([:]) }
        modify(key, body)
    }

    /// Changes each element of a member that is an array.
    mutating func each(_ key: String, _ body: (inout JSON) -> Void) {
        guard case .array = self[key] else { return }
        modify(key) { list in
            guard case .array(var values) = list else { return }
            list = .null
            for index in values.indices { body(&values[index]) }
            list = .array(values)
        }
    }
}
