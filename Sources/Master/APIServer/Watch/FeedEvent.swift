// One change of one object on its way to all its watchers: parsed at most once, encoded at most once per (type,
// representation). Confined to the feed's event loop. It must never be changed after a watcher has seen it.
import API
import KVCore
import NIOCore

/// What a watcher is told.
package enum WatchEventType: String, Sendable {
    case added = "ADDED"
    case modified = "MODIFIED"
    case deleted = "DELETED"
}

/// A stored object with what selectors ask of it, read lazily.
final class FeedObject {
    let stored: StoredObject
    let namespace: String
    let name: String
    private var cachedLabels: [String: String]?
    private var cachedTree: JSON?

    init(stored: StoredObject, namespace: String, name: String) {
        self.stored = stored
        self.namespace = namespace
        self.name = name
    }

    var labels: [String: String] {
        if let cachedLabels { return cachedLabels }
        let labels = stored.labels
        cachedLabels = labels
        return labels
    }

    /// Forgets what was read out of the bytes.
    func settle() {
        cachedLabels = nil
        cachedTree = nil
    }

    func tree(_ kind: GroupVersionKind) -> JSON {
        if let cachedTree, cachedTree.apiVersion == kind.apiVersion { return cachedTree }
        let tree = stored.tree(kind) ?? .null
        cachedTree = tree
        return tree
    }
}

/// A change.
final class FeedEvent {
    let revision: Revision
    let current: FeedObject?
    let previous: FeedObject?
    private var encoded: [EncodingKey: ByteBuffer] = [:]

    struct EncodingKey: Hashable {
        var type: WatchEventType
        var apiVersion: String
        var representation: Representation
        var rows: RowObject
        var includesColumns: Bool
    }

    init(revision: Revision, current: FeedObject?, previous: FeedObject?) {
        self.revision = revision
        self.current = current
        self.previous = previous
    }

    /// The bytes of this event, made by `make` the first time.
    func bytes(_ key: EncodingKey, _ make: () -> ByteBuffer) -> ByteBuffer {
        if let found = encoded[key] { return found }
        let made = make()
        encoded[key] = made
        return made
    }

    /// All watchers have it: only the stored bytes are kept, for those who come later.
    func settle() {
        encoded = [:]
        current?.settle()
        previous?.settle()
    }

    /// What a watcher with a filter sees: an object that enters the selection is added, one that leaves it is deleted.
    func seen(_ filter: ObjectFilter) -> (WatchEventType, FeedObject)? {
        let before = previous.flatMap { filter.matches($0) ? $0 : nil }
        let after = current.flatMap { filter.matches($0) ? $0 : nil }
        switch (before, after) {
        case (nil, nil): return nil
        case (nil, let object?): return (.added, object)
        case (_?, let object?): return (.modified, object)
        case (let object?, nil): return (.deleted, object)
        }
    }
}

extension FeedEvent {
    /// Takes a store event apart; nil when neither side is an object in our format.
    convenience init?(_ event: KVEvent, resourcePrefixCount: Int, isNamespaced: Bool) {
        guard let (namespace, name) = ObjectKey.split(event.current.key, resourcePrefixCount, isNamespaced) else {
            return nil
        }
        func object(_ kv: KeyValue?) -> FeedObject? {
            guard let kv, let stored = StoredObject(kv.value, revision: kv.modRevision) else { return nil }
            return FeedObject(stored: stored, namespace: namespace, name: name)
        }
        let current = event.kind == .put ? object(event.current) : nil
        let previous = object(event.previous)
        guard current != nil || previous != nil else { return nil }
        self.init(revision: event.current.modRevision, current: current, previous: previous)
    }
}

/// Namespace and name out of a key.
enum ObjectKey {
    static func split(_ key: Key, _ prefixCount: Int, _ isNamespaced: Bool) -> (namespace: String, name: String)? {
        guard key.bytes.count > prefixCount else { return nil }
        let rest = key.bytes[prefixCount...]
        guard isNamespaced else { return ("", String(decoding: rest, as: UTF8.self)) }
        guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return nil }
        return (String(decoding: rest[..<slash], as: UTF8.self), String(decoding: rest[(slash + 1)...], as: UTF8.self))
    }
}
