// From a method and a path to what is asked: group, version, namespace, resource, name, subresource and the verb that
// RBAC knows. Pure. It only reads the shape of the path; whether the resource exists is asked of the schema table
// later. It must never let a decoded "/" inside a segment become part of a storage key.

/// A request's target, taken apart as upstream's `RequestInfo` does.
package struct RequestPath: Sendable, Hashable {
    /// False for `/api`, `/apis/apps/v1`, `/version`, ...: RBAC then matches the path.
    package var isResource: Bool
    package var verb: String
    package var path: String
    package var group: String = ""
    package var version: String = ""
    package var namespace: String = ""
    package var resource: String = ""
    package var name: String = ""
    package var subresource: String = ""
    /// What follows the subresource, of `proxy` paths: `/a/b`; "" when nothing follows.
    package var rest: String = ""

    /// `segments` are the decoded segments between slashes; nil when a segment holds a slash or is `.` or `..`.
    package static func parse(method: String, target: String, isWatch: Bool, fieldName: String?) -> RequestPath? {
        let raw = target.prefix { $0 != "?" && $0 != "#" }
        var segments: [String] = []
        for piece in raw.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            guard let segment = percentDecoded(piece), segment != ".", segment != ".." else { return nil }
            segments.append(segment)
        }
        let path = "/" + segments.joined(separator: "/")
        var request = RequestPath(isResource: false, verb: nonResourceVerb(method), path: path)
        guard let parts = request.takeGroupVersion(segments) else { return request }
        if segments.contains(where: { $0.contains("/") }) { return nil }
        request.takeResource(parts, method: method, isWatch: isWatch)
        if request.name.isEmpty, ["list", "watch", "deletecollection"].contains(request.verb), let fieldName {
            request.name = fieldName
        }
        return request
    }

    private static func nonResourceVerb(_ method: String) -> String { method.lowercased() }

    /// Takes `api/v1` or `apis/group/version` off; nil when no resource follows.
    private mutating func takeGroupVersion(_ segments: [String]) -> [String]? {
        let parts = segments.filter { !$0.isEmpty }
        guard parts.count == segments.count || (segments.last == "" && parts.count == segments.count - 1) else {
            return nil
        }
        switch parts.first {
        case "api" where parts.count >= 3:
            version = parts[1]
            return Array(parts.dropFirst(2))
        case "apis" where parts.count >= 4:
            group = parts[1]
            version = parts[2]
            return Array(parts.dropFirst(3))
        default: return nil
        }
    }

    private mutating func takeResource(_ given: [String], method: String, isWatch: Bool) {
        isResource = true
        var parts = given
        var legacyWatch = false
        if parts.count > 1, parts[0] == "watch" {
            legacyWatch = true
            parts.removeFirst()
        }
        takeNamespace(&parts)
        resource = parts.first ?? ""
        if parts.count > 1 { name = parts[1] }
        if parts.count > 2 { subresource = parts[2] }
        if parts.count > 3 { rest = "/" + parts[3...].joined(separator: "/") }
        verb = Self.verb(method, name: name, isWatch: isWatch || legacyWatch)
        if legacyWatch { verb = "watch" }
    }

    /// `namespaces/ns/pods/...` gives the namespace; `namespaces/ns` and its own subresources are the Namespace object.
    private mutating func takeNamespace(_ parts: inout [String]) {
        guard parts.first == "namespaces", parts.count > 1 else { return }
        namespace = parts[1]
        if parts.count > 2, parts[2] != "status", parts[2] != "finalize" { parts.removeFirst(2) }
    }

    private static func verb(_ method: String, name: String, isWatch: Bool) -> String {
        switch method {
        case "POST": "create"
        case "PUT": "update"
        case "PATCH": "patch"
        case "DELETE": name.isEmpty ? "deletecollection" : "delete"
        case "GET", "HEAD": !name.isEmpty ? "get" : isWatch ? "watch" : "list"
        default: method.lowercased()
        }
    }

    /// The namespace to look in: a Namespace object itself lies at cluster scope.
    package var scope: String? { resource == "namespaces" && group.isEmpty || namespace.isEmpty ? nil : namespace }

    private static func percentDecoded(_ piece: Substring) -> String? {
        guard piece.utf8.contains(UInt8(ascii: "%")) else { return String(piece) }
        var bytes: [UInt8] = []
        var rest = piece.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(nibble), let low = rest.popFirst().flatMap(nibble) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
