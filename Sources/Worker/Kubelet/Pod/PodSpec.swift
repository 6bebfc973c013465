// What the kubelet reads of a pod again and again, taken out of the tree once a change.
// The tree stays beside it for everything that is needed only when a container is made.
import API

/// In which part of the spec a container stands, which decides when it is started and when it is over.
package enum ContainerKind: Sendable, Equatable {
    /// Runs to its end before the next one begins.
    case initial
    /// An init container with `restartPolicy: Always`: runs beside the pod, and before it.
    case sidecar
    case app
    /// Added by `kubectl debug`; never restarted.
    case ephemeral
}

package enum RestartPolicy: String, Sendable {
    case always = "Always"
    case onFailure = "OnFailure"
    case never = "Never"
}

/// A container of the spec.
package struct ContainerSpec: Sendable {
    package var name: String
    package var kind: ContainerKind
    package var image: String
    package var liveness: ProbeSpec?
    package var readiness: ProbeSpec?
    package var startup: ProbeSpec?
    /// Changes when the running container must be replaced: name and image, as upstream.
    package var hash: String
    package var json: JSON

    init(_ json: JSON, kind: ContainerKind) {
        self.json = json
        self.kind = kind == .initial && json["restartPolicy"]?.string == "Always" ? .sidecar : kind
        name = json["name"]?.string ?? ""
        image = json["image"]?.string ?? ""
        hash = Self.hash(name, image)
        guard self.kind == .app || self.kind == .sidecar else { return }
        liveness = json["livenessProbe"].flatMap(ProbeSpec.init)
        readiness = json["readinessProbe"].flatMap(ProbeSpec.init)
        startup = json["startupProbe"].flatMap(ProbeSpec.init)
    }

    /// FNV-1a, stable across processes (Swift's own hashing is seeded).
    private static func hash(_ name: String, _ image: String) -> String {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in Array("\(name)\u{0}\(image)".utf8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(value, radix: 16)
    }
}

/// A pod's spec and the metadata that decide over its life.
package struct PodSpec: Sendable {
    package var name: String
    package var namespace: String
    package var uid: String
    package var containers: [ContainerSpec]
    package var restartPolicy: RestartPolicy
    package var graceSeconds: Int64
    package var activeDeadlineSeconds: Int64?
    package var isHostNetwork: Bool
    package var readinessGates: [String]
    package var isBeingDeleted: Bool
    package var deletionGraceSeconds: Int64?
    /// When the grace of a deletion ends.
    package var deletionTime: Nanoseconds?
    /// The ConfigMaps and Secrets that its volumes show.
    package var shownObjects: Set<ObjectName>
    package var hostPorts: [PortMapping]

    package init(_ pod: JSON) {
        let spec = pod["spec"] ?? .null
        name = pod.name
        namespace = pod.namespace
        uid = pod.uid
        containers =
            (spec["initContainers"]?.elements ?? []).map { ContainerSpec($0, kind: .initial) }
            + (spec["containers"]?.elements ?? []).map { ContainerSpec($0, kind: .app) }
            + (spec["ephemeralContainers"]?.elements ?? []).map { ContainerSpec($0, kind: .ephemeral) }
        restartPolicy = RestartPolicy(rawValue: spec["restartPolicy"]?.string ?? "Always") ?? .always
        graceSeconds = spec["terminationGracePeriodSeconds"]?.int ?? 30
        activeDeadlineSeconds = spec["activeDeadlineSeconds"]?.int
        isHostNetwork = spec["hostNetwork"]?.bool ?? false
        readinessGates = (spec["readinessGates"]?.elements ?? []).compactMap { $0["conditionType"]?.string }
        isBeingDeleted = pod.isBeingDeleted
        deletionGraceSeconds = pod["metadata", "deletionGracePeriodSeconds"]?.int
        deletionTime = pod["metadata", "deletionTimestamp"]?.string.flatMap(TimeText.parse)
        shownObjects = Set((spec["volumes"]?.elements ?? []).flatMap { Self.objects(of: $0, pod.namespace) })
        hostPorts = isHostNetwork ? [] : SandboxSettings.ports(spec)
    }

    private static func objects(of volume: JSON, _ namespace: String) -> [ObjectName] {
        if let name = volume["configMap", "name"]?.string { return [ObjectName(.configMap, namespace, name)] }
        if let name = volume["secret", "secretName"]?.string { return [ObjectName(.secret, namespace, name)] }
        return (volume["projected", "sources"]?.elements ?? []).compactMap { source in
            if let name = source["configMap", "name"]?.string { return ObjectName(.configMap, namespace, name) }
            return source["secret", "name"]?.string.map { ObjectName(.secret, namespace, $0) }
        }
    }

    /// `name_namespace(uid)`, as upstream's messages name a pod.
    package var fullName: String { "\(name)_\(namespace)(\(uid))" }
}
