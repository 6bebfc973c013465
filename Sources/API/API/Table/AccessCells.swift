// Rows of the kinds of access control and of certificates.

extension CellContext {
    func access(_ kind: String) -> [JSON]? {
        switch kind {
        case "RoleBinding", "ClusterRoleBinding": binding
        case "CertificateSigningRequest": signingRequest
        case "StorageClass": storageClass
        case "CustomResourceDefinition": [name, object["metadata", "creationTimestamp"] ?? .null]
        default: nil
        }
    }

    private var binding: [JSON] {
        let role = "\(object["roleRef", "kind"]?.string ?? "")/\(object["roleRef", "name"]?.string ?? "")"
        let subjects = object["subjects"]?.elements ?? []
        let names = { (kind: String) in
            subjects.filter { $0["kind"]?.string == kind }.compactMap { $0["name"]?.string }.joined(separator: ", ")
        }
        let accounts = subjects.filter { $0["kind"] == "ServiceAccount" }.map { subject -> String in
            let namespace = subject["namespace"]?.string ?? ""
            let account = subject["name"]?.string ?? ""
            return namespace.isEmpty ? account : "\(namespace)/\(account)"
        }
        return [
            name, .string(role), age, .string(names("User")), .string(names("Group")),
            .string(accounts.joined(separator: ", "))
        ]
    }

    private var signingRequest: [JSON] {
        let seconds = object["spec", "expirationSeconds"]?.int
        let duration = seconds.map { Timestamp.humanDuration(Double($0)) } ?? "<none>"
        return [
            name, age, text("spec", "signerName", or: "<none>"), text("spec", "username"), .string(duration),
            .string(signingState)
        ]
    }

    private var signingState: String {
        let types = (object["status", "conditions"]?.elements ?? []).compactMap { $0["type"]?.string }
        var state = types.contains("Denied") ? "Denied" : types.contains("Approved") ? "Approved" : "Pending"
        if types.contains("Failed") { state += ",Failed" }
        if object["status", "certificate"]?.string?.isEmpty == false { state += ",Issued" }
        return state
    }

    private var storageClass: [JSON] {
        let isDefault = object.annotations["storageclass.kubernetes.io/is-default-class"] == "true"
        return [
            .string(object.name + (isDefault ? " (default)" : "")), text("provisioner"),
            text("reclaimPolicy", or: "Delete"),
            text("volumeBindingMode", or: "<unset>"), .bool(object["allowVolumeExpansion"]?.bool ?? false), age
        ]
    }
}
