// Defaults of a pod's spec, in pods and in the templates of workloads alike. Never changes a value that is there.

enum PodDefaults {
    static func spec(_ spec: inout JSON) {
        spec.fill("dnsPolicy", "ClusterFirst")
        spec.fill("restartPolicy", "Always")
        spec.fill("terminationGracePeriodSeconds", 30)
        spec.fill("schedulerName", "default-scheduler")
        if spec["securityContext"] == nil { spec["securityContext"] = .object([:]) }
        mirrorServiceAccount(&spec)
        spec.each("initContainers") { container(&$0) }
        spec.each("containers") { container(&$0) }
        spec.each("ephemeralContainers") { container(&$0) }
        spec.each("volumes") { volume(&$0) }
    }

    /// The old name and the new one are the same field.
    private static func mirrorServiceAccount(_ spec: inout JSON) {
        let name = [spec["serviceAccountName"], spec["serviceAccount"]].compactMap(\.?.string).first { !$0.isEmpty }
        guard let name else { return }
        spec["serviceAccountName"] = .string(name)
        spec["serviceAccount"] = .string(name)
    }

    private static func container(_ container: inout JSON) {
        container.fill("imagePullPolicy", pullPolicy(of: container["image"]?.string ?? ""))
        container.fill("terminationMessagePath", "/dev/termination-log")
        container.fill("terminationMessagePolicy", "File")
        if container["resources"] == nil { container["resources"] = .object([:]) }
        container.each("ports") { $0.fill("protocol", "TCP") }
        container.each("env") { variable in variable.inside("valueFrom") { source in reference(&source) } }
        for name in ["livenessProbe", "readinessProbe", "startupProbe"] { container.inside(name) { probe(&$0) } }
        container.inside("lifecycle") { lifecycle in
            for name in ["postStart", "preStop"] { lifecycle.inside(name) { $0.inside("httpGet") { httpGet(&$0) } } }
        }
    }

    /// `Always` when the tag is `latest` or absent, unless a digest names the image.
    private static func pullPolicy(of image: String) -> JSON {
        if image.contains("@") { return "IfNotPresent" }
        let last = image.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard let colon = last.lastIndex(of: ":") else { return "Always" }
        return last[last.index(after: colon)...] == "latest" ? "Always" : "IfNotPresent"
    }

    private static func reference(_ source: inout JSON) {
        source.inside("fieldRef") { $0.fill("apiVersion", "v1") }
        source.inside("resourceFieldRef") { $0.fill("divisor", "0") }
    }

    private static func probe(_ probe: inout JSON) {
        for (name, value) in [
            ("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)
        ] as [(String, JSON)] {
            if probe[name] == nil || probe[name] == 0 { probe[name] = value }
        }
        probe.inside("httpGet") { httpGet(&$0) }
        probe.inside("grpc") { $0.fill("service", "", evenEmpty: true) }
    }

    private static func httpGet(_ action: inout JSON) {
        action.fill("path", "/")
        action.fill("scheme", "HTTP")
    }

    /// Requests that are absent equal the limits.
    static func requests(_ container: inout JSON) {
        guard let limits = container["resources", "limits"]?.object, !limits.isEmpty else { return }
        container.inside("resources") { resources in
            resources.with("requests") { requests in
                for limit in limits { requests.fill(limit.key, limit.value) }
            }
        }
    }

    static func hostPorts(_ container: inout JSON) {
        container.each("ports") { port in
            if port["hostPort"] == nil || port["hostPort"] == 0 { port["hostPort"] = port["containerPort"] }
        }
    }
}

// Volumes.
extension PodDefaults {
    private static func volume(_ volume: inout JSON) {
        if (volume.object?.count ?? 0) <= (volume["name"] == nil ? 0 : 1) { volume["emptyDir"] = .object([:]) }
        volume.inside("secret") { $0.fill("defaultMode", 420) }
        volume.inside("configMap") { $0.fill("defaultMode", 420) }
        volume.inside("hostPath") { $0.fill("type", "", evenEmpty: true) }
        volume.inside("downwardAPI") { source in
            source.fill("defaultMode", 420)
            source.each("items") { reference(&$0) }
        }
        volume.inside("projected") { projected(&$0) }
        volume.inside("image") { $0.fill("pullPolicy", pullPolicy(of: $0["reference"]?.string ?? "")) }
        volume.inside("iscsi") { $0.fill("iscsiInterface", "default") }
        volume.inside("ephemeral") {
            $0.inside("volumeClaimTemplate") { claim in
                if claim["metadata"] == nil { claim["metadata"] = .object([:]) }
                claim.inside("spec") { $0.fill("volumeMode", "Filesystem") }
            }
        }
    }

    private static func projected(_ source: inout JSON) {
        source.fill("defaultMode", 420)
        source.each("sources") { entry in
            entry.inside("serviceAccountToken") { $0.fill("expirationSeconds", 3600) }
            entry.inside("downwardAPI") { $0.each("items") { reference(&$0) } }
        }
    }
}
