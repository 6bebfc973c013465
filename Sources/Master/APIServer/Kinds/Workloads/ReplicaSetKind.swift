// ReplicaSets and their elder, ReplicationControllers.
import API

package struct ReplicaSetKind: StoredKind {
    package init() {}
    package var hasStatus: Bool { true }
    package var hasGeneration: Bool { true }
    static let counts = [
        "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"
    ]
    static let bounded = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]

    package func fill(_ write: inout WriteRequest) { write.object["status"] = ["replicas": 0] }

    package func warnings(_ write: WriteRequest) -> [String] { PodWarnings.ofTemplate(write) }

    package func check(_ object: JSON, _ issues: inout Issues) { spec(object["spec"] ?? [:], isCreate: true, &issues) }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        if subresource == "status" {
            return WorkloadValidation.counts(new["status"], all: Self.counts, bounded: Self.bounded, &issues)
        }
        spec(new["spec"] ?? [:], isCreate: false, &issues)
        issues.immutable("spec.selector", new["spec", "selector"], old["spec", "selector"])
    }

    private func spec(_ spec: JSON, isCreate: Bool, _ issues: inout Issues) {
        issues.nonNegative("spec.replicas", spec["replicas"])
        issues.nonNegative("spec.minReadySeconds", spec["minReadySeconds"])
        WorkloadValidation.selectorAndTemplate(spec, kind: "deployment", isCreate: isCreate, &issues)
    }
}

package struct ReplicationControllerKind: StoredKind {
    package init() {}
    package var hasStatus: Bool { true }
    package var hasGeneration: Bool { true }
    package var defaultPropagation: String { "Orphan" }
    package func fill(_ write: inout WriteRequest) { write.object["status"] = ["replicas": 0] }

    package func check(_ object: JSON, _ issues: inout Issues) {
        let spec = object["spec"] ?? [:]
        issues.nonNegative("spec.minReadySeconds", spec["minReadySeconds"])
        let selector = spec["selector"]?.stringMap ?? [:]
        if selector.isEmpty { issues.required("spec.selector") }
        issues.nonNegative("spec.replicas", spec["replicas"])
        guard let template = spec["template"], !template.isNull else { return issues.required("spec.template") }
        let labels = template["metadata", "labels"]
        let has = labels?.stringMap ?? [:]
        if !selector.allSatisfy({ has[$0.key] == $0.value }) {
            issues.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        }
        WorkloadValidation.template(spec, owner: "ReplicationController", isCreate: true, &issues)
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        if subresource == "status" {
            return WorkloadValidation.counts(
                new["status"], all: ReplicaSetKind.counts, bounded: ReplicaSetKind.bounded, &issues)
        }
        check(new, &issues)
    }
}
