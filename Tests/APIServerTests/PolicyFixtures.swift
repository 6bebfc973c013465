// What the tests of the policy share: objects in memory, and a policy with a key of its own.
import API
import APIServer
import KVCore
import NetPKI

/// Objects by resource and place.
struct MemoryReader: ObjectReader {
    var objects: [GroupVersionResource: [String: JSON]] = [:]

    func get(_ resource: GroupVersionResource, namespace: String?, name: String) -> JSON? {
        objects[resource]?["\(namespace ?? "")/\(name)"]
    }

    func list(_ resource: GroupVersionResource, namespace: String?) -> [JSON] {
        (objects[resource] ?? [:]).sorted { $0.key < $1.key }.map(\.value).filter {
            namespace == nil || $0.namespace == namespace
        }
    }

    mutating func add(_ resource: GroupVersionResource, _ object: JSON) {
        objects[resource, default: [:]]["\(object.namespace)/\(object.name)"] = object
    }

    /// Default roles, the namespace `oracle` and its account `default`.
    static var cluster: MemoryReader {
        var reader = MemoryReader()
        let resources: [String: GroupVersionResource] = [
            "ClusterRole": .clusterRoles, "ClusterRoleBinding": .clusterRoleBindings, "Role": .roles,
            "RoleBinding": .roleBindings
        ]
        for object in DefaultRoles.objects() {
            if let resource = resources[object.kind] { reader.add(resource, object) }
        }
        reader.add(.namespaces, ["metadata": ["name": "oracle"], "status": ["phase": "Active"]])
        reader.add(.serviceAccounts, ["metadata": ["name": "default", "namespace": "oracle", "uid": "sa-uid"]])
        return reader
    }
}

enum Fixture {
    static let now: Double = 1_700_000_000

    static func policy() throws -> Policy {
        let admin = UserInfo(name: "admin", uid: "1", groups: ["system:masters"])
        return Policy(
            PolicyConfiguration(
                serviceAccountKey: try ServiceAccountKey.make(.es256), network: ServiceNetwork(cidr: "10.0.0.0/24"),
                staticTokens: ["admintoken": admin]))
    }

    static func user(_ name: String, _ groups: [String] = []) -> UserInfo {
        UserInfo(name: name, groups: groups + ["system:authenticated"])
    }
    static func node(_ name: String) -> UserInfo { user("system:node:\(name)", ["system:nodes"]) }

    static func request(
        _ user: UserInfo, _ verb: String, _ resource: GroupVersionResource, subresource: String = "",
        namespace: String = "", name: String = ""
    ) -> RequestAttributes {
        RequestAttributes(
            user: user, verb: verb, isResourceRequest: true, group: resource.group, version: resource.version,
            resource: resource.resource,
            subresource: subresource, namespace: namespace, name: name)
    }

    static func write(
        _ operation: WriteRequest.Operation, _ attributes: RequestAttributes, _ object: JSON, old: JSON? = nil
    ) -> WriteRequest {
        let kind = GroupVersionKind(apiVersion: (old ?? object).apiVersion, kind: (old ?? object).kind)
        return WriteRequest(
            operation: operation, attributes: attributes, kind: kind, object: object, old: old, isDryRun: false,
            now: now)
    }

    /// A stored object: decoded, defaulted and prepared as a create does it.
    static func stored(_ kinds: KindTable, _ resource: GroupVersionResource, _ body: JSON) throws -> JSON {
        var object = body
        let kind = GroupVersionKind(apiVersion: body.apiVersion, kind: body.kind)
        let schema = SchemaTable()
        object = try schema.check(object, as: kind).object
        schema.applyDefaults(&object, as: kind)
        object["metadata", "uid"] = "uid-1"
        object["metadata", "creationTimestamp"] = "2020-01-01T00:00:00Z"
        var write = write(.create, request(user("admin"), "create", resource, namespace: body.namespace), object)
        kinds.behavior(resource).prepareForCreate(&write)
        return write.object
    }
}

extension StatusError {
    /// `field: message` of each cause.
    var lines: [String] {
        (status["details", "causes"]?.elements ?? []).map {
            "\($0["field"]?.string ?? ""): \($0["message"]?.string ?? "")"
        }
    }
}
