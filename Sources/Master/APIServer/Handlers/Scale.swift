// The scale subresource: `autoscaling/v1 Scale` made from, and written back into, an object with `spec.replicas`. Pure
// but for the write.
import API
import KVCore

enum Scale {
    static let kind = GroupVersionKind("autoscaling", "v1", "Scale")

    /// The Scale of an object.
    static func of(_ object: JSON) -> JSON {
        var metadata: JSON = [:]
        for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            metadata[key] = object["metadata", key]
        }
        var status: JSON = ["replicas": object["status", "replicas"] ?? 0]
        let selector = selector(object)
        if !selector.isEmpty { status["selector"] = .string(selector) }
        var spec: JSON = [:]
        if let replicas = object["spec", "replicas"]?.int, replicas != 0 { spec["replicas"] = .int(replicas) }
        return ["kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status]
    }

    /// The Table of a Scale.
    static func table(_ scale: JSON, version: String, now: Double, rows: RowObject) -> JSON {
        let columns: [(String, String)] = [
            ("Name", "string"), ("Desired", "integer"), ("Available", "integer"), ("Age", "string")
        ]
        let definitions = columns.map { name, type -> JSON in
            ["name": .string(name), "type": .string(type), "format": "", "description": "", "priority": 0]
        }
        let cells: JSON = [
            .string(scale.name), scale["spec", "replicas"] ?? 0, scale["status", "replicas"] ?? 0,
            .string(Timestamp.age(scale["metadata", "creationTimestamp"]?.string, now: now))
        ]
        let row: JSON = ["cells": cells, "object": Renderer.rowObject(scale, version, rows)]
        return [
            "kind": "Table", "apiVersion": .string("meta.k8s.io/\(version)"),
            "metadata": ["resourceVersion": .string(scale.resourceVersion)],
            "columnDefinitions": .array(definitions), "rows": [row]
        ]
    }

    private static func selector(_ object: JSON) -> String {
        guard let given = object["spec", "selector"] else { return "" }
        if object.kind == "ReplicationController" {
            return given.stringMap.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        }
        do { return try LabelSelector(object: given).text } catch { return "" }
    }
}

extension ResourceStore {
    /// Writes `spec.replicas` from the Scale that `transform` makes of the current one; answers with the new Scale.
    func updateScale(
        _ call: WriteCall, _ transform: @escaping @Sendable (JSON) throws(StatusError) -> JSON
    ) async throws(StatusError) -> WriteOutcome {
        var parent = call
        parent.subresource = ""
        parent.fieldSubresource = "scale"
        let target = parent
        var outcome = try await update(parent) { (stored) throws(StatusError) in
            guard var object = stored else { throw Status.notFound(target.gvr, target.name) }
            let scale = try transform(Scale.of(object))
            try Self.checkName(scale, target)
            let replicas = scale["spec", "replicas"]?.int ?? 0
            if replicas < 0 {
                let cause = StatusCause(
                    reason: "FieldValueInvalid",
                    message: "Invalid value: \(replicas): must be greater than or equal to 0", field: "spec.replicas")
                throw Status.invalid(Scale.kind, target.name, [cause])
            }
            let version = scale.resourceVersion
            if !version.isEmpty && version != object.resourceVersion { throw Status.conflict(target.gvr, target.name) }
            object["spec", "replicas"] = .int(replicas)
            return object
        }
        outcome.object = Scale.of(outcome.object)
        return outcome
    }
}
