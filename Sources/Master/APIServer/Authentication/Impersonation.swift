// `Impersonate-*` headers: the request goes on as somebody else, if the caller holds the verb `impersonate` on each
// part.
import API

struct Impersonation: Sendable {
    let authorizer: Authorizer
    private static let group = "authentication.k8s.io"
    private static let extraPrefix = "impersonate-extra-"

    func user(
        _ caller: UserInfo, _ headers: [(name: String, value: String)], reader: any ObjectReader
    )
        throws(StatusError) -> UserInfo
    {
        if headers.isEmpty { return caller }
        var user = UserInfo(name: "")
        for (name, value) in headers {
            switch name {
            case "impersonate-user": user.name = value
            case "impersonate-uid": user.uid = value
            case "impersonate-group": user.groups.append(value)
            case _ where name.hasPrefix(Self.extraPrefix):
                user.extra[Self.unescaped(String(name.dropFirst(Self.extraPrefix.count))), default: []].append(value)
            default: break
            }
        }
        if user.name.isEmpty { throw Status.badRequest(Self.withoutName(user)) }
        try check(caller, user, reader)
        return completed(user)
    }

    private static func withoutName(_ user: UserInfo) -> String {
        let groups =
            user.groups.isEmpty
            ? "[]string(nil)" : "[]string{\(user.groups.map { Go.quote($0) }.joined(separator: ", "))}"
        return
            "requested &user.DefaultInfo{Name:\"\", UID:\(Go.quote(user.uid)), Groups:\(groups), "
            + "Extra:map[string][]string(nil)} "
            + "without impersonating a user name"
    }

    private func check(_ caller: UserInfo, _ user: UserInfo, _ reader: any ObjectReader) throws(StatusError) {
        if let (namespace, name) = Self.account(user.name) {
            try allow(caller, "", "serviceaccounts", namespace: namespace, name: name, reader)
        } else {
            try allow(caller, "", "users", name: user.name, reader)
        }
        for group in user.groups { try allow(caller, "", "groups", name: group, reader) }
        if !user.uid.isEmpty { try allow(caller, Self.group, "uids", name: user.uid, reader) }
        for (key, values) in user.extra.sorted(by: { $0.key < $1.key }) {
            for value in values { try allow(caller, Self.group, "userextras", subresource: key, name: value, reader) }
        }
    }

    private func allow(
        _ caller: UserInfo, _ group: String, _ resource: String, subresource: String = "", namespace: String = "",
        name: String,
        _ reader: any ObjectReader
    ) throws(StatusError) {
        let request = RequestAttributes(
            user: caller, verb: "impersonate", isResourceRequest: true, group: group, version: "v1", resource: resource,
            subresource: subresource,
            namespace: namespace, name: name)
        let decision = authorizer.authorize(request, reader: reader)
        if decision.outcome != .allowed { throw Status.forbidden(request, reason: decision.reason) }
    }

    /// Namespace and name of a service account's user name.
    static func account(_ user: String) -> (String, String)? {
        let parts = user.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "system", parts[1] == "serviceaccount" else { return nil }
        return (String(parts[2]), String(parts[3]))
    }

    private func completed(_ user: UserInfo) -> UserInfo {
        var user = user
        if user.name == "system:anonymous" {
            if !user.groups.contains("system:unauthenticated") { user.groups.append("system:unauthenticated") }
            return user
        }
        if user.groups.isEmpty, let (namespace, _) = Self.account(user.name) {
            user.groups = ["system:serviceaccounts", "system:serviceaccounts:\(namespace)"]
        }
        return Authenticator.authenticated(user)
    }

    /// Header names cannot hold every character of a key: the rest is percent-encoded.
    private static func unescaped(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var i = 0
        while i < bytes.count {
            if bytes[i] == UInt8(ascii: "%"), i + 2 < bytes.count,
                let value = UInt8(String(decoding: bytes[(i + 1)...(i + 2)], as: UTF8.self), radix: 16)
            {
                out.append(value)
                i += 3
            } else {
                out.append(bytes[i])
                i += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
