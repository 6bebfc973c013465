// The validation of containers, init containers and ephemeral containers: names, images, ports, environment, mounts,
// resources. Pure; upstream's order of checks.
import API

struct ContainerValidation {
    /// Volume name → its definition.
    var volumes: [String: JSON]
    var spec: JSON
    private var isHostNetwork: Bool { spec["hostNetwork"]?.bool ?? false }

    init(volumes: [String: JSON], spec: JSON) {
        self.volumes = volumes
        self.spec = spec
    }

    func checkAll(at path: FieldPath, _ issues: inout Issues) {
        let containers = spec["containers"]?.elements ?? []
        if containers.isEmpty { issues.required(path["containers"]) }
        var names = Set<String>()
        for (i, container) in containers.enumerated() {
            check(container, at: path["containers"][i], names: &names, &issues)
        }
        hostPorts(containers, at: path["containers"], &issues)
        for (i, container) in (spec["initContainers"]?.elements ?? []).enumerated() {
            initContainer(container, at: path["initContainers"][i], names: &names, &issues)
        }
        ephemeral(at: path["ephemeralContainers"], names: &names, &issues)
    }

    private func initContainer(_ container: JSON, at path: FieldPath, names: inout Set<String>, _ issues: inout Issues)
    {
        check(container, at: path, names: &names, &issues)
        issues.oneOf(path["restartPolicy"], container["restartPolicy"], ["Always"])
        guard container["restartPolicy"]?.string != "Always" else { return }
        for member in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] where container[member] != nil {
            issues.forbidden(path[member], "may not be set for init containers without restartPolicy=Always")
        }
    }

    private func ephemeral(at path: FieldPath, names: inout Set<String>, _ issues: inout Issues) {
        let known = Set(
            ["containers", "initContainers"].flatMap { spec[$0]?.elements.compactMap { $0["name"]?.string } ?? [] })
        for (i, container) in (spec["ephemeralContainers"]?.elements ?? []).enumerated() {
            check(container, at: path[i], names: &names, &issues)
            let target = container["targetContainerName"]?.string ?? ""
            if !target.isEmpty && !known.contains(target) {
                issues.notFound(path[i]["targetContainerName"], .string(target))
            }
            for member in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"]
            where container[member] != nil {
                issues.forbidden(path[i][member], "cannot be set for an Ephemeral Container")
            }
            let resources = container["resources"]?.object
            if resources.map({ !$0.isEmpty }) ?? false {
                issues.forbidden(path[i]["resources"], "cannot be set for an Ephemeral Container")
            }
        }
    }

    private func check(_ container: JSON, at path: FieldPath, names: inout Set<String>, _ issues: inout Issues) {
        let name = container["name"]?.string ?? ""
        if name.isEmpty {
            issues.required(path["name"])
        } else {
            issues.invalid(path["name"], .string(name), Names.label(name))
        }
        if !name.isEmpty && !names.insert(name).inserted { issues.duplicate(path["name"], .string(name)) }
        image(container, at: path, &issues)
        lifecycle(container, at: path, &issues)
        probes(container, at: path, &issues)
        issues.oneOf(
            path["terminationMessagePolicy"], container["terminationMessagePolicy"], ["FallbackToLogsOnError", "File"])
        if (container["terminationMessagePath"]?.string ?? "").isEmpty {
            issues.required(path["terminationMessagePath"])
        }
        ports(container["ports"], at: path["ports"], &issues)
        environment(container["env"], at: path["env"], &issues)
        environmentFrom(container["envFrom"], at: path["envFrom"], &issues)
        mounts(container, at: path, &issues)
        issues.oneOf(path["imagePullPolicy"], container["imagePullPolicy"], ["Always", "IfNotPresent", "Never"])
        ResourceValidation.check(container["resources"], at: path["resources"], &issues)
        SecurityValidation.container(container["securityContext"], at: path["securityContext"], &issues)
    }

    private func image(_ container: JSON, at path: FieldPath, _ issues: inout Issues) {
        let image = container["image"]?.string ?? ""
        if image.isEmpty {
            issues.required(path["image"])
        } else if image.first?.isWhitespace == true || image.last?.isWhitespace == true {
            issues.invalid(path["image"], .string(image), "must not have leading or trailing whitespace")
        }
    }

    private func lifecycle(_ container: JSON, at path: FieldPath, _ issues: inout Issues) {
        for hook in ["postStart", "preStop"] {
            guard let handler = container["lifecycle", hook], !handler.isNull else { continue }
            HandlerValidation.check(handler, at: path["lifecycle"][hook], isHook: true, &issues)
        }
    }

    private func probes(_ container: JSON, at path: FieldPath, _ issues: inout Issues) {
        for member in ["livenessProbe", "readinessProbe", "startupProbe"] {
            guard let probe = container[member], !probe.isNull else { continue }
            HandlerValidation.probe(probe, at: path[member], &issues)
            if member != "readinessProbe", let successes = probe["successThreshold"]?.int, successes != 1 {
                issues.invalid(path[member]["successThreshold"], .int(successes), "must be 1")
            }
        }
    }

    private func ports(_ ports: JSON?, at path: FieldPath, _ issues: inout Issues) {
        var names = Set<String>()
        for (i, port) in (ports?.elements ?? []).enumerated() {
            if let name = port["name"]?.string, !name.isEmpty {
                let problems = Names.portName(name)
                issues.invalid(path[i]["name"], .string(name), problems)
                if problems.isEmpty && !names.insert(name).inserted { issues.duplicate(path[i]["name"], .string(name)) }
            }
            let number = port["containerPort"]?.int ?? 0
            if number == 0 {
                issues.required(path[i]["containerPort"])
            } else {
                issues.port(path[i]["containerPort"], .int(number))
            }
            let host = port["hostPort"]?.int ?? 0
            if host != 0 { issues.port(path[i]["hostPort"], .int(host)) }
            if isHostNetwork && host != 0 && host != number {
                issues.invalid(path[i]["hostPort"], .int(host), "must match `containerPort` when `hostNetwork` is true")
            }
            if (port["protocol"]?.string ?? "").isEmpty {
                issues.required(path[i]["protocol"])
            } else {
                issues.oneOf(path[i]["protocol"], port["protocol"], ["SCTP", "TCP", "UDP"])
            }
        }
    }

    /// No two containers of a pod share a port of the host.
    private func hostPorts(_ containers: [JSON], at path: FieldPath, _ issues: inout Issues) {
        var seen = Set<String>()
        for (i, container) in containers.enumerated() {
            for (j, port) in (container["ports"]?.elements ?? []).enumerated() {
                guard let host = port["hostPort"]?.int, host != 0 else { continue }
                let key = "\(port["protocol"]?.string ?? "")/\(port["hostIP"]?.string ?? "")/\(host)"
                if !seen.insert(key).inserted { issues.duplicate(path[i]["ports"][j]["hostPort"], .string(key)) }
            }
        }
    }
}

extension ContainerValidation {
    private static let fieldPaths: Set<String> = [
        "metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations",
        "spec.nodeName",
        "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"
    ]
    private static let sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"]

    private func environment(_ variables: JSON?, at path: FieldPath, _ issues: inout Issues) {
        for (i, variable) in (variables?.elements ?? []).enumerated() {
            let name = variable["name"]?.string ?? ""
            if name.isEmpty {
                issues.required(path[i]["name"])
            } else {
                issues.invalid(path[i]["name"], .string(name), Names.environmentVariable(name))
            }
            if let source = variable["valueFrom"], !source.isNull {
                valueFrom(
                    source, hasValue: !(variable["value"]?.string ?? "").isEmpty, at: path[i]["valueFrom"], &issues)
            }
        }
    }

    private func valueFrom(_ source: JSON, hasValue: Bool, at path: FieldPath, _ issues: inout Issues) {
        let given = Self.sources.filter { source[$0] != nil }
        if let field = source["fieldRef"] { Self.fieldReference(field, at: path["fieldRef"], isVolume: false, &issues) }
        for (member, kind) in [("configMapKeyRef", "name"), ("secretKeyRef", "name")] {
            guard let reference = source[member] else { continue }
            if (reference[kind]?.string ?? "").isEmpty { issues.required(path[member]["name"]) }
            let key = reference["key"]?.string ?? ""
            if key.isEmpty {
                issues.required(path[member]["key"])
            } else {
                issues.invalid(path[member]["key"], .string(key), Names.configMapKey(key))
            }
        }
        if let reference = source["resourceFieldRef"], (reference["resource"]?.string ?? "").isEmpty {
            issues.required(path["resourceFieldRef"]["resource"])
        }
        if given.isEmpty {
            let text =
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            issues.invalid(path, .string(""), text)
        } else if hasValue {
            issues.invalid(path, .string(""), "may not be specified when `value` is not empty")
        } else if given.count > 1 {
            issues.invalid(path, .string(""), "may not have more than one field specified at a time")
        }
    }

    static func fieldReference(_ field: JSON, at path: FieldPath, isVolume: Bool, _ issues: inout Issues) {
        let text = field["fieldPath"]?.string ?? ""
        if text.isEmpty { return issues.required(path["fieldPath"]) }
        let isSubscript =
            (text.hasPrefix("metadata.labels['") || text.hasPrefix("metadata.annotations['")) && text.hasSuffix("']")
        let isMap = text == "metadata.labels" || text == "metadata.annotations"
        if isSubscript { return }
        guard Self.fieldPaths.contains(text) else {
            return issues.invalid(
                path["fieldPath"], .string(text), "error converting fieldPath: field label not supported: \(text)")
        }
        let isAllowed =
            isVolume
            ? isMap || text == "metadata.name" || text == "metadata.namespace" || text == "metadata.uid" : !isMap
        if isAllowed { return }
        let supported =
            isVolume
            ? ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"]
            : Self.fieldPaths.subtracting(["metadata.labels", "metadata.annotations"]).sorted()
        issues.unsupported(path["fieldPath"], .string(text), supported)
    }

    private func environmentFrom(_ sources: JSON?, at path: FieldPath, _ issues: inout Issues) {
        for (i, source) in (sources?.elements ?? []).enumerated() {
            if let prefix = source["prefix"]?.string, !prefix.isEmpty {
                issues.invalid(path[i]["prefix"], .string(prefix), Names.environmentVariable(prefix))
            }
            let given = ["configMapRef", "secretRef"].filter { source[$0] != nil }
            if given.isEmpty {
                issues.invalid(path[i], .string(""), "must specify one of: `configMapRef` or `secretRef`")
            }
            if given.count > 1 {
                issues.invalid(path[i], .string(""), "may not have more than one field specified at a time")
            }
            for member in given where (source[member]?["name"]?.string ?? "").isEmpty {
                issues.required(path[i][member]["name"])
            }
        }
    }

    private func mounts(_ container: JSON, at path: FieldPath, _ issues: inout Issues) {
        var targets = Set<String>()
        let mounts = path["volumeMounts"]
        for (i, mount) in (container["volumeMounts"]?.elements ?? []).enumerated() {
            let name = mount["name"]?.string ?? ""
            if name.isEmpty {
                issues.required(mounts[i]["name"])
            } else if volumes[name] == nil {
                issues.notFound(mounts[i]["name"], .string(name))
            }
            let target = mount["mountPath"]?.string ?? ""
            if target.isEmpty {
                issues.required(mounts[i]["mountPath"])
            } else if !targets.insert(target).inserted {
                issues.invalid(mounts[i]["mountPath"], .string(target), "must be unique")
            }
            subPath(mount, at: mounts, &issues)
            issues.oneOf(
                mounts[i]["mountPropagation"], mount["mountPropagation"], ["Bidirectional", "HostToContainer", "None"])
        }
    }

    /// Upstream leaves the index out of these paths.
    private func subPath(_ mount: JSON, at path: FieldPath, _ issues: inout Issues) {
        for member in ["subPath", "subPathExpr"] {
            guard let text = mount[member]?.string, !text.isEmpty else { continue }
            if text.hasPrefix("/") { issues.invalid(path[member], .string(text), "must be a relative path") }
            if text.split(separator: "/").contains("..") {
                issues.invalid(path[member], .string(text), "must not contain '..'")
            }
        }
        if !(mount["subPath"]?.string ?? "").isEmpty && !(mount["subPathExpr"]?.string ?? "").isEmpty {
            issues.invalid(path["subPathExpr"], mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")
        }
    }
}
