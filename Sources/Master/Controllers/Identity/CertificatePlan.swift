// Certificate signing requests of kubelets: approves those that may have what they ask for, signs what is approved, and
// deletes old requests. Keys and X.509 are elsewhere: reading a request and signing one are closures given by whoever
// owns the CA.

import API

/// What a signing request asks for.
package struct RequestedIdentity: Sendable, Hashable {
    package var commonName: String
    package var organizations: [String]
    package var dnsNames: [String]
    package var addresses: [String]
    package var hasOtherNames: Bool

    package init(
        commonName: String, organizations: [String], dnsNames: [String] = [], addresses: [String] = [],
        hasOtherNames: Bool = false
    ) {
        self.commonName = commonName
        self.organizations = organizations
        self.dnsNames = dnsNames
        self.addresses = addresses
        self.hasOtherNames = hasOtherNames
    }
}

/// The CA as the controllers see it. Requests travel as in the object: base64 of PEM; certificates likewise.
package struct CertificateAuthority: Sendable {
    /// Reads `spec.request`; nil when it is no request.
    package var inspect: @Sendable (_ request: String) -> RequestedIdentity?
    /// Signs `spec.request` for `usages` and at most `seconds` (nil: the default); gives `status.certificate`.
    package var sign:
        @Sendable (_ request: String, _ signer: String, _ usages: [String], _ seconds: Int64?) async throws -> String
    /// Approve `kubernetes.io/kubelet-serving` too, for nodes that exist.
    package var approvesServing: Bool

    package init(
        inspect: @escaping @Sendable (_ request: String) -> RequestedIdentity?,
        sign:
            @escaping @Sendable (_ request: String, _ signer: String, _ usages: [String], _ seconds: Int64?)
            async throws -> String,
        approvesServing: Bool = true
    ) {
        self.inspect = inspect
        self.sign = sign
        self.approvesServing = approvesServing
    }
}

package enum CertificatePlan {
    package static let clientSigner = "kubernetes.io/kube-apiserver-client-kubelet"
    package static let servingSigner = "kubernetes.io/kubelet-serving"
    package static let apiClientSigner = "kubernetes.io/kube-apiserver-client"
    static let signers: Set<String> = [clientSigner, servingSigner, apiClientSigner]

    /// What permission decides about an automatic approval; nil: nobody approves it by itself.
    package enum Approval: Sendable, Hashable {
        case ask(subresource: String, message: String)
        case now(message: String)
    }

    /// Whether and how a request is approved without a human.
    package static func approval(_ request: JSON, _ identity: RequestedIdentity?, approvesServing: Bool) -> Approval? {
        guard let identity, request.condition("Approved") == nil, request.condition("Denied") == nil else { return nil }
        let usages = Set((request["spec", "usages"]?.elements ?? []).compactMap(\.string))
        let user = request["spec", "username"]?.string ?? ""
        guard identity.commonName.hasPrefix("system:node:"), identity.organizations == ["system:nodes"],
            !identity.hasOtherNames
        else { return nil }
        switch request["spec", "signerName"]?.string {
        case clientSigner:
            guard identity.dnsNames.isEmpty, identity.addresses.isEmpty,
                usages.isSubset(of: ["key encipherment", "digital signature", "client auth"]),
                usages.contains("client auth")
            else { return nil }
            if user == identity.commonName {
                return .ask(
                    subresource: "selfnodeclient",
                    message: "Auto approving self kubelet client certificate after SubjectAccessReview.")
            }
            return .ask(
                subresource: "nodeclient",
                message: "Auto approving kubelet client certificate after SubjectAccessReview.")
        case servingSigner:
            guard approvesServing, user == identity.commonName,
                !(identity.dnsNames.isEmpty && identity.addresses.isEmpty),
                usages.isSubset(of: ["key encipherment", "digital signature", "server auth"]),
                usages.contains("server auth")
            else { return nil }
            return .now(message: "Auto approving kubelet serving certificate of the node itself.")
        default: return nil
        }
    }

    /// The review that asks whether the requestor may have it.
    package static func review(_ request: JSON, subresource: String) -> JSON {
        let spec = request["spec"] ?? .null
        var review: JSON = [
            "resourceAttributes": [
                "group": "certificates.k8s.io", "version": "*", "resource": "certificatesigningrequests",
                "verb": "create",
                "subresource": .string(subresource)
            ]
        ]
        review["user"] = spec["username"]
        review["uid"] = spec["uid"]
        review["groups"] = spec["groups"]
        review["extra"] = spec["extra"]
        return ["apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": review]
    }

    package static func approve(_ request: JSON, _ message: String, now: Int64) -> Change {
        var object = request
        var conditions = request["status", "conditions"]?.elements ?? []
        var condition = Conditions.make("Approved", "True", "AutoApproved", message, now: now, updated: true)
        condition["lastTransitionTime"] = .string(Timestamp.seconds(now))
        conditions.append(condition)
        object["status", "conditions"] = .array(conditions)
        return .update(.certificateSigningRequests, object, subresource: "approval")
    }

    /// Approved, of a signer that we are, and without a certificate yet.
    package static func wantsSignature(_ request: JSON) -> Bool {
        signers.contains(request["spec", "signerName"]?.string ?? "") && request.condition("Approved") != nil
            && request.condition("Denied") == nil && request.condition("Failed") == nil
            && (request["status", "certificate"]?.string ?? "").isEmpty
    }

    /// Milliseconds from creation after which a request is dropped: a day when pending, an hour when decided.
    package static func lifetime(_ request: JSON) -> Int64 {
        let isDecided =
            request.condition("Approved") != nil || request.condition("Denied") != nil
            || request.condition("Failed") != nil
        return isDecided ? 3_600_000 : 86_400_000
    }
}

/// The shell: asks, approves, signs.
struct CertificateController: Sendable {
    let authority: CertificateAuthority

    func work(_ request: JSON, _ session: Session) async -> Performed {
        let age = session.now() &- request.createdAt
        let lifetime = CertificatePlan.lifetime(request)
        if age > lifetime {
            return await session.perform([
                .delete(.certificateSigningRequests, Target(request), DeleteOptions(uid: request.uid))
            ])
        }
        let body = request["spec", "request"]?.string ?? ""
        let approval = CertificatePlan.approval(
            request, authority.inspect(body), approvesServing: authority.approvesServing)
        switch approval {
        case .now(let message):
            return await session.perform([CertificatePlan.approve(request, message, now: session.now())])
        case .ask(let subresource, let message):
            guard await isAllowed(request, subresource, session) else { return Performed(again: 60_000) }
            return await session.perform([CertificatePlan.approve(request, message, now: session.now())])
        case nil: break
        }
        guard CertificatePlan.wantsSignature(request) else { return Performed(again: lifetime - age + 1000) }
        return await sign(request, body, session)
    }

    private func isAllowed(_ request: JSON, _ subresource: String, _ session: Session) async -> Bool {
        let reviews = GroupVersionResource("authorization.k8s.io", "v1", "subjectaccessreviews")
        do throws(StatusError) {
            let answer = try await session.client.create(
                reviews, namespace: nil, CertificatePlan.review(request, subresource: subresource))
            return answer["status", "allowed"]?.bool ?? false
        } catch {
            return false
        }
    }

    private func sign(_ request: JSON, _ body: String, _ session: Session) async -> Performed {
        let usages = (request["spec", "usages"]?.elements ?? []).compactMap(\.string)
        var object = request
        do {
            let certificate = try await authority.sign(
                body, request["spec", "signerName"]?.string ?? "", usages, request["spec", "expirationSeconds"]?.int)
            object["status", "certificate"] = .string(certificate)
        } catch {
            var conditions = request["status", "conditions"]?.elements ?? []
            conditions.append(
                Conditions.make(
                    "Failed", "True", "SignerValidationFailure", "\(error)", now: session.now(), updated: true))
            object["status", "conditions"] = .array(conditions)
        }
        return await session.perform([.updateStatus(.certificateSigningRequests, object)])
    }
}
