// Request bodies to trees: JSON, YAML or protobuf, checked against the schema, with upstream's refusals and warnings.
// Pure. Hostile bytes give a 400; nothing here traps or allocates beyond the body's own size.
import API
import NIOCore

/// What `fieldValidation` asks for.
enum FieldValidation: String, Sendable {
    case ignore = "Ignore"
    case warn = "Warn"
    case strict = "Strict"
}

struct BodyDecoder: Sendable {
    let schema: SchemaTable
    var validation: FieldValidation = .warn

    /// A raw tree and the doubled keys that were found on the way.
    struct Raw {
        var tree: JSON
        var duplicates: [String] = []
        var encoding: Encoding
    }

    /// A tree checked against its definition.
    struct Decoded {
        var object: JSON
        var warnings: [String] = []
    }

    /// Parses without a schema. `wanted` names the kind in messages.
    func parse(_ body: ByteBuffer, contentType: String?, wanted: String) throws(StatusError) -> Raw {
        let bytes = Array(body.readableBytesView)
        let type = contentType.flatMap { MediaType($0)?.type } ?? "application/json"
        var duplicates: [String] = []
        switch type {
        case "application/json":
            do {
                return Raw(
                    tree: try JSON.parse(bytes, duplicates: &duplicates), duplicates: duplicates, encoding: .json)
            } catch {
                throw Status.unparsable(wanted: wanted, error, body: bytes)
            }
        case "application/yaml", "application/x-yaml", "text/yaml":
            do {
                return Raw(
                    tree: try YAML.parse(bytes, duplicates: &duplicates), duplicates: duplicates, encoding: .yaml)
            } catch {
                throw Status.unrecognized(wanted: wanted, error.message, body: bytes)
            }
        case "application/vnd.kubernetes.protobuf":
            do { return Raw(tree: try schema.decodeProtobuf(bytes), encoding: .protobuf) } catch {
                throw Status.unrecognized(wanted: wanted, error.message, body: bytes)
            }
        default: throw Status.unsupportedMediaType(Encoding.mediaTypes)
        }
    }

    /// Parses and checks a body that must be of `kind` (or of one of `others`, e.g. another version of an Eviction).
    func decode(
        _ body: ByteBuffer, contentType: String?, as kind: GroupVersionKind, others: [GroupVersionKind] = []
    )
        throws(StatusError) -> Decoded
    {
        let raw = try parse(body, contentType: contentType, wanted: kind.kind)
        guard case .object = raw.tree else {
            throw Status.notAnObject(wanted: kind.kind, raw.tree, body: Array(body.readableBytesView))
        }
        return try check(raw.tree, as: kind, others: others, duplicates: raw.duplicates)
    }

    /// Checks a tree: its kind, its fields, then defaults.
    func check(
        _ given: JSON, as kind: GroupVersionKind, others: [GroupVersionKind] = [], duplicates: [String] = []
    ) throws(StatusError) -> Decoded {
        var tree = given
        let found = GroupVersionKind(
            apiVersion: tree.apiVersion.isEmpty ? kind.apiVersion : tree.apiVersion,
            kind: tree.kind.isEmpty ? kind.kind : tree.kind)
        guard found == kind || others.contains(found) else { throw wrongKind(found, kind) }
        tree["kind"] = .string(kind.kind)
        tree["apiVersion"] = .string(kind.apiVersion)
        let checked: CheckedObject
        do { checked = try schema.check(tree, as: kind) } catch {
            throw Status.cannotHandle(kind, as: kind.kind, error.message)
        }
        let problems = Self.duplicated(duplicates) + checked.unknownFields
        if validation == .strict && !problems.isEmpty {
            throw Status.cannotHandle(kind, as: kind.kind, Status.strictDecoding(problems))
        }
        var object = checked.object
        schema.applyDefaults(&object, as: kind)
        return Decoded(object: object, warnings: validation == .warn ? problems : [])
    }

    /// Upstream's words for doubled keys: each on its own, those of a YAML text under one heading.
    private static func duplicated(_ found: [String]) -> [String] {
        let lines = found.filter { $0.hasPrefix("line ") }
        let paths = found.filter { !$0.hasPrefix("line ") }.map { "duplicate field \(Go.quote($0))" }
        return lines.isEmpty ? paths : ["yaml: unmarshal errors:\n  " + lines.joined(separator: "\n  ")] + paths
    }

    private func wrongKind(_ found: GroupVersionKind, _ kind: GroupVersionKind) -> StatusError {
        if schema.type(of: found) == nil {
            return Status.cannotHandle(
                found, as: kind.kind,
                "no kind \(Go.quote(found.kind)) is registered for version \(Go.quote(found.apiVersion)) in scheme "
                    + "\"pkg/api/legacyscheme/scheme.go:30\"")
        }
        if found.kind == kind.kind {
            return Status.badRequest(
                "the API version in the data (\(found.apiVersion)) does not match the expected API version (\(kind.apiVersion))"
            )
        }
        return Status.cannotHandle(
            found, as: kind.kind,
            "converting (\(found.version).\(found.kind)) to (\(kind.goPackage).\(kind.kind)): unknown conversion")
    }
}

extension GroupVersionKind {
    /// The Go package of the kind in messages: `core`, `apps`, `rbac`.
    var goPackage: String { group.isEmpty ? "core" : String(group.prefix { $0 != "." }) }
}
