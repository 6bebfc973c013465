// The default roles and bindings of RBAC, from a compact text: a heading `Kind [namespace/]name`, then one line a
// rule (`verbs | groups | resources | names`, `url verbs paths`), a subject (`User:`, `Group:`, `SA:namespace/name`),
// `role Kind/name` where a binding's role has another name, or `aggregate label:value`. Every controller's role is
// bound to its account in kube-system. Parsed at start only; nothing of it stays in memory.
import API

package enum DefaultRoles {
    package static let group = "rbac.authorization.k8s.io"
    package static let autoupdate = "rbac.authorization.kubernetes.io/autoupdate"

    /// What the Node authorizer allows every kubelet.
    package static var nodeRules: [PolicyRule] {
        objects(of: systemText).first { $0.name == "system:node" }.map { RoleIndex.rules($0) } ?? []
    }

    /// All of them, aggregated roles with their rules.
    package static func objects() -> [JSON] {
        var all =
            objects(of: usersText) + objects(of: systemText) + objects(of: controllersText) + objects(of: bindingsText)
        all += all.filter { $0.kind == "ClusterRole" && $0.name.hasPrefix("system:controller:") }.map(controllerBinding)
        all += objects(of: clusterText)
        for i in all.indices { label(&all[i]) }
        // `edit` takes in `view`, and `admin` takes in `edit`: three rounds settle it.
        for _ in 0..<3 { aggregate(&all) }
        return all
    }

    private static func aggregate(_ all: inout [JSON]) {
        let roles = all.filter { $0.kind == "ClusterRole" }
        for i in all.indices where all[i]["aggregationRule"] != nil {
            all[i]["rules"] = RoleAggregation.rules(of: all[i], among: roles)
        }
    }

    /// What Tern's own nodes need besides: joining by token, and a worker that is kubelet, proxy and resolver in one.
    private static let clusterText = """
        ClusterRoleBinding kubeadm:kubelet-bootstrap
          role ClusterRole/system:node-bootstrapper
          Group:system:bootstrappers
        ClusterRoleBinding kubeadm:node-autoapprove-bootstrap
          role ClusterRole/system:certificates.k8s.io:certificatesigningrequests:nodeclient
          Group:system:bootstrappers
        ClusterRoleBinding kubeadm:node-autoapprove-certificate-rotation
          role ClusterRole/system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
          Group:system:nodes
        ClusterRoleBinding tern:worker-proxier
          role ClusterRole/system:node-proxier
          Group:system:nodes
        ClusterRoleBinding tern:kubelet-client
          role ClusterRole/system:kubelet-api-admin
          User:kube-apiserver-kubelet-client
        """
}

/// Reading the notation.
extension DefaultRoles {
    private static func objects(of text: String) -> [JSON] {
        var objects: [JSON] = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("  ") {
                if let last = objects.indices.last { add(line.drop { $0 == " " }, to: &objects[last]) }
            } else if let object = heading(line) {
                objects.append(object)
            }
        }
        return objects
    }

    private static func heading(_ line: Substring) -> JSON? {
        let words = line.split(separator: " ")
        guard words.count == 2 else { return nil }
        let kind = String(words[0])
        let isNamespaced = kind == "Role" || kind == "RoleBinding"
        let parts = words[1].split(separator: "/", maxSplits: 1)
        var object: JSON = ["kind": .string(kind), "apiVersion": .string("\(group)/v1"), "metadata": [:]]
        let name = isNamespaced && parts.count == 2 ? String(parts[1]) : String(words[1])
        object["metadata", "name"] = .string(name)
        if isNamespaced, parts.count == 2 { object["metadata", "namespace"] = .string(String(parts[0])) }
        if kind.hasSuffix("Binding") {
            object["roleRef"] = [
                "apiGroup": .string(group), "kind": .string(String(kind.dropLast(7))), "name": .string(name)
            ]
        }
        return object
    }

    private static func add(_ line: Substring, to object: inout JSON) {
        if line.hasPrefix("aggregate ") {
            let parts = line.dropFirst(10).split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { return }
            object["aggregationRule"] = [
                "clusterRoleSelectors": [["matchLabels": JSON([String(parts[0]): String(parts[1])])]]
            ]
        } else if line.hasPrefix("role ") {
            let parts = line.dropFirst(5).split(separator: "/", maxSplits: 1)
            guard parts.count == 2 else { return }
            object["roleRef", "kind"] = .string(String(parts[0]))
            object["roleRef", "name"] = .string(String(parts[1]))
        } else if object.kind.hasSuffix("Binding") {
            object.modify("subjects") { $0 = .array($0.elements + [subject(line)]) }
        } else {
            object.modify("rules") { $0 = .array($0.elements + [rule(line)]) }
        }
    }

    private static func list(_ text: Substring) -> [String] {
        text.split(separator: ",").map { part in
            let word = part.filter { $0 != " " }
            return word == "core" ? "" : word
        }
    }

    private static func rule(_ line: Substring) -> JSON {
        if line.hasPrefix("url ") {
            let words = line.split(separator: " ")
            guard words.count == 3 else { return [:] }
            return PolicyRule(verbs: list(words[1]), urls: list(words[2])).json
        }
        let parts = line.split(separator: "|")
        guard parts.count >= 3 else { return [:] }
        return PolicyRule(
            verbs: list(parts[0]), groups: list(parts[1]), resources: list(parts[2]),
            names: parts.count > 3 ? list(parts[3]) : []
        ).json
    }

    private static func subject(_ line: Substring) -> JSON {
        let parts = line.split(separator: ":", maxSplits: 1)
        guard parts.count == 2 else { return [:] }
        if parts[0] != "SA" {
            return ["kind": .string(String(parts[0])), "apiGroup": .string(group), "name": .string(String(parts[1]))]
        }
        let account = parts[1].split(separator: "/", maxSplits: 1)
        return [
            "kind": "ServiceAccount", "name": .string(String(account.last ?? "")),
            "namespace": .string(String(account.first ?? ""))
        ]
    }

    private static func controllerBinding(_ role: JSON) -> JSON {
        let account = String(role.name.dropFirst("system:controller:".count))
        return [
            "kind": "ClusterRoleBinding", "apiVersion": .string("\(group)/v1"),
            "metadata": ["name": .string(role.name)],
            "roleRef": ["apiGroup": .string(group), "kind": "ClusterRole", "name": .string(role.name)],
            "subjects": [["kind": "ServiceAccount", "name": .string(account), "namespace": "kube-system"]]
        ]
    }

    private static func label(_ object: inout JSON) {
        object["metadata", "annotations", autoupdate] = "true"
        object["metadata", "labels", "kubernetes.io/bootstrapping"] = "rbac-defaults"
        let targets = [
            "system:aggregate-to-admin": "admin", "system:aggregate-to-edit": "edit",
            "system:aggregate-to-view": "view", "edit": "admin",
            "view": "edit"
        ]
        if object.kind == "ClusterRole", let target = targets[object.name] {
            object["metadata", "labels", "\(group)/aggregate-to-\(target)"] = "true"
        }
    }
}
