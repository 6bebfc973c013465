// CertificateSigningRequests: the requester's identity is stamped by the server and never taken from the client;
// approval and signing are subresources of their own.
import API
import NetPKI

package struct CertificateSigningRequestKind: StoredKind {
    package init() {}
    package var isNamespaced: Bool { false }
    package var hasStatus: Bool { true }
    private static let usages = [
        "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
        "decipher only",
        "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user",
        "key agreement",
        "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing",
        "timestamping"
    ]
    static let approvals = ["Approved", "Denied"]

    package func fill(_ write: inout WriteRequest) {
        let user = write.attributes.user
        for member in ["username", "uid", "groups", "extra"] { write.object.setValue(nil, at: ["spec", member]) }
        write.object["spec", "username"] = .string(user.name)
        if !user.uid.isEmpty { write.object["spec", "uid"] = .string(user.uid) }
        if !user.groups.isEmpty { write.object["spec", "groups"] = .array(user.groups.map { .string($0) }) }
        for (key, values) in user.extra.sorted(by: { $0.key < $1.key }) {
            write.object["spec", "extra", key] = .array(values.map { .string($0) })
        }
    }

    /// Each subresource has its own part of the status: `approval` the verdicts, `status` the rest.
    package func prepareForUpdate(_ write: inout WriteRequest, subresource: String) {
        guard let old = write.old else { return }
        let given = write.object
        Metadata.carryOver(&write.object, from: old)
        write.object["spec"] = old["spec"]
        switch subresource {
        case "approval":
            write.object["status"] = old["status"] ?? [:]
            write.object["status", "conditions"] = given["status", "conditions"].map { stamped($0, old, write.now) }
        case "status":
            write.object["status"] = given["status"].map { status in
                var status = status
                if let list = status["conditions"] { status["conditions"] = stamped(list, old, write.now) }
                return status
            }
        default: write.object["status"] = old["status"]
        }
    }

    private func stamped(_ list: JSON, _ old: JSON, _ now: Double) -> JSON {
        let before = conditions(of: old)
        return .array(
            list.elements.map { condition in
                var condition = condition
                let same = before.first { $0["type"] == condition["type"] }
                if (condition["lastUpdateTime"]?.string ?? "").isEmpty {
                    condition["lastUpdateTime"] = same?["lastUpdateTime"] ?? .string(Timestamp.text(now))
                }
                if (condition["lastTransitionTime"]?.string ?? "").isEmpty {
                    condition["lastTransitionTime"] = same?["lastTransitionTime"] ?? .string(Timestamp.text(now))
                }
                return condition
            })
    }

    private func conditions(of request: JSON) -> [JSON] { request["status", "conditions"]?.elements ?? [] }

    package func check(_ object: JSON, _ issues: inout Issues) {
        let spec = object["spec"] ?? [:]
        let request = spec["request"]?.string ?? ""
        let pem = String(decoding: Base64.bytes(request) ?? [], as: UTF8.self)
        if !pem.contains("-----BEGIN CERTIFICATE REQUEST-----") {
            issues.invalid("spec.request", .string(request), "PEM block type must be CERTIFICATE REQUEST")
        } else {
            do { _ = try CertificateRequest(pem: pem) } catch {
                issues.invalid("spec.request", .string(request), "\(error)")
            }
        }
        let usages = spec["usages"]?.elements ?? []
        if usages.isEmpty { issues.required("spec.usages", "usages is required") }
        for (i, usage) in usages.enumerated() { issues.oneOf(FieldPath("spec.usages")[i], usage, Self.usages) }
        signer(spec["signerName"]?.string ?? "", &issues)
        if let seconds = spec["expirationSeconds"]?.int, seconds < 600 {
            issues.invalid(
                "spec.expirationSeconds", .int(seconds), "may not specify a duration less than 600 seconds (10 minutes)"
            )
        }
    }

    private func signer(_ name: String, _ issues: inout Issues) {
        if name.isEmpty { return issues.required("spec.signerName") }
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].contains("."), !parts[1].isEmpty, Names.dnsSubdomain(String(parts[0])).isEmpty
        else {
            let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
            return issues.invalid("spec.signerName", .string(name), text)
        }
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        guard subresource == "approval" || subresource == "status" else { return }
        let now = conditions(of: new)
        let before = conditions(of: old)
        for (i, condition) in now.enumerated() {
            let path = FieldPath("status.conditions")[i]
            let type = condition["type"]?.string ?? ""
            if type.isEmpty { issues.required(path["type"]) }
            if ["Approved", "Denied", "Failed"].contains(type) {
                issues.oneOf(path["status"], condition["status"] ?? "", ["True"])
            }
        }
        let types = Set(now.compactMap { $0["type"]?.string })
        for condition in before {
            guard let type = condition["type"]?.string, Self.approvals.contains(type) || type == "Failed",
                !types.contains(type)
            else { continue }
            issues.forbidden("status.conditions", "updates may not remove a condition of type \(Go.quote(type))")
        }
        if types.isSuperset(of: Self.approvals) {
            let last = now.compactMap { $0["type"]?.string }.last { Self.approvals.contains($0) } ?? ""
            issues.invalid("status.conditions", .string(last), "Approved and Denied conditions are mutually exclusive")
        }
        if subresource == "status" { certificate(new, old, &issues) }
    }

    private func certificate(_ new: JSON, _ old: JSON, _ issues: inout Issues) {
        let text = new["status", "certificate"]?.string ?? ""
        let before = old["status", "certificate"]?.string ?? ""
        if text == before { return }
        let pem = String(decoding: Base64.bytes(text) ?? [], as: UTF8.self)
        if !before.isEmpty {
            issues.forbidden("status.certificate", "updates may not set or change certificate once set")
        } else if !pem.contains("-----BEGIN CERTIFICATE-----") {
            issues.invalid(
                "status.certificate", "<certificate data>", "must contain at least one CERTIFICATE PEM block")
        }
    }
}
