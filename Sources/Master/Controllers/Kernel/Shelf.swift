// A cache of one kind of object: an informer and indexes over what it holds, so that a plan finds its world without
// walking all. It is filled on every master, whether that leads or not. Handlers run in the order of changes and must
// not block.

import API
import Synchronization

/// What `Caches` asks of every shelf.
package protocol AnyShelf: Sendable {
    var resource: GroupVersionResource { get }
    var revision: UInt64 { get }
    func showsAlive(_ target: Target) -> Bool
    func start()
    func stop()
    func waitForSync() async
}

/// Values of one resource by key, and by whatever `indexes` names for each.
package final class Shelf<Value: Sendable>: AnyShelf {
    struct Content: Sendable {
        var values: [String: Value] = [:]
        var index: [String: Set<String>] = [:]
    }

    package let resource: GroupVersionResource
    private let informer: Informer<Value>
    private let content = Shared(Content())
    private let identity: @Sendable (Value) -> (uid: String, isBeingDeleted: Bool)

    init(
        _ client: any ObjectClient, _ scope: InformerScope, transform: @escaping @Sendable (JSON) -> Value?,
        identity: @escaping @Sendable (Value) -> (uid: String, isBeingDeleted: Bool),
        indexes: @escaping @Sendable (Value) -> [String] = { _ in [] }
    ) {
        resource = scope.resource
        self.identity = identity
        informer = Informer(client, scope, transform: transform)
        informer.onChange { [content] change in
            content.withLock { content in
                switch change {
                case .added(let key, let value): content.set(key, nil, value, indexes)
                case .updated(let key, let old, let new): content.set(key, old, new, indexes)
                case .deleted(let key, let old): content.set(key, old, nil, indexes)
                }
            }
        }
    }

    /// The handler gets the key, and the value before and after.
    func onChange(_ handler: @escaping @Sendable (String, Value?, Value?) -> Void) {
        informer.onChange { change in
            switch change {
            case .added(let key, let value): handler(key, nil, value)
            case .updated(let key, let old, let new): handler(key, old, new)
            case .deleted(let key, let old): handler(key, old, nil)
            }
        }
    }

    package func get(_ key: String) -> Value? { content.withLock { $0.values[key] } }
    package var keys: [String] { content.withLock { $0.values.keys.sorted() } }
    /// Ordered by key.
    package var all: [Value] { content.withLock { content in content.values.sorted { $0.key < $1.key }.map(\.value) } }

    /// The values under an index entry, ordered by key.
    package func values(_ entry: String) -> [Value] {
        content.withLock { content in (content.index[entry] ?? []).sorted().compactMap { content.values[$0] } }
    }

    /// What a controller of the namespace may have a word about: what it owns, and what nobody owns.
    package func family(of owner: JSON) -> [Value] {
        values("owner:\(owner.uid)") + values("orphan:\(owner.namespace)")
    }

    package var revision: UInt64 { UInt64(informer.resourceVersion) ?? 0 }

    package func showsAlive(_ target: Target) -> Bool {
        guard let value = get(target.namespace.isEmpty ? target.name : "\(target.namespace)/\(target.name)") else {
            return false
        }
        let identity = identity(value)
        return identity.uid == target.uid && !identity.isBeingDeleted
    }

    package func start() { informer.start() }
    package func stop() { informer.stop() }
    package func waitForSync() async { await informer.waitForSync() }
}

extension Shelf.Content {
    mutating func set(_ key: String, _ old: Value?, _ new: Value?, _ indexes: (Value) -> [String]) {
        values[key] = new
        let before = Set(old.map(indexes) ?? [])
        let after = Set(new.map(indexes) ?? [])
        for entry in before.subtracting(after) {
            index[entry]?.remove(key)
            if index[entry]?.isEmpty == true { index[entry] = nil }
        }
        for entry in after.subtracting(before) { index[entry, default: []].insert(key) }
    }
}

extension Shelf where Value == JSON {
    /// Whole trees without managedFields, indexed by namespace and controller.
    static func trees(_ client: any ObjectClient, _ scope: InformerScope) -> Shelf<JSON> {
        Shelf(
            client, scope,
            transform: { tree in
                var tree = tree
                tree["metadata", "managedFields"] = nil
                return tree
            }, identity: { ($0.uid, $0.isBeingDeleted) },
            indexes: { tree in
                let owner = tree.controllerReference?["uid"]?.string
                return ["ns:\(tree.namespace)", owner.map { "owner:\($0)" } ?? "orphan:\(tree.namespace)"]
            })
    }
}

/// A value that several closures share.
final class Shared<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    init(_ value: Value) { mutex = Mutex(value) }

    func withLock<R: Sendable>(_ body: (inout Value) -> R) -> R { mutex.withLock { body(&$0) } }
}
