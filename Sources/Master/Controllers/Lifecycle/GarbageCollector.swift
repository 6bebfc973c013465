// The garbage collector's shell: metadata of everything that is served flows into the graph on every master; while this
// master leads, each touched object is judged and the verdict carried out. An object is deleted only after its owner
// was found missing by asking the API server, never because a cache does not show it.

import API
import Synchronization

/// Deletes what has lost its owners; finishes foreground and orphan deletions.
final class GarbageCollector: Sendable {
    private let resources: [GroupVersionKind: ServedResource]
    private let informers: [Informer<OwnedObject>]
    private let graph = Mutex(OwnerGraph())
    private let enqueue = Mutex<(@Sendable (String) -> Void)?>(nil)

    init(_ client: any ObjectClient, _ served: [ServedResource]) {
        resources = Dictionary(served.map { ($0.kind, $0) }, uniquingKeysWith: { first, _ in first })
        informers = served.filter { $0.allows("list") && $0.allows("watch") && $0.resource.resource != "events" }.map {
            served in
            let resource = served.resource
            return Informer(client, InformerScope(resource)) { OwnedObject(resource, $0) }
        }
        for informer in informers { informer.onChange { [weak self] in self?.apply($0) } }
    }

    func start(enqueue: @escaping @Sendable (String) -> Void) {
        self.enqueue.withLock { $0 = enqueue }
        for informer in informers { informer.start() }
    }

    func stop() { for informer in informers { informer.stop() } }

    func waitForSync() async { for informer in informers { await informer.waitForSync() } }

    /// Everything that has owners or is being deleted is looked at when leadership begins.
    var keys: [String] {
        informers.flatMap { $0.all.filter { !$0.owners.isEmpty || $0.isBeingDeleted }.map(\.target.uid) }
    }

    private func apply(_ change: InformerChange<OwnedObject>) {
        let touched = graph.withLock { graph in
            switch change {
            case .added(_, let object): graph.set(object)
            case .updated(_, let old, let new):
                (old.target.uid == new.target.uid ? [] : graph.remove(old.target.uid)) + graph.set(new)
            case .deleted(_, let object): graph.remove(object.target.uid)
            }
        }
        guard !touched.isEmpty, let enqueue = enqueue.withLock({ $0 }) else { return }
        for uid in touched { enqueue(uid) }
    }

    func work(_ uid: String, _ session: Session) async -> Performed {
        guard let object = graph.withLock({ $0.object(uid) }) else { return Performed() }
        if object.isBeingDeleted {
            if object.orphans { return await orphan(object, session) }
            if object.isForeground { return await finishForeground(object, session) }
            return Performed()
        }
        return await judge(object, session)
    }

    private func judge(_ object: OwnedObject, _ session: Session) async -> Performed {
        var absent: Set<String> = []
        while true {
            switch graph.withLock({ $0.verdict(object.target.uid, absent: absent) }) {
            case .keep: return Performed()
            case .lookUp(let owners):
                for owner in owners {
                    guard let isAbsent = await isAbsent(owner, for: object, session) else {
                        return Performed(again: 1000)
                    }
                    if isAbsent { absent.insert(owner.uid) } else { return Performed() }
                }
            case .dropReferences(let owners): return await patchOwners(of: object, session) { owners.contains($0) }
            case .delete(let policy):
                let options = DeleteOptions(propagationPolicy: policy, uid: object.target.uid)
                return await session.perform([.delete(object.resource, object.target, options)])
            }
        }
    }

    /// nil when nobody can say; an owner of a kind that is not served counts as present, so that nothing is lost.
    private func isAbsent(_ owner: OwnedObject.Reference, for object: OwnedObject, _ session: Session) async -> Bool? {
        let kind = GroupVersionKind(apiVersion: owner.apiVersion, kind: owner.kind)
        guard
            let served = resources[kind]
                ?? resources.values.first(where: { $0.kind.group == kind.group && $0.kind.kind == kind.kind })
        else {
            return false
        }
        if served.isNamespaced && object.target.namespace.isEmpty { return false }
        do throws(StatusError) {
            let found = try await session.client.get(
                served.resource, namespace: served.isNamespaced ? object.target.namespace : nil, name: owner.name)
            return found.uid != owner.uid
        } catch {
            return error.isNotFound ? true : nil
        }
    }

    private func finishForeground(_ object: OwnedObject, _ session: Session) async -> Performed {
        let (isBlocked, dependents) = graph.withLock {
            ($0.isBlocked(object.target.uid), $0.dependents(of: object.target.uid))
        }
        if isBlocked {
            if let enqueue = enqueue.withLock({ $0 }) { for uid in dependents { enqueue(uid) } }
            return Performed(again: 2000)
        }
        return await removeFinalizer("foregroundDeletion", object, session)
    }

    private func orphan(_ object: OwnedObject, _ session: Session) async -> Performed {
        let dependents = graph.withLock { graph in
            graph.dependents(of: object.target.uid).compactMap { graph.object($0) }
        }
        for dependent in dependents {
            let performed = await patchOwners(of: dependent, session) { $0 == object.target.uid }
            if !performed.failures.isEmpty { return performed }
        }
        return await removeFinalizer("orphan", object, session)
    }

    /// Takes owner references out, guarded by the version that was just read.
    private func patchOwners(of object: OwnedObject, _ session: Session, _ drops: (String) -> Bool) async -> Performed {
        await rewrite(object, session) { tree in
            tree["ownerReferences"] = .array(
                tree["ownerReferences"]?.elements.filter { !drops($0["uid"]?.string ?? "") } ?? [])
        }
    }

    private func removeFinalizer(_ name: String, _ object: OwnedObject, _ session: Session) async -> Performed {
        await rewrite(object, session) { tree in
            tree["finalizers"] = .array(tree["finalizers"]?.elements.filter { $0.string != name } ?? [])
        }
    }

    /// Reads the metadata, changes two lists in it and patches them back under the version read.
    private func rewrite(_ object: OwnedObject, _ session: Session, _ change: (inout JSON) -> Void) async -> Performed {
        do throws(StatusError) {
            let namespace = object.target.namespace.isEmpty ? nil : object.target.namespace
            let tree = try await session.client.get(object.resource, namespace: namespace, name: object.target.name)
            guard tree.uid == object.target.uid, var metadata = tree["metadata"] else { return Performed() }
            change(&metadata)
            guard metadata != tree["metadata"] else { return Performed() }
            let patch: JSON = [
                "metadata": [
                    "resourceVersion": .string(tree.resourceVersion),
                    "ownerReferences": metadata["ownerReferences"] ?? .null,
                    "finalizers": metadata["finalizers"] ?? .null
                ]
            ]
            return await session.perform([.patch(object.resource, object.target, .merge, patch)])
        } catch {
            if error.isNotFound { return Performed() }
            let change = Change.patch(object.resource, object.target, .merge, [:])
            return Performed(failures: [.init(change: change, error: error)])
        }
    }
}
