// The query of a list, watch or deletecollection: parsed and checked with upstream's words. Pure.
import API
import KVCore

/// What a list or watch asks for.
package struct ListQuery: Sendable {
    var filter: ObjectFilter
    var resourceVersion: String
    var match: String
    var limit: Int
    var continueToken: ContinueToken?
    var isWatch: Bool
    var allowsBookmarks: Bool
    var sendsInitialEvents: Bool?
    var timeoutSeconds: Int?

    /// Reads parameters by name; throws 400 or 422.
    static func parse(
        _ schema: ResourceSchema, name: String?, isWatch: Bool, _ parameter: (String) -> String?
    ) throws(StatusError) -> ListQuery {
        let filter = try ObjectFilter(
            labels: parameter("labelSelector") ?? "", fields: parameter("fieldSelector") ?? "", name: name, schema)
        var query = ListQuery(
            filter: filter, resourceVersion: parameter("resourceVersion") ?? "",
            match: parameter("resourceVersionMatch") ?? "", limit: 0,
            continueToken: nil, isWatch: isWatch, allowsBookmarks: Parameter.bool(parameter("allowWatchBookmarks")),
            sendsInitialEvents: parameter("sendInitialEvents").map { Parameter.bool($0) }, timeoutSeconds: nil)
        query.limit = max(0, try Parameter.integer(parameter("limit")) ?? 0)
        query.timeoutSeconds = try Parameter.integer(parameter("timeoutSeconds")).flatMap { $0 > 0 ? $0 : nil }
        let token = parameter("continue") ?? ""
        if let cause = query.problem(hasToken: !token.isEmpty) {
            throw Status.invalid(GroupVersionKind("meta.k8s.io", "v1", "ListOptions"), "", [cause])
        }
        if !token.isEmpty {
            if !query.resourceVersion.isEmpty && query.resourceVersion != "0" {
                throw Status.badRequest("specifying resource version is not allowed when using continue")
            }
            query.continueToken = try ContinueToken(decoding: token)
        }
        return query
    }

    private func problem(hasToken: Bool) -> StatusCause? {
        func forbidden(_ field: String, _ why: String) -> StatusCause {
            StatusCause(reason: "FieldValueForbidden", message: "Forbidden: \(why)", field: field)
        }
        let field = "resourceVersionMatch"
        if hasToken && (isWatch || !match.isEmpty) {
            return forbidden(field, "resourceVersionMatch is forbidden when continue is provided")
        }
        if isWatch {
            if sendsInitialEvents == nil {
                return match.isEmpty
                    ? nil
                    : forbidden(
                        field, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
            }
            if match != "NotOlderThan" {
                return forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
            }
            return nil
        }
        if sendsInitialEvents != nil {
            return forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
        }
        if match.isEmpty { return nil }
        if resourceVersion.isEmpty {
            return forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        if match == "Exact" && resourceVersion == "0" {
            return forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
        }
        if match == "Exact" || match == "NotOlderThan" { return nil }
        return StatusCause(
            reason: "FieldValueNotSupported",
            message: "Unsupported value: \(Go.quote(match)): supported values: \"Exact\", \"NotOlderThan\", \"\"",
            field: field)
    }

    /// How fresh the list must be.
    func freshness() throws(StatusError) -> Freshness {
        if let token = continueToken { return token.revision.map { .exactly($0) } ?? .linearizable }
        guard let freshness = Freshness.parse(resourceVersion) else {
            throw Status.badRequest("invalid resource version: \(Freshness.badNumber(resourceVersion))")
        }
        if match == "Exact", case .atLeast(let revision) = freshness { return .exactly(revision) }
        return freshness
    }

    /// A list from memory shows all, as upstream's cache does.
    var effectiveLimit: Int { resourceVersion == "0" && match != "Exact" ? 0 : limit }
}

/// Values of query parameters.
enum Parameter {
    static func bool(_ text: String?) -> Bool { text == "true" || text == "1" }

    static func integer(_ text: String?) throws(StatusError) -> Int? {
        guard let text, !text.isEmpty else { return nil }
        guard let value = Int(text) else {
            throw Status.badRequest("strconv.ParseInt: parsing \(Go.quote(text)): invalid syntax")
        }
        return value
    }
}
