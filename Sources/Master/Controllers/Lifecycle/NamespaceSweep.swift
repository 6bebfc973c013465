// Empties a namespace that is being deleted: everything in it is deleted, resource by resource, and when nothing is
// left the finalizer goes. Conditions tell what is still in the way. The sweep itself talks to the API server; what it
// found becomes conditions in a pure function.

import API

/// What is left of one resource in a namespace.
package struct Remainder: Sendable, Hashable {
    package var resource: GroupVersionResource
    package var count: Int
    /// How many objects wait for each finalizer.
    package var finalizers: [String: Int]
    /// Why it could not be deleted or listed.
    package var error: String

    package init(_ resource: GroupVersionResource, count: Int = 0, finalizers: [String: Int] = [:], error: String = "")
    {
        self.resource = resource
        self.count = count
        self.finalizers = finalizers
        self.error = error
    }
}

/// The conditions of a namespace under deletion. Pure.
package enum NamespaceConditions {
    package static func make(_ remainders: [Remainder], now: Int64) -> [JSON] {
        let errors = remainders.filter { !$0.error.isEmpty }.map(\.error).sorted()
        let left = remainders.filter { $0.count > 0 }.sorted { $0.resource.groupResource < $1.resource.groupResource }
        let finalizers = Dictionary(left.flatMap(\.finalizers), uniquingKeysWith: +).sorted { $0.key < $1.key }
        func condition(
            _ type: String, _ isTrue: Bool, _ reasons: (String, String), _ messages: (String, String)
        )
            -> JSON
        {
            Conditions.make(
                type, isTrue ? "True" : "False", isTrue ? reasons.0 : reasons.1, isTrue ? messages.0 : messages.1,
                now: now)
        }
        let remaining = left.map { "\(dotted($0.resource)) has \($0.count) resource instances" }.joined(separator: ", ")
        let waiting = finalizers.map { "\($0.key) in \($0.value) resource instances" }.joined(separator: ", ")
        return [
            condition(
                "NamespaceDeletionDiscoveryFailure", false, ("DiscoveryFailed", "ResourcesDiscovered"),
                ("", "All resources successfully discovered")),
            condition(
                "NamespaceDeletionGroupVersionParsingFailure", false,
                ("GroupVersionParsingFailed", "ParsedGroupVersions"), ("", "All legacy kube types successfully parsed")),
            condition(
                "NamespaceDeletionContentFailure", !errors.isEmpty, ("ContentDeletionFailed", "ContentDeleted"),
                (
                    "Failed to delete all resource types, \(errors.count) remaining: \(errors.joined(separator: ", "))",
                    "All content successfully deleted, may be waiting on finalization"
                )),
            condition(
                "NamespaceContentRemaining", !left.isEmpty, ("SomeResourcesRemain", "ContentRemoved"),
                ("Some resources are remaining: \(remaining)", "All content successfully removed")),
            condition(
                "NamespaceFinalizersRemaining", !finalizers.isEmpty, ("SomeFinalizersRemain", "ContentHasNoFinalizers"),
                (
                    "Some content in the namespace has finalizers remaining: \(waiting)",
                    "All content-preserving finalizers finished"
                ))
        ]
    }

    /// `pods.` or `deployments.apps`, as upstream writes resources here.
    private static func dotted(_ resource: GroupVersionResource) -> String { "\(resource.resource).\(resource.group)" }
}

/// Empties one namespace.
struct NamespaceSweep: Sendable {
    static let waitMilliseconds: Int64 = 500
    let resources: [ServedResource]

    init(_ resources: [ServedResource]) {
        self.resources = resources.filter {
            $0.isNamespaced && $0.allows("list") && ($0.allows("deletecollection") || $0.allows("delete"))
        }
        .sorted {
            ($0.resource.resource == "pods" ? 0 : 1, $0.resource.description) < (
                $1.resource.resource == "pods" ? 0 : 1, $1.resource.description
            )
        }
    }

    func run(_ namespace: JSON, _ session: Session) async -> Performed {
        guard namespace.isBeingDeleted else { return Performed() }
        let finalizers = (namespace["spec", "finalizers"]?.elements ?? []).compactMap(\.string)
        guard finalizers.contains("kubernetes") else { return Performed() }
        var remainders: [Remainder] = []
        for resource in resources { remainders.append(await empty(resource, namespace.name, session)) }
        var performed = await report(namespace, remainders, session)
        if remainders.contains(where: { $0.count > 0 || !$0.error.isEmpty }) {
            performed.again = Self.waitMilliseconds
            return performed
        }
        return await finalize(namespace, finalizers, session)
    }

    private func empty(_ served: ServedResource, _ namespace: String, _ session: Session) async -> Remainder {
        let resource = served.resource
        do throws(StatusError) {
            if served.allows("deletecollection") {
                try await session.client.deleteCollection(
                    resource, namespace: namespace, ListOptions(), DeleteOptions(propagationPolicy: "Background"))
            }
            let left = try await session.client.list(resource, namespace: namespace, ListOptions()).items
            if !served.allows("deletecollection") {
                for item in left {
                    let target = Target(namespace: namespace, name: item.name, uid: item.uid)
                    _ = await session.perform([.delete(resource, target, DeleteOptions(uid: item.uid))])
                }
            }
            let finalizers = Dictionary(left.flatMap(\.finalizers).map { ($0, 1) }, uniquingKeysWith: +)
            return Remainder(resource, count: left.count, finalizers: finalizers)
        } catch {
            if error.isNotFound || error.code == 405 { return Remainder(resource) }
            return Remainder(resource, error: error.message)
        }
    }

    private func report(_ namespace: JSON, _ remainders: [Remainder], _ session: Session) async -> Performed {
        var conditions = namespace["status", "conditions"]?.elements ?? []
        for condition in NamespaceConditions.make(remainders, now: session.now()) {
            if let i = conditions.firstIndex(where: { $0["type"] == condition["type"] }) {
                let isSame = ["status", "reason", "message"].allSatisfy { conditions[i][$0] == condition[$0] }
                if !isSame { conditions[i] = condition }
            } else {
                conditions.append(condition)
            }
        }
        guard conditions != namespace["status", "conditions"]?.elements else { return Performed() }
        var object = namespace
        object["status", "conditions"] = .array(conditions)
        var performed = await session.perform([.updateStatus(.namespaces, object)])
        performed.failures.removeAll { $0.error.isConflict || $0.error.isNotFound }
        return performed
    }

    private func finalize(_ namespace: JSON, _ finalizers: [String], _ session: Session) async -> Performed {
        var object = namespace
        object["metadata", "resourceVersion"] = nil
        object["spec", "finalizers"] = .array(finalizers.filter { $0 != "kubernetes" }.map(JSON.string))
        var performed = await session.perform([.update(.namespaces, object, subresource: "finalize")])
        performed.failures.removeAll { $0.error.isNotFound }
        return performed
    }
}
