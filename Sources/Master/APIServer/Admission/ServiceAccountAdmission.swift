// Every pod runs as an account that exists: `default` when none is named. Its token, the cluster's certificate
// authority and the namespace are mounted as a projected volume, and the account's image pull secrets are taken over.
import API

struct ServiceAccountAdmission: AdmissionPlugin {
    static let mountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
    static let mirror = "kubernetes.io/config.mirror"

    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {
        guard write.isCore("pods"), write.operation == .create else { return }
        if write.object.annotations[Self.mirror] != nil { return try checkMirror(write) }
        let given =
            write.object["spec", "serviceAccountName"]?.string ?? write.object["spec", "serviceAccount"]?.string ?? ""
        let name = given.isEmpty ? "default" : given
        let namespace = write.attributes.namespace
        guard let account = reader.get(.serviceAccounts, namespace: namespace, name: name) else {
            throw write.forbidden(
                "error looking up service account \(namespace)/\(name): serviceaccount \(Go.quote(name)) not found")
        }
        write.object["spec", "serviceAccountName"] = .string(name)
        write.object["spec", "serviceAccount"] = .string(name)
        if Self.mountsToken(write.object, account) { Self.mountToken(&write.object) }
        if (write.object["spec", "imagePullSecrets"]?.elements ?? []).isEmpty,
            let secrets = account["imagePullSecrets"], !secrets.elements.isEmpty
        {
            write.object["spec", "imagePullSecrets"] = secrets
        }
    }

    private func checkMirror(_ write: WriteRequest) throws(StatusError) {
        if !(write.object["spec", "serviceAccountName"]?.string ?? "").isEmpty {
            throw write.forbidden("a mirror pod may not reference service accounts")
        }
        let references = PodReferences(write.object)
        if !references.secrets.isEmpty { throw write.forbidden("a mirror pod may not reference secrets") }
        let sources = (write.object["spec", "volumes"]?.elements ?? []).flatMap {
            $0["projected", "sources"]?.elements ?? []
        }
        if sources.contains(where: { $0["serviceAccountToken"] != nil }) {
            throw write.forbidden("a mirror pod may not use ServiceAccountToken volume projections")
        }
    }

    private static func mountsToken(_ pod: JSON, _ account: JSON) -> Bool {
        pod["spec", "automountServiceAccountToken"]?.bool ?? account["automountServiceAccountToken"]?.bool ?? true
    }

    private static func mountToken(_ pod: inout JSON) {
        var volumes = pod["spec", "volumes"]?.elements ?? []
        let existing = volumes.first {
            ($0["name"]?.string ?? "").hasPrefix("kube-api-access-") && $0["projected"] != nil
        }
        let name = existing?["name"]?.string ?? Identity.name(from: "kube-api-access-")
        var isNeeded = false
        for member in ["initContainers", "containers"] {
            guard var containers = pod["spec", member]?.array else { continue }
            for i in containers.indices {
                var mounts = containers[i]["volumeMounts"]?.elements ?? []
                if mounts.contains(where: { $0["mountPath"]?.string == mountPath }) { continue }
                mounts.append(["name": .string(name), "readOnly": true, "mountPath": .string(mountPath)])
                containers[i]["volumeMounts"] = .array(mounts)
                isNeeded = true
            }
            pod["spec", member] = .array(containers)
        }
        guard isNeeded, existing == nil else { return }
        volumes.append(volume(name))
        pod["spec", "volumes"] = .array(volumes)
    }

    /// Token, certificate authority and namespace, as upstream projects them.
    private static func volume(_ name: String) -> JSON {
        [
            "name": .string(name),
            "projected": [
                "sources": [
                    ["serviceAccountToken": ["expirationSeconds": .int(TokenIssuer.kubeletSeconds), "path": "token"]],
                    ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
                    [
                        "downwardAPI": [
                            "items": [
                                [
                                    "path": "namespace",
                                    "fieldRef": ["apiVersion": "v1", "fieldPath": "metadata.namespace"]
                                ]
                            ]
                        ]
                    ]
                ],
                "defaultMode": 420
            ]
        ]
    }
}
