// Reviews: questions that are posted as objects and answered at once, never stored. Who am I, what may I do, may
// they, whose token is this.
import API

package struct Reviews: VirtualResources {
    private let access: AccessControl
    private let tokens: TokenIssuer
    private let requests: TokenRequests

    package init(access: AccessControl, tokens: TokenIssuer) {
        self.access = access
        self.tokens = tokens
        requests = TokenRequests(tokens: tokens)
    }

    package func openIDConfiguration() -> JSON { tokens.openIDConfiguration() }
    package func openIDKeys() -> JSON { tokens.openIDKeys() }

    package func create(
        _ attributes: RequestAttributes, _ object: JSON, parent: JSON?, reader: any ObjectReader, now: Double
    ) throws(StatusError) -> JSON? {
        switch (attributes.group, attributes.resource, attributes.subresource) {
        case ("", "serviceaccounts", "token"):
            guard let parent else { throw Status.notFound(.serviceAccounts, attributes.name) }
            try checkNode(attributes, object, reader, now)
            return try requests.issue(object, account: parent, reader: reader, now: now)
        case ("authentication.k8s.io", "tokenreviews", ""): return try tokenReview(object, reader, now)
        case ("authentication.k8s.io", "selfsubjectreviews", ""): return selfReview(attributes.user, now)
        case ("authorization.k8s.io", "selfsubjectaccessreviews", ""):
            return try access(object, user: attributes.user, namespace: nil, reader)
        case ("authorization.k8s.io", "subjectaccessreviews", ""):
            return try access(object, user: nil, namespace: nil, reader)
        case ("authorization.k8s.io", "localsubjectaccessreviews", ""):
            return try access(object, user: nil, namespace: attributes.namespace, reader)
        case ("authorization.k8s.io", "selfsubjectrulesreviews", ""): return try rules(object, attributes.user, reader)
        default: return nil
        }
    }

    /// A kubelet takes tokens for the pods on its node only.
    private func checkNode(
        _ attributes: RequestAttributes, _ object: JSON, _ reader: any ObjectReader, _ now: Double
    ) throws(StatusError) {
        let kind = GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest")
        var write = WriteRequest(
            operation: .create, attributes: attributes, kind: kind, object: object, old: nil, isDryRun: false, now: now)
        try NodeRestriction().admit(&write, reader: reader)
    }

    private static func json(_ user: UserInfo) -> JSON {
        var out: JSON = ["username": .string(user.name)]
        if !user.uid.isEmpty { out["uid"] = .string(user.uid) }
        if !user.groups.isEmpty { out["groups"] = .array(user.groups.map { .string($0) }) }
        for (key, values) in user.extra.sorted(by: { $0.key < $1.key }) {
            out["extra", key] = .array(values.map { .string($0) })
        }
        return out
    }

    private func selfReview(_ user: UserInfo, _ now: Double) -> JSON {
        [
            "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1",
            "metadata": ["creationTimestamp": .string(Timestamp.text(now))],
            "status": ["userInfo": Self.json(user)]
        ]
    }

    private func tokenReview(_ object: JSON, _ reader: any ObjectReader, _ now: Double) throws(StatusError) -> JSON {
        let token = object["spec", "token"]?.string ?? ""
        if token.isEmpty { throw Status.badRequest("token is required for TokenReview in authentication") }
        let audiences = object["spec", "audiences"]?.elements.compactMap(\.string) ?? []
        var status: JSON
        switch access.authenticator.authenticate(token: token, audiences: audiences, now: now, reader: reader) {
        case .user(let user, let matched):
            status = ["authenticated": true, "user": Self.json(user), "audiences": .array(matched.map { .string($0) })]
        case .refused(let texts):
            status = ["user": [:], "error": .string(RoleAuthorizer.aggregate(texts))]
        }
        return [
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": [:],
            "spec": object["spec"] ?? [:], "status": status
        ]
    }
}

/// May they?
extension Reviews {
    private static let group = "authorization.k8s.io"

    /// `user` nil: the review names whom it asks about.
    private func access(
        _ object: JSON, user: UserInfo?, namespace: String?, _ reader: any ObjectReader
    )
        throws(StatusError) -> JSON
    {
        let spec = object["spec"] ?? [:]
        try check(spec, needsUser: user == nil, namespace: namespace)
        let asked = Self.attributes(spec, user: user ?? Self.user(spec))
        let decision = access.authorizer.authorize(asked, reader: reader)
        var status: JSON = ["allowed": .bool(decision.outcome == .allowed)]
        if decision.outcome == .denied { status["denied"] = true }
        if !decision.reason.isEmpty { status["reason"] = .string(decision.reason) }
        let kind =
            user != nil
            ? "SelfSubjectAccessReview" : namespace == nil ? "SubjectAccessReview" : "LocalSubjectAccessReview"
        let metadata: JSON = namespace.map { ["namespace": .string($0)] } ?? [:]
        return [
            "kind": .string(kind), "apiVersion": .string("\(Self.group)/v1"), "metadata": metadata,
            "spec": Self.withoutEmpty(spec), "status": status
        ]
    }

    private func check(_ spec: JSON, needsUser: Bool, namespace: String?) throws(StatusError) {
        var issues = Issues()
        let resource = spec["resourceAttributes"].flatMap { $0.isNull ? Optional<JSON>.none : $0 }
        let path = spec["nonResourceAttributes"].flatMap { $0.isNull ? Optional<JSON>.none : $0 }
        if let path, resource != nil {
            let shown: JSON = ["Path": path["path"] ?? "", "Verb": path["verb"] ?? ""]
            issues.invalid(
                "spec.nonResourceAttributes", shown, "cannot be specified in combination with resourceAttributes")
        }
        if resource == nil && path == nil {
            issues.invalid(
                "spec.resourceAttributes", .null,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified")
        }
        if needsUser && (spec["user"]?.string ?? "").isEmpty && (spec["groups"]?.elements ?? []).isEmpty {
            issues.invalid("spec.user", "", "at least one of user or group must be specified")
        }
        let asked = resource?["namespace"]?.string ?? ""
        if let namespace {
            if asked != namespace {
                issues.invalid("spec.resourceAttributes.namespace", .string(asked), "must match metadata.namespace")
            }
            if path != nil { issues.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request") }
        }
        if issues.isEmpty { return }
        let causes = issues.list.map { StatusCause(reason: $0.reason, message: $0.message, field: $0.field) }
        throw Status.invalid(GroupVersionKind(Self.group, "v1", ""), "", causes)
    }

    private static func user(_ spec: JSON) -> UserInfo {
        var extra: [String: [String]] = [:]
        for member in spec["extra"]?.object?.members ?? [] {
            extra[member.key] = member.value.elements.compactMap(\.string)
        }
        return UserInfo(
            name: spec["user"]?.string ?? "", uid: spec["uid"]?.string ?? "",
            groups: spec["groups"]?.elements.compactMap(\.string) ?? [],
            extra: extra)
    }

    private static func attributes(_ spec: JSON, user: UserInfo) -> RequestAttributes {
        if let asked = spec["resourceAttributes"], !asked.isNull {
            func text(_ member: String) -> String { asked[member]?.string ?? "" }
            return RequestAttributes(
                user: user, verb: text("verb"), isResourceRequest: true, group: text("group"), version: text("version"),
                resource: text("resource"),
                subresource: text("subresource"), namespace: text("namespace"), name: text("name"))
        }
        let asked = spec["nonResourceAttributes"]
        return RequestAttributes(
            user: user, verb: asked?["verb"]?.string ?? "", isResourceRequest: false, path: asked?["path"]?.string ?? ""
        )
    }

    /// Empty texts are not printed.
    private static func withoutEmpty(_ value: JSON) -> JSON {
        guard case .object(let object) = value else { return value }
        let members = object.members.filter { $0.value != "" && !$0.value.isNull }
        return .object(JSONObject(uniqueMembers: members.map { .init(key: $0.key, value: withoutEmpty($0.value)) }))
    }

    private func rules(_ object: JSON, _ user: UserInfo, _ reader: any ObjectReader) throws(StatusError) -> JSON {
        let namespace = object["spec", "namespace"]?.string ?? ""
        if namespace.isEmpty { throw Status.badRequest("no namespace on request") }
        let (rules, errors) = access.authorizer.roles.rules(for: user, namespace: namespace, reader: reader)
        var status: JSON = [
            "resourceRules": .array(rules.filter { !$0.resources.isEmpty }.map(\.json)),
            "nonResourceRules": .array(rules.filter { !$0.urls.isEmpty }.map(\.json)),
            "incomplete": .bool(!errors.isEmpty)
        ]
        if !errors.isEmpty { status["evaluationError"] = .string(RoleAuthorizer.aggregate(errors)) }
        return [
            "kind": "SelfSubjectRulesReview", "apiVersion": .string("\(Self.group)/v1"), "metadata": [:], "spec": [:],
            "status": status
        ]
    }
}
