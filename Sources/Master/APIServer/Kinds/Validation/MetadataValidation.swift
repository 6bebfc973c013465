// What holds for `metadata` of every kind: names, labels, annotations, owner references, finalizers; what an update
// may not change; and what an update takes over from the stored object when the client left it out. It never sets
// names, uids or timestamps of a new object: the machinery does.
import API

enum Metadata {
    /// Total bytes of keys and values of annotations.
    static let annotationBytesMax = 262_144
    private static let standardFinalizers: Set<String> = ["kubernetes", "orphan", "foregroundDeletion"]

    static func check(_ object: JSON, names: NameRule, isNamespaced: Bool) -> [FieldError] {
        var issues = Issues()
        let path: FieldPath = "metadata"
        if let prefix = object["metadata", "generateName"]?.string, !prefix.isEmpty {
            issues.invalid(path["generateName"], .string(prefix), names.problems(prefix, isPrefix: true))
        }
        if object.name.isEmpty {
            issues.required(path["name"], "name or generateName is required")
        } else {
            issues.invalid(path["name"], .string(object.name), names.problems(object.name))
        }
        checkNamespace(object, isNamespaced, &issues)
        checkShared(object, &issues)
        return issues.list
    }

    private static func checkNamespace(_ object: JSON, _ isNamespaced: Bool, _ issues: inout Issues) {
        let namespace = object.namespace
        if isNamespaced {
            if namespace.isEmpty {
                issues.required("metadata.namespace")
            } else {
                issues.invalid("metadata.namespace", .string(namespace), Names.label(namespace))
            }
        } else if !namespace.isEmpty {
            issues.forbidden("metadata.namespace", "not allowed on this type")
        }
    }

    private static func checkShared(_ object: JSON, _ issues: inout Issues) {
        if let generation = object["metadata", "generation"] { issues.nonNegative("metadata.generation", generation) }
        labels(object["metadata", "labels"], at: "metadata.labels", &issues)
        annotations(object["metadata", "annotations"], at: "metadata.annotations", &issues)
        ownerReferences(object["metadata", "ownerReferences"], &issues)
        finalizers(object["metadata", "finalizers"]?.elements ?? [], at: "metadata.finalizers", &issues)
    }

    static func labels(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        for member in (value?.object?.members ?? []).sorted(by: { $0.key < $1.key }) {
            issues.invalid(path, .string(member.key), Names.qualifiedName(member.key))
            let text = member.value.string ?? ""
            issues.invalid(path, .string(text), Names.labelValue(text))
        }
    }

    static func annotations(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        var bytes = 0
        for member in (value?.object?.members ?? []).sorted(by: { $0.key < $1.key }) {
            issues.invalid(path, .string(member.key), Names.qualifiedName(member.key.lowercased()))
            bytes += member.key.utf8.count + (member.value.string?.utf8.count ?? 0)
        }
        if bytes > annotationBytesMax { issues.tooLong(path, bytesMax: annotationBytesMax) }
    }

    private static func ownerReferences(_ value: JSON?, _ issues: inout Issues) {
        let path: FieldPath = "metadata.ownerReferences"
        var controllers: [String] = []
        for (i, owner) in (value?.elements ?? []).enumerated() {
            ownerReference(owner, at: path[i], &issues)
            if owner["controller"]?.bool == true { controllers.append("\(owner.kind)/\(owner["name"]?.string ?? "")") }
        }
        if controllers.count > 1 {
            let text =
                "Only one reference can have Controller set to true. "
                + "Found \"true\" in references for \(controllers[0]) and "
            issues.invalid(path, value, text + controllers[1])
        }
    }

    private static func ownerReference(_ owner: JSON, at path: FieldPath, _ issues: inout Issues) {
        if owner.apiVersion.isEmpty { issues.invalid(path["apiVersion"], .string(""), "version must not be empty") }
        if owner.kind.isEmpty { issues.invalid(path["kind"], .string(""), "must not be empty") }
        if (owner["name"]?.string ?? "").isEmpty { issues.invalid(path["name"], .string(""), "must not be empty") }
        if (owner["uid"]?.string ?? "").isEmpty { issues.invalid(path["uid"], .string(""), "must not be empty") }
        if owner.apiVersion == "v1" && owner.kind == "Event" {
            issues.invalid(path, .string("v1, Kind=Event"), "is disallowed from being an owner")
        }
    }

    private static func finalizers(_ values: [JSON], at path: FieldPath, _ issues: inout Issues) {
        let names = values.compactMap(\.string)
        for (i, name) in names.enumerated() {
            issues.invalid(path[i], .string(name), Names.qualifiedName(name))
            if !name.contains("/") && !standardFinalizers.contains(name) {
                issues.invalid(
                    path[i], .string(name), "name is neither a standard finalizer name nor is it fully qualified")
            }
        }
        if names.contains("orphan") && names.contains("foregroundDeletion") {
            let both = "finalizer orphan and foregroundDeletion cannot be both set"
            issues.invalid(path, .array(values), both)
        }
    }

    static func checkUpdate(_ new: JSON, _ old: JSON, isNamespaced: Bool) -> [FieldError] {
        var issues = Issues()
        for member in [
            "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"
        ] {
            if member == "namespace" && !isNamespaced { continue }
            issues.immutable(FieldPath("metadata.\(member)"), new["metadata"]?[member], old["metadata"]?[member])
        }
        if new.generation < old.generation {
            issues.invalid("metadata.generation", .int(new.generation), "must not be decremented")
        }
        checkShared(new, &issues)
        return issues.list
    }

    /// What the client left out, or may not touch, comes from the stored object.
    static func carryOver(_ new: inout JSON, from old: JSON) {
        var metadata = new["metadata"] ?? [:]
        let stored = old["metadata"] ?? [:]
        for member in ["uid", "creationTimestamp", "name", "namespace"] where (metadata[member]?.string ?? "").isEmpty {
            if let value = stored[member] { metadata[member] = value }
        }
        for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName"]
        where stored[member] != nil || member != "generateName" {
            metadata[member] = stored[member]
        }
        metadata["selfLink"] = nil
        new["metadata"] = metadata
    }
}
