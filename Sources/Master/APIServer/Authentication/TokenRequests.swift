// `serviceaccounts/token`: from a TokenRequest to a signed token. The account is the stored parent; the object that
// the token is to be bound to is looked up.
import API

struct TokenRequests: Sendable {
    let tokens: TokenIssuer
    private static let secondsMin: Int64 = 600
    private static let kind = GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest")

    func issue(_ request: JSON, account: JSON, reader: any ObjectReader, now: Double) throws(StatusError) -> JSON {
        let seconds = request["spec", "expirationSeconds"]?.int ?? 3600
        try check(seconds)
        let given = request["spec", "audiences"]?.elements.compactMap(\.string) ?? []
        let audiences = given.isEmpty ? tokens.audiences : given
        var claims = base(account, audiences, now: now)
        try bind(&claims, request["spec", "boundObjectRef"], account: account, reader: reader)
        let isExtended =
            seconds == TokenIssuer.kubeletSeconds && audiences == tokens.audiences
            && claims["kubernetes.io", "pod"] != nil
        claims["exp"] = .int(Int64(now) + (isExtended ? TokenIssuer.extendedSeconds : seconds))
        if isExtended { claims["kubernetes.io", "warnafter"] = .int(Int64(now) + seconds) }
        let token = try tokens.sign(claims)
        return answer(request, account, audiences, seconds, token, now: now)
    }

    private func check(_ seconds: Int64) throws(StatusError) {
        var issues = Issues()
        let path: FieldPath = "spec.expirationSeconds"
        if seconds < Self.secondsMin {
            issues.invalid(path, .int(seconds), "may not specify a duration less than 10 minutes")
        }
        if seconds > 1 << 32 {
            issues.invalid(path, .int(seconds), "may not specify a duration larger than 2^32 seconds")
        }
        if !issues.isEmpty {
            throw Status.invalid(
                Self.kind, "", issues.list.map { StatusCause(reason: $0.reason, message: $0.message, field: $0.field) })
        }
    }

    private func base(_ account: JSON, _ audiences: [String], now: Double) -> JSON {
        let seconds = Int64(now)
        return [
            "aud": .array(audiences.map { .string($0) }), "exp": 0, "iat": .int(seconds), "iss": .string(tokens.issuer),
            "jti": .string(Identity.uid()),
            "kubernetes.io": [
                "namespace": .string(account.namespace),
                "serviceaccount": ["name": .string(account.name), "uid": .string(account.uid)]
            ],
            "nbf": .int(seconds), "sub": .string("system:serviceaccount:\(account.namespace):\(account.name)")
        ]
    }

    private func bind(
        _ claims: inout JSON, _ reference: JSON?, account: JSON, reader: any ObjectReader
    )
        throws(StatusError)
    {
        guard let reference, !reference.isNull else { return }
        let name = reference["name"]?.string ?? ""
        switch (reference.kind, reference.apiVersion) {
        case ("Pod", "v1"):
            let pod = try object(.pods, account.namespace, name, reference, reader)
            if pod["spec", "serviceAccountName"]?.string != account.name {
                let text =
                    "cannot bind token for serviceaccount \(Go.quote(account.name)) "
                    + "to pod running with different serviceaccount name."
                throw Status.badRequest(text)
            }
            claims["kubernetes.io", "pod"] = ["name": .string(name), "uid": .string(pod.uid)]
            bindNode(&claims, of: pod, reader)
        case ("Secret", "v1"):
            let secret = try object(.secrets, account.namespace, name, reference, reader)
            claims["kubernetes.io", "secret"] = ["name": .string(name), "uid": .string(secret.uid)]
        case ("Node", "v1"):
            let node = try object(.nodes, nil, name, reference, reader)
            claims["kubernetes.io", "node"] = ["name": .string(name), "uid": .string(node.uid)]
        default:
            let shown =
                reference.apiVersion.isEmpty ? reference.kind : "\(reference.apiVersion), Kind=\(reference.kind)"
            throw Status.badRequest("cannot bind token to object of type \(shown)")
        }
    }

    private func bindNode(_ claims: inout JSON, of pod: JSON, _ reader: any ObjectReader) {
        guard let name = pod["spec", "nodeName"]?.string, !name.isEmpty else { return }
        var node: JSON = ["name": .string(name)]
        if let uid = reader.get(.nodes, namespace: nil, name: name)?.uid { node["uid"] = .string(uid) }
        claims["kubernetes.io", "node"] = node
    }

    private func object(
        _ resource: GroupVersionResource, _ namespace: String?, _ name: String, _ reference: JSON,
        _ reader: any ObjectReader
    ) throws(StatusError) -> JSON {
        guard let object = reader.get(resource, namespace: namespace, name: name) else {
            throw Status.notFound(resource, name)
        }
        let uid = reference["uid"]?.string ?? ""
        if !uid.isEmpty && uid != object.uid {
            let text =
                "the UID in the bound object reference (\(uid)) does not match the UID in record. "
                + "The object might have been deleted and then recreated"
            throw Status.conflict(GroupVersionResource("", "v1", object.kind), name, text)
        }
        return object
    }

    private func answer(
        _ request: JSON, _ account: JSON, _ audiences: [String], _ seconds: Int64, _ token: String, now: Double
    ) -> JSON {
        [
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": [
                "name": .string(account.name), "namespace": .string(account.namespace), "uid": .string(Identity.uid()),
                "creationTimestamp": .string(Timestamp.text(now))
            ],
            "spec": [
                "audiences": .array(audiences.map { .string($0) }), "expirationSeconds": .int(seconds),
                "boundObjectRef": request["spec", "boundObjectRef"] ?? .null
            ],
            "status": ["token": .string(token), "expirationTimestamp": .string(Timestamp.text(now + Double(seconds)))]
        ]
    }
}
