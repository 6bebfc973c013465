import API
import Controllers
import Testing

private func object(
    _ kind: GroupVersionResource, _ name: String, owners: [(String, Bool)] = [], finalizers: [String] = [],
    ending: Bool = false, namespace: String = "default"
) -> OwnedObject {
    var tree: JSON = [
        "metadata": ["name": .string(name), "namespace": .string(namespace), "uid": .string("uid-\(name)")]
    ]
    tree["metadata", "ownerReferences"] = .array(
        owners.map { owner, blocks in
            [
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": .string(owner), "uid": .string("uid-\(owner)"),
                "blockOwnerDeletion": .bool(blocks)
            ]
        })
    tree["metadata", "finalizers"] = .array(finalizers.map(JSON.string))
    if ending { tree["metadata", "deletionTimestamp"] = "2026-01-01T00:00:00Z" }
    return OwnedObject(kind, tree)
}

struct OwnerGraphTests {
    @Test func `an object whose owner is known stays`() {
        var graph = OwnerGraph()
        _ = graph.set(object(.replicaSets, "rs"))
        _ = graph.set(object(.pods, "a", owners: [("rs", true)]))
        #expect(graph.verdict("uid-a", absent: []) == .keep)
    }

    @Test func `an unknown owner is looked up before anything is deleted`() {
        var graph = OwnerGraph()
        let pod = object(.pods, "a", owners: [("rs", true)])
        _ = graph.set(pod)
        #expect(graph.verdict("uid-a", absent: []) == .lookUp(pod.owners))
        #expect(graph.verdict("uid-a", absent: ["uid-rs"]) == .delete(policy: "Background"))
    }

    @Test func `of several owners only the missing are taken out`() {
        var graph = OwnerGraph()
        _ = graph.set(object(.replicaSets, "rs"))
        _ = graph.set(object(.pods, "a", owners: [("rs", true), ("gone", true)]))
        #expect(graph.verdict("uid-a", absent: ["uid-gone"]) == .dropReferences(["uid-gone"]))
    }

    @Test func `the end of an owner touches its dependents`() {
        var graph = OwnerGraph()
        _ = graph.set(object(.replicaSets, "rs"))
        _ = graph.set(object(.pods, "a", owners: [("rs", true)]))
        #expect(graph.remove("uid-rs") == ["uid-a"])
    }

    @Test func `a foreground deletion waits for the dependents that block it`() {
        var graph = OwnerGraph()
        _ = graph.set(object(.pods, "a", owners: [("rs", true)]))
        let touched = graph.set(object(.replicaSets, "rs", finalizers: ["foregroundDeletion"], ending: true))
        #expect(touched == ["uid-rs", "uid-a"])
        #expect(graph.isBlocked("uid-rs"))
        #expect(graph.verdict("uid-a", absent: []) == .delete(policy: "Background"))
        #expect(graph.remove("uid-a") == ["uid-rs"])
        #expect(!graph.isBlocked("uid-rs"))
    }

    @Test func `an owner of another namespace is no owner`() {
        var graph = OwnerGraph()
        _ = graph.set(object(.replicaSets, "rs", namespace: "other"))
        let pod = object(.pods, "a", owners: [("rs", true)])
        _ = graph.set(pod)
        #expect(graph.verdict("uid-a", absent: []) == .lookUp(pod.owners))
    }

    @Test func `a cluster-scoped owner owns in every namespace`() {
        var graph = OwnerGraph()
        _ = graph.set(object(.nodes, "rs", namespace: ""))
        _ = graph.set(object(.leases, "l", owners: [("rs", false)], namespace: "kube-node-lease"))
        #expect(graph.verdict("uid-l", absent: []) == .keep)
    }
}

struct NamespaceTests {
    @Test func `conditions say what is left`() {
        let conditions = NamespaceConditions.make(
            [Remainder(.pods, count: 2, finalizers: ["x/y": 1]), Remainder(.services)], now: epoch)
        #expect(
            conditions.map { "\($0["type"]?.string ?? "")=\($0["status"]?.string ?? "")" } == [
                "NamespaceDeletionDiscoveryFailure=False", "NamespaceDeletionGroupVersionParsingFailure=False",
                "NamespaceDeletionContentFailure=False",
                "NamespaceContentRemaining=True", "NamespaceFinalizersRemaining=True"
            ])
        #expect(conditions[3]["message"] == "Some resources are remaining: pods. has 2 resource instances")
        #expect(
            conditions[4]["message"]
                == "Some content in the namespace has finalizers remaining: x/y in 1 resource instances")
    }

    @Test func `a namespace gets its account and its CA, an ending one nothing`() {
        let namespace: JSON = ["metadata": ["name": "n"]]
        #expect(ServiceAccountPlan.changes(namespace, exists: false).summaries == ["create serviceaccounts default"])
        #expect(ServiceAccountPlan.changes(namespace, exists: true) == [])
        #expect(
            RootCAPublisher.changes(namespace, existing: nil, ca: "PEM").created(.configMaps).first?["data"] == [
                "ca.crt": "PEM"
            ])
        let stale: JSON = ["metadata": ["name": "kube-root-ca.crt", "namespace": "n"], "data": ["ca.crt": "old"]]
        #expect(
            RootCAPublisher.changes(namespace, existing: stale, ca: "PEM").summaries == [
                "update configmaps kube-root-ca.crt"
            ])
        let ending: JSON = ["metadata": ["name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"]]
        #expect(ServiceAccountPlan.changes(ending, exists: false) == [])
    }

    @Test func `an aggregated role has the rules of those that its labels select`() {
        let rule: JSON = ["verbs": ["get"], "resources": ["pods"], "apiGroups": [""]]
        let role: JSON = [
            "metadata": ["name": "view"],
            "aggregationRule": ["clusterRoleSelectors": [["matchLabels": ["to-view": "true"]]]]
        ]
        let part: JSON = ["metadata": ["name": "part", "labels": ["to-view": "true"]], "rules": [rule]]
        let other: JSON = ["metadata": ["name": "other"], "rules": [["verbs": ["*"]]]]
        let changes = ClusterRoleAggregation.changes(role, all: [other, part, role])
        let updated = changes.updated(.clusterRoles)
        #expect(updated?["rules"] == [rule])
        #expect(ClusterRoleAggregation.changes(updated ?? .null, all: [other, part]) == [])
    }
}

struct CertificateTests {
    private func request(_ signer: String, user: String, usages: [JSON]) -> JSON {
        ["spec": ["signerName": .string(signer), "username": .string(user), "usages": .array(usages)]]
    }
    private let node = RequestedIdentity(commonName: "system:node:w1", organizations: ["system:nodes"])

    @Test func `a kubelet's client certificate is approved after a review`() {
        let usages: [JSON] = ["digital signature", "client auth"]
        let boot = request(CertificatePlan.clientSigner, user: "system:bootstrap:abc", usages: usages)
        #expect(
            CertificatePlan.approval(boot, node, approvesServing: true)
                == .ask(
                    subresource: "nodeclient",
                    message: "Auto approving kubelet client certificate after SubjectAccessReview."))
        let own = request(CertificatePlan.clientSigner, user: "system:node:w1", usages: usages)
        guard case .ask("selfnodeclient", _) = CertificatePlan.approval(own, node, approvesServing: true) else {
            Issue.record("not approved"); return
        }
    }

    @Test func `other names, usages and subjects are left to a human`() {
        let usages: [JSON] = ["client auth"]
        let admin = RequestedIdentity(commonName: "admin", organizations: ["system:masters"])
        let boot = request(CertificatePlan.clientSigner, user: "u", usages: usages)
        #expect(CertificatePlan.approval(boot, admin, approvesServing: true) == nil)
        #expect(CertificatePlan.approval(boot, nil, approvesServing: true) == nil)
        let server = request(CertificatePlan.clientSigner, user: "u", usages: ["server auth", "client auth"])
        #expect(CertificatePlan.approval(server, node, approvesServing: true) == nil)
        let masters = RequestedIdentity(commonName: "system:node:w1", organizations: ["system:nodes", "system:masters"])
        #expect(CertificatePlan.approval(boot, masters, approvesServing: true) == nil)
    }

    @Test func `only the node itself gets a serving certificate`() {
        let names = RequestedIdentity(
            commonName: "system:node:w1", organizations: ["system:nodes"], dnsNames: ["w1"], addresses: ["10.0.0.1"])
        let usages: [JSON] = ["server auth"]
        #expect(
            CertificatePlan.approval(
                request(CertificatePlan.servingSigner, user: "system:node:w2", usages: usages), names,
                approvesServing: true) == nil)
        #expect(
            CertificatePlan.approval(
                request(CertificatePlan.servingSigner, user: "system:node:w1", usages: usages), names,
                approvesServing: true) != nil)
        #expect(
            CertificatePlan.approval(
                request(CertificatePlan.servingSigner, user: "system:node:w1", usages: usages), names,
                approvesServing: false) == nil)
    }
}

struct TokenTests {
    private func token(_ data: JSON) -> BootstrapToken {
        BootstrapToken([
            "metadata": ["name": "bootstrap-token-abcdef", "namespace": "kube-system", "uid": "t"], "data": data
        ])
    }

    @Test func `a bootstrap token goes when its time is over`() {
        let ends = token(["expiration": "MjAyNS0wNi0xNVQxNTowNjo0MFo="])  // 2025-06-15T15:06:40Z
        #expect(ends.expiration == epoch)
        #expect(TokenCleaner.changes(ends, now: epoch - 5000).summaries == ["again 5000"])
        #expect(TokenCleaner.changes(ends, now: epoch).summaries == ["delete secrets bootstrap-token-abcdef"])
        #expect(TokenCleaner.changes(token([:]), now: epoch) == [])
    }
}
