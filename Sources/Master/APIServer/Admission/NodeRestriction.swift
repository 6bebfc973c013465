// A kubelet writes its own Node and the pods that are bound to it, and nothing of another node's: a stolen node
// certificate stays small.
import API

struct NodeRestriction: AdmissionPlugin {
    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {
        guard let node = NodeAuthorizer.node(write.attributes.user) else { return }
        switch (write.attributes.group, write.attributes.resource, write.attributes.subresource) {
        case ("", "pods", ""): try pod(write, node, reader)
        case ("", "pods", "status"): try podStatus(write, node)
        case ("", "pods", "eviction"): try eviction(write, node, reader)
        case ("", "nodes", _): try ownNode(write, node)
        case ("", "serviceaccounts", "token"): try token(write, node, reader)
        case ("coordination.k8s.io", "leases", _): try lease(write, node)
        default: return
        }
    }

    private func pod(_ write: WriteRequest, _ node: String, _ reader: any ObjectReader) throws(StatusError) {
        let quoted = Go.quote(node)
        switch write.operation {
        case .create:
            let pod = write.object
            if pod.annotations[ServiceAccountAdmission.mirror] == nil {
                throw write.forbidden(
                    "pod does not have \(Go.quote(ServiceAccountAdmission.mirror)) annotation, "
                        + "node \(quoted) can only create mirror pods"
                )
            }
            if pod["spec", "nodeName"]?.string != node {
                throw write.forbidden("node \(quoted) can only create pods with spec.nodeName set to itself")
            }
            for owner in pod.ownerReferences where owner.kind != "Node" || owner["name"]?.string != node {
                throw write.forbidden("node \(quoted) can only create pods with an owner reference set to itself")
            }
        case .delete:
            guard
                let pod = write.old
                    ?? reader.get(.pods, namespace: write.attributes.namespace, name: write.attributes.name)
            else { return }
            if pod["spec", "nodeName"]?.string != node {
                throw write.forbidden("node \(quoted) can only delete pods with spec.nodeName set to itself")
            }
        default:
            throw write.forbidden(
                "unexpected operation \(Go.quote(write.operation.rawValue)), "
                    + "node \(quoted) can only create and delete mirror pods"
            )
        }
    }

    private func podStatus(_ write: WriteRequest, _ node: String) throws(StatusError) {
        let quoted = Go.quote(node)
        if write.old?["spec", "nodeName"]?.string != node {
            throw write.forbidden("node \(quoted) can only update pod status for pods with spec.nodeName set to itself")
        }
        if let old = write.old, old.labels != write.object.labels {
            throw write.forbidden("node \(quoted) cannot update labels through pod status")
        }
    }

    private func eviction(_ write: WriteRequest, _ node: String, _ reader: any ObjectReader) throws(StatusError) {
        let pod = write.old ?? reader.get(.pods, namespace: write.attributes.namespace, name: write.attributes.name)
        if let pod, pod["spec", "nodeName"]?.string != node {
            throw write.forbidden("node \(node) can only evict pods with spec.nodeName set to itself")
        }
    }

    private func ownNode(_ write: WriteRequest, _ node: String) throws(StatusError) {
        let name = write.attributes.name.isEmpty ? write.object.name : write.attributes.name
        if name != node {
            throw write.forbidden("node \(Go.quote(node)) is not allowed to modify node \(Go.quote(name))")
        }
        switch write.operation {
        case .create:
            let labels = Self.restricted(write.object.labels.keys)
            if !labels.isEmpty {
                throw write.forbidden(
                    "node \(Go.quote(node)) is not allowed to set the following labels: "
                        + "\(labels.joined(separator: ", "))"
                )
            }
        case .update:
            guard let old = write.old else { return }
            if write.attributes.subresource.isEmpty && old["spec", "taints"] != write.object["spec", "taints"] {
                throw write.forbidden("node \(Go.quote(node)) is not allowed to modify taints")
            }
            if old.ownerReferences != write.object.ownerReferences {
                throw write.forbidden("node \(Go.quote(node)) is not allowed to modify ownerReferences")
            }
            let changed = Self.changed(old.labels, write.object.labels)
            let labels = Self.restricted(changed)
            if !labels.isEmpty {
                throw write.forbidden("is not allowed to modify labels: \(labels.joined(separator: ", "))")
            }
        default: return
        }
    }

    private static func changed(_ old: [String: String], _ new: [String: String]) -> [String] {
        Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }.sorted()
    }

    private static let ownLabels: Set<String> = [
        "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
    ]

    /// Labels of Kubernetes' own domains that are not a kubelet's to set.
    private static func restricted(_ keys: some Sequence<String>) -> [String] {
        keys.filter { key in
            guard let slash = key.firstIndex(of: "/") else { return false }
            let domain = key[..<slash]
            if domain == "node-restriction.kubernetes.io" || domain.hasSuffix(".node-restriction.kubernetes.io") {
                return true
            }
            if ownLabels.contains(key) { return false }
            if ["kubelet.kubernetes.io", "node.kubernetes.io"].contains(where: {
                domain == $0 || domain.hasSuffix("." + $0)
            }) {
                return false
            }
            return ["kubernetes.io", "k8s.io"].contains { domain == $0 || domain.hasSuffix("." + $0) }
        }.sorted()
    }

    private func token(_ write: WriteRequest, _ node: String, _ reader: any ObjectReader) throws(StatusError) {
        let reference = write.object["spec", "boundObjectRef"]
        guard reference?.kind == "Pod", let name = reference?["name"]?.string else {
            throw write.forbidden("node requested token not bound to a pod")
        }
        guard let uid = reference?["uid"]?.string, !uid.isEmpty else {
            throw write.forbidden("node requested token with a pod binding without a uid")
        }
        guard let pod = reader.get(.pods, namespace: write.attributes.namespace, name: name) else {
            throw Status.notFound(.pods, name)
        }
        if pod.uid != uid {
            throw write.forbidden(
                "the UID in the bound object reference (\(uid)) does not match the UID in record. "
                    + "The object might have been deleted and then recreated"
            )
        }
        if pod["spec", "nodeName"]?.string != node {
            throw write.forbidden("node requested token bound to a pod scheduled on a different node")
        }
    }

    private func lease(_ write: WriteRequest, _ node: String) throws(StatusError) {
        if write.attributes.namespace != "kube-node-lease" {
            throw write.forbidden("can only access leases in the \"kube-node-lease\" system namespace")
        }
        let name = write.attributes.name.isEmpty ? write.object.name : write.attributes.name
        if name != node {
            throw write.forbidden("can only access node lease with the same name as the requesting node")
        }
    }
}
