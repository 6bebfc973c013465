// What is served, told three ways: aggregated discovery (one document a root), legacy group and resource lists, and
// `/`. Made once at start; every answer is a ready buffer. It must agree with what routing accepts, so both read one
// table.
import API
import Crypto
import NIOCore

struct Discovery: Sendable {
    struct Group: Sendable {
        var name: String
        /// Best first.
        var versions: [String]
    }

    let groups: [Group]
    private let resources: [ResourceSchema]
    private let aggregated: [String: ByteBuffer]
    let etag: String

    init(_ served: [ResourceSchema]) {
        resources = served
        groups = Self.groups(served)
        let core = groups.filter { $0.name.isEmpty }
        let named = groups.filter { !$0.name.isEmpty }
        var made: [String: ByteBuffer] = [:]
        for version in ["v2", "v2beta1"] {
            made["/api \(version)"] = Wire.buffer(Self.document(core, served, version))
            made["/apis \(version)"] = Wire.buffer(Self.document(named, served, version))
        }
        aggregated = made
        etag = "\"\(Fingerprint.text(made.keys.sorted().compactMap { made[$0] }))\""
    }

    private static func groups(_ served: [ResourceSchema]) -> [Group] {
        var groups: [Group] = []
        for resource in served {
            if let i = groups.firstIndex(where: { $0.name == resource.group }) {
                if !groups[i].versions.contains(resource.version) { groups[i].versions.append(resource.version) }
            } else {
                groups.append(Group(name: resource.group, versions: [resource.version]))
            }
        }
        for i in groups.indices { groups[i].versions.sort { rank($0) > rank($1) } }
        return groups
    }

    /// Stable before beta before alpha, then by number.
    private static func rank(_ version: String) -> Int {
        let digits = version.dropFirst().prefix { $0.isNumber }
        let rest = version.dropFirst(1 + digits.count)
        let stage = rest.isEmpty ? 2 : rest.hasPrefix("beta") ? 1 : 0
        return stage * 1_000_000 + (Int(digits) ?? 0) * 1000 + (Int(rest.drop { !$0.isNumber }) ?? 0)
    }

    func resources(_ group: String, _ version: String) -> [ResourceSchema] {
        resources.filter { $0.group == group && $0.version == version }.sorted { $0.plural < $1.plural }
    }

    /// The aggregated document of `/api` or `/apis`.
    func document(_ root: String, _ version: String) -> ByteBuffer? { aggregated["\(root) \(version)"] }
}

/// Aggregated discovery.
extension Discovery {
    private static func document(_ groups: [Group], _ served: [ResourceSchema], _ version: String) -> JSON {
        let items = groups.map { group -> JSON in
            let versions = group.versions.map { version -> JSON in
                let found = served.filter { $0.group == group.name && $0.version == version }.sorted {
                    $0.plural < $1.plural
                }
                return ["version": .string(version), "resources": .array(found.map(resource)), "freshness": "Current"]
            }
            let metadata: JSON =
                group.name.isEmpty
                ? ["creationTimestamp": nil] : ["name": .string(group.name), "creationTimestamp": nil]
            return ["metadata": metadata, "versions": .array(versions)]
        }
        return [
            "kind": "APIGroupDiscoveryList", "apiVersion": .string("apidiscovery.k8s.io/\(version)"), "metadata": [:],
            "items": .array(items)
        ]
    }

    private static func resource(_ schema: ResourceSchema) -> JSON {
        var tree: JSON = [
            "resource": .string(schema.plural), "responseKind": kind(schema.kind),
            "scope": schema.isNamespaced ? "Namespaced" : "Cluster",
            "singularResource": .string(schema.singular), "verbs": strings(schema.verbs)
        ]
        if !schema.shortNames.isEmpty { tree["shortNames"] = strings(schema.shortNames) }
        if !schema.categories.isEmpty { tree["categories"] = strings(schema.categories) }
        if !schema.subresources.isEmpty {
            tree["subresources"] = .array(
                schema.subresources.map { sub in
                    ["subresource": .string(sub.name), "responseKind": kind(sub.kind), "verbs": strings(sub.verbs)]
                })
        }
        return tree
    }

    private static func kind(_ kind: GroupVersionKind) -> JSON {
        ["group": .string(kind.group), "version": .string(kind.version), "kind": .string(kind.kind)]
    }

    private static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}

/// Legacy lists.
extension Discovery {
    func groupList() -> JSON {
        [
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": .array(groups.filter { !$0.name.isEmpty }.map(Self.tree))
        ]
    }

    func group(_ name: String) -> JSON? {
        guard let group = groups.first(where: { $0.name == name }), !name.isEmpty else { return nil }
        var tree = Self.tree(group)
        tree["kind"] = "APIGroup"
        tree["apiVersion"] = "v1"
        return tree
    }

    private static func tree(_ group: Group) -> JSON {
        let versions = group.versions.map { version -> JSON in
            ["groupVersion": .string("\(group.name)/\(version)"), "version": .string(version)]
        }
        return ["name": .string(group.name), "versions": .array(versions), "preferredVersion": versions.first ?? nil]
    }

    /// Nil when the group has no such version.
    func resourceList(_ group: String, _ version: String) -> JSON? {
        let found = resources(group, version)
        if found.isEmpty { return nil }
        var rows: [JSON] = []
        for schema in found {
            rows.append(Self.row(schema))
            for sub in schema.subresources { rows.append(Self.row(schema, sub)) }
        }
        var tree: JSON = ["kind": "APIResourceList"]
        if !group.isEmpty { tree["apiVersion"] = "v1" }
        tree["groupVersion"] = .string(group.isEmpty ? version : "\(group)/\(version)")
        tree["resources"] = .array(rows)
        return tree
    }

    private static func row(_ schema: ResourceSchema) -> JSON {
        var tree: JSON = [
            "name": .string(schema.plural), "singularName": .string(schema.singular),
            "namespaced": .bool(schema.isNamespaced),
            "kind": .string(schema.kind.kind), "verbs": strings(schema.verbs)
        ]
        if !schema.shortNames.isEmpty { tree["shortNames"] = strings(schema.shortNames) }
        if !schema.categories.isEmpty { tree["categories"] = strings(schema.categories) }
        if schema.verbs.contains("get") { tree["storageVersionHash"] = .string(storageVersionHash(schema)) }
        return tree
    }

    /// Names the version in which objects are stored, as clients compare it: the beginning of a digest.
    private static func storageVersionHash(_ schema: ResourceSchema) -> String {
        let text = "\(schema.resource.stored.group)/\(schema.version)/\(schema.kind.kind)"
        return Base64.encode(Array(SHA256.hash(data: Array(text.utf8)).prefix(8)))
    }

    private static func row(_ schema: ResourceSchema, _ sub: SubresourceSchema) -> JSON {
        var tree: JSON = [
            "name": .string("\(schema.plural)/\(sub.name)"), "singularName": "",
            "namespaced": .bool(schema.isNamespaced)
        ]
        if sub.kind.group != schema.group || sub.kind.version != schema.version {
            if !sub.kind.group.isEmpty { tree["group"] = .string(sub.kind.group) }
            tree["version"] = .string(sub.kind.version)
        }
        tree["kind"] = .string(sub.kind.kind)
        tree["verbs"] = strings(sub.verbs)
        return tree
    }

    /// The paths of `/`.
    func paths() -> JSON {
        var paths = [
            "/.well-known/openid-configuration", "/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2",
            "/openapi/v3",
            "/openid/v1/jwks", "/readyz", "/version"
        ]
        for group in groups {
            if !group.name.isEmpty { paths.append("/apis/\(group.name)") }
            paths += group.versions.map { group.name.isEmpty ? "/api/\($0)" : "/apis/\(group.name)/\($0)" }
        }
        return ["paths": Self.strings(paths.sorted())]
    }
}

/// A stable name of bytes, for ETags and `?hash=`.
enum Fingerprint {
    static func text(_ buffers: [ByteBuffer]) -> String {
        var a: UInt64 = 0xcbf2_9ce4_8422_2325
        var b: UInt64 = 0x8422_2325_cbf2_9ce4
        for buffer in buffers {
            for byte in buffer.readableBytesView {
                a = (a ^ UInt64(byte)) &* 0x100_0000_01b3
                b = (b &+ UInt64(byte)) &* 0x9e37_79b9_7f4a_7c15
            }
        }
        return (String(a, radix: 16) + String(b, radix: 16)).uppercased()
    }
}
