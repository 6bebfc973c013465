// Certificate requests: only who holds `approve` or `sign` for the signer decides, and nobody asks for the group
// system:masters.
import API
import NetPKI

struct CertificateAdmission: AdmissionPlugin {
    let authorizer: Authorizer

    func validate(_ write: WriteRequest, reader: any ObjectReader) throws(StatusError) {
        guard write.attributes.group == "certificates.k8s.io", write.attributes.resource == "certificatesigningrequests"
        else { return }
        switch (write.operation, write.attributes.subresource) {
        case (.create, ""): try subject(write)
        case (.update, "approval"): try signer(write, verb: "approve", reader)
        case (.update, "status") where write.object["status", "certificate"] != write.old?["status", "certificate"]:
            try signer(write, verb: "sign", reader)
        default: return
        }
    }

    private func subject(_ write: WriteRequest) throws(StatusError) {
        guard write.object["spec", "signerName"]?.string == "kubernetes.io/kube-apiserver-client",
            let bytes = Base64.bytes(write.object["spec", "request"]?.string ?? "")
        else { return }
        let request: CertificateRequest
        do { request = try CertificateRequest(pem: String(decoding: bytes, as: UTF8.self)) } catch {
            throw write.forbidden("unable to parse CSR: \(error)")
        }
        if request.organizations.contains("system:masters") {
            throw write.forbidden(
                "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
        }
    }

    private func signer(_ write: WriteRequest, verb: String, _ reader: any ObjectReader) throws(StatusError) {
        let name = write.old?["spec", "signerName"]?.string ?? ""
        let domain = name.split(separator: "/").first.map { "\($0)/*" } ?? ""
        for candidate in [name, domain] {
            let request = RequestAttributes(
                user: write.attributes.user, verb: verb, isResourceRequest: true, group: "certificates.k8s.io",
                version: "*", resource: "signers",
                name: candidate)
            if authorizer.authorize(request, reader: reader).outcome == .allowed { return }
        }
        throw write.forbidden("user not permitted to \(verb) requests with signerName \(Go.quote(name))")
    }
}

/// The last word on roles and bindings.
struct RoleEscalationAdmission: AdmissionPlugin {
    let authorizer: Authorizer

    func validate(_ write: WriteRequest, reader: any ObjectReader) throws(StatusError) {
        try Escalation(authorizer: authorizer).check(write, reader: reader)
    }
}
