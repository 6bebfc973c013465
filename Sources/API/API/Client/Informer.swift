// Keeps a local copy of a collection: list, then watch from the list's revision, list again when the history is gone,
// with back-off. Consumers hold compact values (made by `transform`), never whole trees. Changes are delivered in
// order, one at a time. It must never deliver a change that the local copy does not show yet, nor drop one silently.
import Synchronization

/// What happened to the local copy. `key` is `namespace/name`, or `name` for cluster-scoped objects.
package enum InformerChange<Value: Sendable>: Sendable {
    case added(key: String, Value)
    case updated(key: String, old: Value, new: Value)
    case deleted(key: String, Value)

    package var key: String {
        switch self {
        case .added(let key, _), .updated(let key, _, _), .deleted(let key, _): key
        }
    }
}

/// What an informer follows.
package struct InformerScope: Sendable, Hashable {
    package var resource: GroupVersionResource
    /// nil: all namespaces, or a cluster-scoped kind.
    package var namespace: String?
    package var labelSelector: String
    package var fieldSelector: String

    package init(
        _ resource: GroupVersionResource, namespace: String? = nil, labelSelector: String = "",
        fieldSelector: String = ""
    ) {
        self.resource = resource
        self.namespace = namespace
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
    }
}

/// A local copy of a collection that keeps itself up to date between `start()` and `stop()`.
package final class Informer<Value: Sendable>: Sendable {
    package typealias Handler = @Sendable (InformerChange<Value>) -> Void
    private let client: any ObjectClient
    private let scope: InformerScope
    private let transform: @Sendable (JSON) -> Value?
    private let state: Mutex<InformerState<Value>>
    /// Held while a change is made and delivered, so that handlers see changes in order.
    private let handlers: Mutex<[Handler]>

    /// `transform` makes the value that is kept; nil leaves the object out (it then counts as deleted).
    package init(_ client: any ObjectClient, _ scope: InformerScope, transform: @escaping @Sendable (JSON) -> Value?) {
        self.client = client
        self.scope = scope
        self.transform = transform
        state = Mutex(InformerState())
        handlers = Mutex([])
    }

    /// Adds a handler; it first gets what is there already as `.added`. Handlers run on the informer's task, may read
    /// the local copy, and must neither block nor add handlers.
    package func onChange(_ handler: @escaping Handler) {
        handlers.withLock { handlers in
            let values = state.withLock { $0.values }
            for (key, value) in values.sorted(by: { $0.key < $1.key }) { handler(.added(key: key, value)) }
            handlers.append(handler)
        }
    }

    /// Begins to follow; does nothing when it already does.
    package func start() {
        state.withLock { state in
            guard state.task == nil else { return }
            state.task = Task { [self] in await run() }
        }
    }

    /// Ends for good. The local copy stays as it is.
    package func stop() {
        let (task, waiters) = state.withLock { state in
            let waiters = state.syncWaiters
            state.syncWaiters = []
            return (state.task, waiters)
        }
        task?.cancel()
        for waiter in waiters { waiter.resume() }
    }

    /// Whether the first list has been delivered completely.
    package var hasSynced: Bool { state.withLock { $0.hasSynced } }

    /// Returns once the first list has been delivered, or the informer was stopped.
    package func waitForSync() async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if state.hasSynced || state.task?.isCancelled == true { return true }
                state.syncWaiters.append(continuation)
                return false
            }
            if isDone { continuation.resume() }
        }
    }

    package func get(_ key: String) -> Value? { state.withLock { $0.values[key] } }
    package var keys: [String] { state.withLock { $0.values.keys.sorted() } }
    /// All values, ordered by key.
    package var all: [Value] { state.withLock { state in state.values.sorted { $0.key < $1.key }.map(\.value) } }
    package var count: Int { state.withLock { $0.values.count } }
    /// The revision that the local copy shows.
    package var resourceVersion: String { state.withLock { $0.resourceVersion } }
    /// How often it had to list anew after the first list; for metrics and tests.
    package var relists: Int { state.withLock { max(0, $0.lists - 1) } }

    /// The key of an object.
    package static func key(of object: JSON) -> String {
        object.namespace.isEmpty ? object.name : "\(object.namespace)/\(object.name)"
    }
}

extension Informer where Value == JSON {
    /// Keeps whole trees: for tests and small collections only.
    package convenience init(_ client: any ObjectClient, _ scope: InformerScope) {
        self.init(client, scope) { $0 }
    }
}

struct InformerState<Value: Sendable> {
    var values: [String: Value] = [:]
    var hasSynced = false
    var syncWaiters: [CheckedContinuation<Void, Never>] = []
    var task: Task<Void, Never>?
    var resourceVersion = ""
    var lists = 0
}

// The loop.
extension Informer {
    private static var backoffSecondsMin: Double { 0.01 }
    private static var backoffSecondsMax: Double { 5 }
    private static var pageItems: Int { 500 }

    private func run() async {
        var delay = Self.backoffSecondsMin
        while !Task.isCancelled {
            let began = ContinuousClock.now
            do {
                if resourceVersion.isEmpty { try await relist() }
                try await follow()
            } catch let error as StatusError where error.isExpired {
                state.withLock { $0.resourceVersion = "" }
            } catch {
                // Refused, or nobody answers: the same again, after the delay that every round ends with.
                delay = max(delay, Self.backoffSecondsMin * 2)
            }
            // A watch that held for a while ended in the normal course of things; quick ends in a row mean trouble.
            let held = ContinuousClock.now - began >= .seconds(1)
            delay = held ? Self.backoffSecondsMin : min(delay * 2, Self.backoffSecondsMax)
            await Self.sleep(seconds: delay * Double.random(in: 0.5...1))
        }
    }

    /// A cancelled sleep just ends early: the loop looks at the cancellation itself.
    private static func sleep(seconds: Double) async {
        do { try await Task.sleep(for: .seconds(seconds)) } catch { return }
    }

    private func relist() async throws(StatusError) {
        var options = ListOptions(
            labelSelector: scope.labelSelector, fieldSelector: scope.fieldSelector, limit: Self.pageItems)
        var found: [String: Value] = [:]
        var version = ""
        repeat {
            let page = try await client.list(scope.resource, namespace: scope.namespace, options)
            for item in page.items {
                if let value = transform(item) { found[Self.key(of: item)] = value }
            }
            version = page.resourceVersion
            options.continueToken = page.continueToken
        } while !options.continueToken.isEmpty
        replace(with: found, at: version)
    }

    private func replace(with found: [String: Value], at version: String) {
        commit { state in
            let gone = state.values.keys.filter { found[$0] == nil }.sorted()
            let removed = gone.compactMap { state.remove($0) }
            let kept = found.sorted { $0.key < $1.key }.map { state.set($0.key, $0.value) }
            state.resourceVersion = version
            state.lists += 1
            return removed + kept
        }
        let waiters = state.withLock { state in
            state.hasSynced = true
            let waiters = state.syncWaiters
            state.syncWaiters = []
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Makes a change visible, then delivers it.
    private func commit(_ change: (inout InformerState<Value>) -> [InformerChange<Value>]) {
        handlers.withLock { handlers in
            let changes = state.withLock { change(&$0) }
            for change in changes {
                for handler in handlers { handler(change) }
            }
        }
    }

    private func follow() async throws {
        let options = ListOptions(
            labelSelector: scope.labelSelector, fieldSelector: scope.fieldSelector, resourceVersion: resourceVersion)
        let events = try await client.watch(scope.resource, namespace: scope.namespace, options)
        for try await event in events {
            if Task.isCancelled { return }
            apply(event)
        }
    }

    private func apply(_ event: WatchEvent) {
        switch event {
        case .added(let object), .modified(let object):
            let value = transform(object)
            let key = Self.key(of: object)
            commit { state in
                state.advance(to: object.resourceVersion)
                return value.map { [state.set(key, $0)] } ?? [state.remove(key)].compactMap { $0 }
            }
        case .deleted(let object):
            let key = Self.key(of: object)
            commit { state in
                state.advance(to: object.resourceVersion)
                return [state.remove(key)].compactMap { $0 }
            }
        case .bookmark(let version): state.withLock { $0.advance(to: version) }
        }
    }
}

extension InformerState {
    mutating func set(_ key: String, _ value: Value) -> InformerChange<Value> {
        let old = values.updateValue(value, forKey: key)
        return old.map { .updated(key: key, old: $0, new: value) } ?? .added(key: key, value)
    }

    mutating func remove(_ key: String) -> InformerChange<Value>? {
        values.removeValue(forKey: key).map { .deleted(key: key, $0) }
    }

    mutating func advance(to version: String) {
        if !version.isEmpty { resourceVersion = version }
    }
}
