// Who owns whom: one node for each object of the cluster, from its metadata alone, with the edges that owner references
// are. Answers what is to be done with an object whose owners are gone or going. Pure; it never asks the API server
// itself, but says which owners must be looked up before an object may be deleted.

import API

/// An object's metadata as the garbage collector keeps it.
package struct OwnedObject: Sendable, Hashable {
    package struct Reference: Sendable, Hashable {
        package var apiVersion: String
        package var kind: String
        package var name: String
        package var uid: String
        package var blocks: Bool
    }

    package var resource: GroupVersionResource
    package var target: Target
    package var owners: [Reference]
    package var isBeingDeleted: Bool
    package var isForeground: Bool
    package var orphans: Bool
    package var resourceVersion: String

    package init(_ resource: GroupVersionResource, _ tree: JSON) {
        self.resource = resource
        target = Target(tree)
        owners = tree.ownerReferences.map {
            Reference(
                apiVersion: $0["apiVersion"]?.string ?? "", kind: $0["kind"]?.string ?? "",
                name: $0["name"]?.string ?? "",
                uid: $0["uid"]?.string ?? "", blocks: $0["blockOwnerDeletion"]?.bool ?? false)
        }
        isBeingDeleted = tree.isBeingDeleted
        isForeground = tree.finalizers.contains("foregroundDeletion")
        orphans = tree.finalizers.contains("orphan")
        resourceVersion = tree.resourceVersion
    }

    /// Worth keeping only when it owns or is owned; all are kept, since owners are asked for by uid.
    var key: String { "\(resource) \(target.namespace)/\(target.name)" }
}

/// What an object's owners say about it.
package enum OwnerVerdict: Sendable, Hashable {
    /// Nothing to do.
    case keep
    /// Owners that the graph does not know: look them up, then ask again with the answers.
    case lookUp([OwnedObject.Reference])
    /// Some owners live: references to the others are taken out.
    case dropReferences([String])
    /// No owner is left. The policy keeps what the object's own finalizers ask for.
    case delete(policy: String)
}

/// All objects by uid.
package struct OwnerGraph: Sendable {
    private var objects: [String: OwnedObject] = [:]
    private var dependents: [String: Set<String>] = [:]

    package init() {}

    package var count: Int { objects.count }

    package func object(_ uid: String) -> OwnedObject? { objects[uid] }

    /// Uids of the objects that name an owner, ordered.
    package func dependents(of uid: String) -> [String] { (dependents[uid] ?? []).sorted() }

    /// Adds or changes an object; returns the uids that should be looked at.
    package mutating func set(_ object: OwnedObject) -> [String] {
        let uid = object.target.uid
        let before = objects.updateValue(object, forKey: uid)
        let old = Set(before?.owners.map(\.uid) ?? [])
        let new = Set(object.owners.map(\.uid))
        for owner in old.subtracting(new) { unlink(uid, from: owner) }
        for owner in new.subtracting(old) { dependents[owner, default: []].insert(uid) }
        var touched: [String] = []
        if !object.owners.isEmpty || object.isBeingDeleted { touched.append(uid) }
        if object.isBeingDeleted && object.isForeground { touched += dependents(of: uid) }
        // An owner that waits for its dependents must hear that one of them no longer blocks.
        touched += old.subtracting(new).sorted().filter { objects[$0]?.isBeingDeleted == true }
        return touched
    }

    /// The object is gone; returns the uids that should be looked at.
    package mutating func remove(_ uid: String) -> [String] {
        guard let object = objects.removeValue(forKey: uid) else { return [] }
        for owner in object.owners { unlink(uid, from: owner.uid) }
        let waiting = object.owners.map(\.uid).filter { objects[$0]?.isBeingDeleted == true }
        return dependents(of: uid) + waiting
    }

    private mutating func unlink(_ uid: String, from owner: String) {
        dependents[owner]?.remove(uid)
        if dependents[owner]?.isEmpty == true { dependents[owner] = nil }
    }

    /// `absent`: owners (by uid) that a look-up has found missing.
    package func verdict(_ uid: String, absent: Set<String>) -> OwnerVerdict {
        guard let object = objects[uid], !object.isBeingDeleted, !object.owners.isEmpty else { return .keep }
        var solid: [String] = []
        var dangling: [String] = []
        var waiting: [String] = []
        var unknown: [OwnedObject.Reference] = []
        for owner in object.owners {
            if let known = objects[owner.uid], reaches(known, object), known.target.name == owner.name {
                let waits = known.isBeingDeleted && known.isForeground
                if waits { waiting.append(owner.uid) } else { solid.append(owner.uid) }
            } else if absent.contains(owner.uid) {
                dangling.append(owner.uid)
            } else {
                unknown.append(owner)
            }
        }
        if !unknown.isEmpty { return .lookUp(unknown) }
        if !solid.isEmpty { return dangling.isEmpty && waiting.isEmpty ? .keep : .dropReferences(dangling + waiting) }
        if object.orphans { return .delete(policy: "Orphan") }
        let blocksItself = !waiting.isEmpty && !(dependents[uid] ?? []).isEmpty
        return .delete(policy: object.isForeground || blocksItself ? "Foreground" : "Background")
    }

    /// An owner is cluster-scoped or lives in the same namespace.
    private func reaches(_ owner: OwnedObject, _ object: OwnedObject) -> Bool {
        owner.target.namespace.isEmpty || owner.target.namespace == object.target.namespace
    }

    /// Of an object deleted in the foreground: whether dependents still hold it back.
    package func isBlocked(_ uid: String) -> Bool {
        (dependents[uid] ?? []).contains { dependent in
            objects[dependent]?.owners.contains { $0.uid == uid && $0.blocks } ?? false
        }
    }
}
