// Operations of a resource as OpenAPI v3 paths: enough for clients that look for an operation's kind and its query
// parameters. Pure.
import API

enum OpenAPIPaths {
    static func paths(_ resource: ResourceSchema) -> [JSONObject.Member] {
        let base = OpenAPI.name(resource.group, resource.version)
        let scope = resource.isNamespaced ? "/namespaces/{namespace}" : ""
        let collection = "/\(base)\(scope)/\(resource.plural)"
        var members = [
            JSONObject.Member(
                key: collection, value: item(resource.kind, resource, collectionVerbs(resource), isCollection: true))
        ]
        if resource.isNamespaced && resource.verbs.contains("list") {
            members.append(
                .init(
                    key: "/\(base)/\(resource.plural)",
                    value: item(resource.kind, resource, [("get", "list")], isCollection: true)))
        }
        if resource.verbs.contains("get") {
            members.append(
                .init(
                    key: "\(collection)/{name}",
                    value: item(resource.kind, resource, objectVerbs(resource.verbs), isCollection: false)))
        }
        for sub in resource.subresources {
            members.append(
                .init(
                    key: "\(collection)/{name}/\(sub.name)",
                    value: item(sub.kind, resource, objectVerbs(sub.verbs), isCollection: false)))
        }
        return members
    }

    private static func collectionVerbs(_ resource: ResourceSchema) -> [(method: String, action: String)] {
        [("get", "list"), ("post", "create"), ("delete", "deletecollection")].filter { resource.verbs.contains($0.1) }
    }

    private static func objectVerbs(_ verbs: [String]) -> [(method: String, action: String)] {
        [("get", "get"), ("put", "update"), ("patch", "patch"), ("delete", "delete"), ("post", "create")].filter {
            verbs.contains($0.1)
        }
    }

    private static func item(
        _ kind: GroupVersionKind, _ resource: ResourceSchema, _ verbs: [(method: String, action: String)],
        isCollection: Bool
    ) -> JSON {
        var tree: JSON = [:]
        for (method, action) in verbs { tree[method] = operation(kind, resource, action) }
        var parameters: [JSON] = []
        if resource.isNamespaced { parameters.append(path("namespace")) }
        if !isCollection { parameters.append(path("name")) }
        parameters.append(query("pretty", "string"))
        tree["parameters"] = .array(parameters)
        return tree
    }

    private static func operation(_ kind: GroupVersionKind, _ resource: ResourceSchema, _ action: String) -> JSON {
        let shown = action == "list" ? resource.definition + "List" : resource.definition
        let content: JSON = ["application/json": ["schema": OpenAPISchemas.reference(shown)]]
        var tree: JSON = [
            "parameters": .array(parameters(action)), "responses": ["200": ["description": "OK", "content": content]],
            "x-kubernetes-action": .string(action == "create" ? "post" : action == "update" ? "put" : action),
            "x-kubernetes-group-version-kind": OpenAPISchemas.tree(kind)
        ]
        if action == "create" || action == "update" {
            tree["requestBody"] = ["content": ["*/*": ["schema": OpenAPISchemas.reference(shown)]]]
        }
        return tree
    }

    private static func parameters(_ action: String) -> [JSON] {
        switch action {
        case "create", "update":
            return [query("dryRun", "string"), query("fieldManager", "string"), query("fieldValidation", "string")]
        case "patch":
            return [
                query("dryRun", "string"), query("fieldManager", "string"), query("fieldValidation", "string"),
                query("force", "boolean")
            ]
        case "delete", "deletecollection":
            return [
                query("dryRun", "string"), query("gracePeriodSeconds", "integer"), query("propagationPolicy", "string")
            ]
        case "list":
            return [
                "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
                "timeoutSeconds", "watch"
            ]
            .map {
                query(
                    $0,
                    $0 == "limit" || $0 == "timeoutSeconds"
                        ? "integer" : $0 == "watch" || $0 == "allowWatchBookmarks" ? "boolean" : "string")
            }
        default: return []
        }
    }

    private static func query(_ name: String, _ type: String) -> JSON {
        ["name": .string(name), "in": "query", "schema": ["type": .string(type), "uniqueItems": true]]
    }

    private static func path(_ name: String) -> JSON {
        ["name": .string(name), "in": "path", "required": true, "schema": ["type": "string", "uniqueItems": true]]
    }
}
