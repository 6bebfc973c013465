// Reads whole trees out of a view, for admission, authorization and kind behaviour. Trees are kept while they are
// current, bounded in number, since the same few roles and accounts are asked for with every request.
import API
import KVCore
import Synchronization

/// Reads objects at one revision.
package struct ViewReader: ObjectReader {
    package let view: KVView
    let schema: SchemaTable
    let trees: TreeCache
    package var stamp: Int64?

    package func get(_ resource: GroupVersionResource, namespace: String?, name: String) -> JSON? {
        guard let kind = schema.resource(resource)?.kind else { return nil }
        return view.get(StoreKey.object(resource, namespace: namespace, name: name)).flatMap { trees.tree($0, kind) }
    }

    package func list(_ resource: GroupVersionResource, namespace: String?) -> [JSON] {
        guard let kind = schema.resource(resource)?.kind else { return [] }
        var items: [JSON] = []
        view.forEach(.prefix(Key(StoreKey.prefix(resource, namespace: namespace)))) { kv in
            if let tree = trees.tree(kv, kind) { items.append(tree) }
            return true
        }
        return items
    }
}

/// Parsed trees by key and revision.
package final class TreeCache: Sendable {
    /// Of the stored bytes whose trees are kept; a tree takes several times as much.
    static let storedBytesMax = 1 << 20

    private struct Entry {
        var revision: Revision
        var apiVersion: String
        var tree: JSON
    }
    private struct Kept {
        var entries: [Key: Entry] = [:]
        var storedBytes = 0
    }
    private let kept = Mutex(Kept())

    func tree(_ kv: KeyValue, _ kind: GroupVersionKind) -> JSON? {
        let apiVersion = kind.apiVersion
        let found = kept.withLock { $0.entries[kv.key] }
        if let found, found.revision == kv.modRevision, found.apiVersion == apiVersion { return found.tree }
        guard let tree = StoredObject(kv.value, revision: kv.modRevision)?.tree(kind) else { return nil }
        kept.withLock { kept in
            if kept.storedBytes + kv.value.count > Self.storedBytesMax { kept = Kept() }
            kept.storedBytes += kv.value.count
            kept.entries[kv.key] = Entry(revision: kv.modRevision, apiVersion: apiVersion, tree: tree)
        }
        return tree
    }
}
