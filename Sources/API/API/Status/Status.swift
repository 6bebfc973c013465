// The Kubernetes `Status` object: every refusal that a client may see is made here, with upstream's words.
// It is the only place that knows which reason has which HTTP code. Pure; it must never be given secrets to print.

/// One cause of a refusal, in `details.causes`.
package struct StatusCause: Sendable, Hashable {
    /// `FieldValueInvalid`, `FieldValueRequired`, ... or `UnexpectedServerResponse`, `FieldManagerConflict`, ...; ""
    /// leaves it out.
    package var reason: String
    package var message: String
    /// The path of the field, e.g. `spec.ports[0].port`; "" leaves it out.
    package var field: String

    package init(reason: String, message: String, field: String) {
        self.reason = reason
        self.message = message
        self.field = field
    }

    var json: JSON {
        var cause = JSON.object([:])
        if !reason.isEmpty { cause["reason"] = .string(reason) }
        cause["message"] = .string(message)
        if !field.isEmpty { cause["field"] = .string(field) }
        return cause
    }
}

/// Makes Status objects.
package enum Status {
    /// The HTTP code of a reason.
    package static func code(of reason: String) -> Int { codes[reason] ?? 500 }

    /// The reason that stands for an HTTP code; "" where upstream names none.
    package static func reason(of code: Int) -> String { reasons[code] ?? "" }

    private static let codes: [String: Int] = [
        "BadRequest": 400, "Unauthorized": 401, "Forbidden": 403, "NotFound": 404, "MethodNotAllowed": 405,
        "NotAcceptable": 406,
        "Conflict": 409, "AlreadyExists": 409, "Gone": 410, "Expired": 410, "RequestEntityTooLarge": 413,
        "UnsupportedMediaType": 415,
        "Invalid": 422, "TooManyRequests": 429, "InternalError": 500, "ServerTimeout": 500, "ServiceUnavailable": 503,
        "Timeout": 504
    ]
    private static let reasons: [Int: String] = [
        400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
        406: "NotAcceptable",
        409: "Conflict", 410: "Gone", 413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 422: "Invalid",
        429: "TooManyRequests",
        500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"
    ]

    /// A failure in free form. `details` nil leaves the member out, an empty object is written as `{}`; `code` nil =
    /// the reason's own.
    package static func failure(
        _ reason: String, _ message: String, details: JSON? = nil, code: Int? = nil
    )
        -> StatusError
    {
        var status: JSON = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .string(message)
        ]
        if !reason.isEmpty { status["reason"] = .string(reason) }
        status["details"] = details
        status["code"] = .int(Int64(code ?? Self.code(of: reason)))
        return StatusError(status: status)
    }

    /// The answer to a delete that removed the object at once.
    package static func success(_ resource: GroupVersionResource, _ name: String, uid: String) -> JSON {
        var details = details(group: resource.group, kind: resource.resource, name: name)
        details["uid"] = .string(uid)
        return ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "details": details]
    }

    /// The answer to a subresource that only does something (binding, eviction): 201.
    package static func created() -> JSON {
        ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": 201]
    }

    /// The answer to a deletecollection that has no object to show.
    package static func success() -> JSON {
        ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success"]
    }

    /// `details` with those of name, group and kind that are not empty.
    package static func details(
        group: String, kind: String, name: String = "", causes: [StatusCause] = [], retryAfterSeconds: Int? = nil
    ) -> JSON {
        var details = JSON.object([:])
        if !name.isEmpty { details["name"] = .string(name) }
        if !group.isEmpty { details["group"] = .string(group) }
        if !kind.isEmpty { details["kind"] = .string(kind) }
        if !causes.isEmpty { details["causes"] = .array(causes.map(\.json)) }
        if let retryAfterSeconds { details["retryAfterSeconds"] = .int(Int64(retryAfterSeconds)) }
        return details
    }
}

/// What concerns one object.
extension Status {
    package static func notFound(_ resource: GroupVersionResource, _ name: String) -> StatusError {
        failure(
            "NotFound", "\(resource.groupResource) \(Go.quote(name)) not found",
            details: details(group: resource.group, kind: resource.resource, name: name))
    }

    package static func alreadyExists(_ resource: GroupVersionResource, _ name: String) -> StatusError {
        failure(
            "AlreadyExists", "\(resource.groupResource) \(Go.quote(name)) already exists",
            details: details(group: resource.group, kind: resource.resource, name: name))
    }

    /// A generated name met an existing object again and again.
    package static func generateNameConflict(_ resource: GroupVersionResource, _ name: String) -> StatusError {
        failure(
            "AlreadyExists",
            "\(resource.groupResource) \(Go.quote(name)) already exists, the server was not able to generate a "
                + "unique name for the object",
            details: details(group: resource.group, kind: resource.resource, name: name, retryAfterSeconds: 1))
    }

    /// The optimistic lock does not hold.
    package static func conflict(_ resource: GroupVersionResource, _ name: String) -> StatusError {
        conflict(
            resource, name,
            "the object has been modified; please apply your changes to the latest version and try again")
    }

    package static func conflict(_ resource: GroupVersionResource, _ name: String, _ reason: String) -> StatusError {
        failure(
            "Conflict", "Operation cannot be fulfilled on \(resource.groupResource) \(Go.quote(name)): \(reason)",
            details: details(group: resource.group, kind: resource.resource, name: name))
    }

    /// 422: one line names the kind, the object and all causes.
    package static func invalid(_ kind: GroupVersionKind, _ name: String, _ causes: [StatusCause]) -> StatusError {
        let groupKind = kind.group.isEmpty ? kind.kind : "\(kind.kind).\(kind.group)"
        let lines = uniqueLines(causes)
        let text = lines.count == 1 ? lines[0] : "[\(lines.joined(separator: ", "))]"
        return failure(
            "Invalid", "\(groupKind) \(Go.quote(name)) is invalid: \(text)",
            details: details(group: kind.group, kind: kind.kind, name: name, causes: causes))
    }

    /// Upstream lists each distinct line once.
    private static func uniqueLines(_ causes: [StatusCause]) -> [String] {
        var seen = Set<String>()
        let lines = causes.map { $0.field.isEmpty ? "<nil>: \($0.message)" : "\($0.field): \($0.message)" }
        return lines.filter { seen.insert($0).inserted }
    }

    /// Admission or a policy refuses: `pods "x" is forbidden: <why>`; without a name the resource alone.
    package static func forbidden(_ resource: GroupVersionResource, _ name: String, _ why: String) -> StatusError {
        let named = name.isEmpty ? resource.groupResource : "\(resource.groupResource) \(Go.quote(name))"
        return failure(
            "Forbidden", "\(named) is forbidden: \(why)",
            details: details(group: resource.group, kind: resource.resource, name: name))
    }

    /// A non-resource URL that the user may not use.
    package static func forbidden(path: String, verb: String, user: String, why: String = "") -> StatusError {
        failure(
            "Forbidden", "forbidden: User \(Go.quote(user)) cannot \(verb) path \(Go.quote(path))\(why)", details: [:])
    }
}

/// What concerns the request.
extension Status {
    package static func badRequest(_ message: String) -> StatusError { failure("BadRequest", message) }

    package static func unauthorized() -> StatusError { failure("Unauthorized", "Unauthorized") }

    /// An unknown path, version or resource.
    package static func unknownResource() -> StatusError {
        failure("NotFound", "the server could not find the requested resource", details: [:])
    }

    package static func methodNotAllowed() -> StatusError {
        failure("MethodNotAllowed", "the server does not allow this method on the requested resource", details: [:])
    }

    /// 406 for an Accept header that asks for a form this object has not.
    package static func notAcceptable(_ accepted: [String]) -> StatusError {
        failure("NotAcceptable", "only the following media types are accepted: \(accepted.joined(separator: ", "))")
    }

    package static func notAcceptable(message: String) -> StatusError { failure("NotAcceptable", message) }

    /// 415 for a body that is in no known encoding.
    package static func unsupportedMediaType(_ accepted: [String]) -> StatusError {
        failure(
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
                + "\(accepted.joined(separator: ", "))"
        )
    }

    /// 415 for a patch type that this resource does not take.
    package static func unsupportedPatchType() -> StatusError {
        failure("UnsupportedMediaType", "415: Unsupported Media Type", details: [:])
    }

    package static func tooLarge(_ what: String) -> StatusError {
        failure("RequestEntityTooLarge", "Request entity too large: \(what)")
    }

    package static func tooLarge(limitBytes: Int) -> StatusError { tooLarge("limit is \(limitBytes)") }

    package static func tooManyRequests(
        _ message: String, retryAfterSeconds: Int?, causes: [StatusCause] = []
    )
        -> StatusError
    {
        failure(
            "TooManyRequests", message,
            details: details(group: "", kind: "", causes: causes, retryAfterSeconds: retryAfterSeconds))
    }

    /// 410: the history asked for is compacted. `continueToken` lets a list go on inconsistently.
    package static func expired(_ message: String, continueToken: String? = nil) -> StatusError {
        var error = failure("Expired", message)
        if let continueToken { error.status["metadata"] = ["continue": .string(continueToken)] }
        return error
    }

    /// 410 for a watch that begins before what is kept.
    package static func expired(requested: String, oldest: String) -> StatusError {
        expired("too old resource version: \(requested) (\(oldest))")
    }

    /// 504: whether it happened is not known, or what was asked for is not here in time.
    package static func timeout(
        _ message: String, retryAfterSeconds: Int? = nil, causes: [StatusCause] = []
    )
        -> StatusError
    {
        failure(
            "Timeout", "Timeout: \(message)",
            details: details(group: "", kind: "", causes: causes, retryAfterSeconds: retryAfterSeconds))
    }

    /// 504 for a resource version that this server has not reached.
    package static func resourceVersionTooLarge(_ wanted: String, current: String) -> StatusError {
        timeout(
            "Too large resource version: \(wanted), current: \(current)", retryAfterSeconds: 1,
            causes: [StatusCause(reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "")])
    }

    package static func serviceUnavailable(_ message: String, retryAfterSeconds: Int? = nil) -> StatusError {
        failure(
            "ServiceUnavailable", message,
            details: retryAfterSeconds.map { details(group: "", kind: "", retryAfterSeconds: $0) })
    }

    package static func internalError(_ message: String) -> StatusError {
        failure(
            "InternalError", "Internal error occurred: \(message)",
            details: details(group: "", kind: "", causes: [StatusCause(reason: "", message: message, field: "")]))
    }

    /// A body whose kind is right but whose content does not decode.
    package static func cannotHandle(_ kind: GroupVersionKind, as wanted: String, _ why: String) -> StatusError {
        badRequest("\(kind.kind) in version \(Go.quote(kind.version)) cannot be handled as a \(wanted): \(why)")
    }

    /// Strict field validation found unknown or duplicate fields: the text after `strict decoding error: `.
    package static func strictDecoding(_ problems: [String]) -> String {
        "strict decoding error: \(problems.joined(separator: ", "))"
    }

    /// A patched object that no longer decodes.
    package static func patchInvalid(_ object: JSON, _ why: String) -> StatusError {
        let message = "Invalid value: \(Go.quote(object.text)): \(why)"
        let cause = StatusCause(reason: "FieldValueInvalid", message: message, field: "patch")
        return failure(
            "Invalid", " \"\" is invalid: patch: \(message)", details: details(group: "", kind: "", causes: [cause]))
    }
}

/// What concerns the body of a request.
extension Status {
    /// A body that is no object of any kind: `why` is e.g. `couldn't get version/kind; json parse error: …`.
    package static func unrecognized(wanted: String, _ why: String, body: [UInt8]) -> StatusError {
        badRequest("the object provided is unrecognized (must be of type \(wanted)): \(why) (\(summary(body)))")
    }

    /// Bytes that are no JSON at all.
    package static func unparsable(wanted: String, _ error: JSONError, body: [UInt8]) -> StatusError {
        unrecognized(wanted: wanted, "couldn't get version/kind; json parse error: \(error.message)", body: body)
    }

    /// JSON that is no object.
    package static func notAnObject(wanted: String, _ tree: JSON, body: [UInt8]) -> StatusError {
        let shape =
            "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
            + "\"json:\\\"kind,omitempty\\\"\" }"
        let error = "json: cannot unmarshal \(Go.jsonType(tree)) into Go value of type \(shape)"
        return unparsable(wanted: wanted, JSONError(message: error, offset: 0), body: body)
    }

    /// The beginning of a body: text when it looks like JSON, else hexadecimal.
    private static func summary(_ body: [UInt8]) -> String {
        if body.isEmpty { return "<empty>" }
        let start = body.prefix(30)
        let text =
            body[0] == UInt8(ascii: "{")
            ? String(decoding: start, as: UTF8.self) : start.map { Go.hex(UInt32($0), 2) }.joined()
        return body.count > 30 ? "\(text) ..." : text
    }
}
