// The older form of the OpenAPI documents: one for all groups. Clients that know no v3 validate and merge by it; newer
// ones ask for it only when they meet a kind that no v3 document has. Made from the v3 trees. Pure.
import API

enum OpenAPIv2 {
    /// The document of everything that is served.
    static func document(_ schema: SchemaTable, version: String) -> JSON {
        var schemas = OpenAPISchemas(schema)
        var paths: [JSONObject.Member] = []
        for resource in schema.served.sorted(by: { ($0.group, $0.plural) < ($1.group, $1.plural) }) {
            schemas.add(resource)
            paths += OpenAPIPaths.paths(resource)
        }
        schemas.add(kind: GroupVersionKind("", "v1", "DeleteOptions"))
        schemas.close()
        let converted = paths.map { JSONObject.Member(key: $0.key, value: path($0.value)) }
        return [
            "swagger": "2.0", "info": ["title": "Kubernetes", "version": .string(version)],
            "paths": .object(JSONObject(uniqueMembers: converted)), "definitions": definitions(schemas.tree)
        ]
    }

    private static func definitions(_ schemas: JSON) -> JSON {
        let members = (schemas.object ?? [:]).map { member in
            JSONObject.Member(key: member.key, value: wellKnown[member.key] ?? schemaTree(member.value))
        }
        return .object(JSONObject(uniqueMembers: members))
    }

    /// Types that v3 states as alternatives, which v2 has not.
    private static let wellKnown: [String: JSON] = [
        "io.k8s.apimachinery.pkg.api.resource.Quantity": ["type": "string"],
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["type": "string", "format": "int-or-string"]
    ]

    private static func schemaTree(_ tree: JSON) -> JSON {
        switch tree {
        case .array(let values): return .array(values.map(schemaTree))
        case .object(let object):
            var members: [JSONObject.Member] = []
            for member in object {
                switch (member.key, member.value) {
                case ("allOf", .array(let parts)):
                    let inner = parts.first?.object ?? [:]
                    members += inner.map { .init(key: $0.key, value: reference($0.key, $0.value)) }
                case ("default", .object): continue
                default: members.append(.init(key: member.key, value: schemaTree(reference(member.key, member.value))))
                }
            }
            return .object(JSONObject(uniqueMembers: members))
        default: return tree
        }
    }

    private static func reference(_ key: String, _ value: JSON) -> JSON {
        guard key == "$ref", let text = value.string else { return value }
        return .string("#/definitions/" + (text.split(separator: "/").last ?? ""))
    }

    private static func path(_ item: JSON) -> JSON {
        let members = (item.object ?? [:]).map { member in
            let value = member.key == "parameters" ? parameters(member.value) : operation(member.value)
            return JSONObject.Member(key: member.key, value: value)
        }
        return .object(JSONObject(uniqueMembers: members))
    }

    private static func operation(_ tree: JSON) -> JSON {
        var made = tree
        var all = parameters(tree["parameters"] ?? []).elements
        if let body = tree["requestBody", "content", "*/*"]?["schema"] {
            all.append(["name": "body", "in": "body", "required": true, "schema": schemaTree(body)])
        }
        made["requestBody"] = nil
        made["parameters"] = .array(all)
        let shown = tree["responses", "200", "content", "application/json"]?["schema"] ?? [:]
        made["responses"] = ["200": ["description": "OK", "schema": schemaTree(shown)]]
        made["consumes"] = ["*/*"]
        made["produces"] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
        return made
    }

    /// Parameters with their type beside the name instead of inside a schema.
    private static func parameters(_ tree: JSON) -> JSON {
        .array(
            tree.elements.map { parameter in
                var made = parameter
                made["schema"] = nil
                for member in parameter["schema"]?.object ?? [:] { made[member.key] = member.value }
                return made
            })
    }
}
