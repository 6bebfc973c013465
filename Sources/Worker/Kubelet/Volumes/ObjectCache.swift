// ConfigMaps and Secrets that pods of this node use. Those that volumes show are followed, each by a watch of its own, since a
// node may only read objects that its pods name; others are read when needed and remembered for a short while.
// When the API is away the last known value serves, so that a container can be restarted without it.
import API
import Synchronization

package final class ObjectCache: Sendable {
    package static let freshFor: Nanoseconds = .seconds(10)
    package static let entriesMax = 4096
    /// Objects that are followed; what is beyond is looked at now and then.
    package static let followedMax = 1024

    private typealias Follower = Informer<KeyedBytes>
    private struct Entry {
        var value: KeyedBytes?
        var readAt: Nanoseconds
    }

    private let client: any ObjectClient
    private let entries = Mutex<[ObjectName: Entry]>([:])
    private let followers = Mutex<[ObjectName: Follower]>([:])
    private let handler = Mutex<(@Sendable (ObjectName) -> Void)?>(nil)

    package init(client: any ObjectClient) { self.client = client }

    /// Called with the name of a followed object whose content is another one than was last handed out.
    package func onChange(_ handler: @escaping @Sendable (ObjectName) -> Void) {
        self.handler.withLock { $0 = handler }
    }

    /// Follows exactly these from now on.
    package func follow(_ names: Set<ObjectName>) {
        let (begun, ended) = followers.withLock { followers in
            let ended = followers.filter { !names.contains($0.key) }
            for name in ended.keys { followers[name] = nil }
            var begun: [Follower] = []
            for name in names where followers[name] == nil && followers.count < Self.followedMax {
                let follower = follower(of: name)
                followers[name] = follower
                begun.append(follower)
            }
            return (begun, Array(ended.values))
        }
        for follower in begun { follower.start() }
        for follower in ended { follower.stop() }
    }

    private func follower(of name: ObjectName) -> Follower {
        let scope = InformerScope(
            Self.resource(name), namespace: name.namespace, fieldSelector: "metadata.name=\(name.name)")
        let follower = Follower(client, scope) { $0.name == name.name ? Self.bytes(of: $0, name.kind) : nil }
        follower.onChange { [weak self] change in
            switch change {
            case .added(_, let value), .updated(_, _, let value): self?.learned(name, value)
            case .deleted: break  // what is shown stays until the object is there again
            }
        }
        return follower
    }

    private func learned(_ name: ObjectName, _ value: KeyedBytes) {
        let isNews = entries.withLock { entries in
            guard let known = entries[name], known.value != value else { return false }
            return true
        }
        remember(name, value, Clock.now())
        if isNews { handler.withLock { $0 }?(name) }
    }

    private static func resource(_ name: ObjectName) -> GroupVersionResource {
        name.kind == .configMap ? .configMaps : .secrets
    }

    /// The object's keys; nil when it does not exist. Throws when nobody can say and nothing is remembered.
    package func get(_ name: ObjectName, mustBeFresh: Bool = false) async throws(StatusError) -> KeyedBytes? {
        let now = Clock.now()
        if !mustBeFresh, let value = followers.withLock({ $0[name] })?.get("\(name.namespace)/\(name.name)") {
            remember(name, value, now)
            return value
        }
        let known = entries.withLock { $0[name] }
        if let known, !mustBeFresh, now &- known.readAt < Self.freshFor, known.value != nil { return known.value }
        do throws(StatusError) {
            let object = try await client.get(Self.resource(name), namespace: name.namespace, name: name.name)
            remember(name, Self.bytes(of: object, name.kind), now)
            return Self.bytes(of: object, name.kind)
        } catch {
            if error.isNotFound {
                remember(name, nil, now)
                return nil
            }
            if let known { return known.value }
            throw error
        }
    }

    private func remember(_ name: ObjectName, _ value: KeyedBytes?, _ now: Nanoseconds) {
        entries.withLock { entries in
            if entries.count >= Self.entriesMax { entries = entries.filter { now &- $0.value.readAt < .seconds(300) } }
            if entries.count < Self.entriesMax { entries[name] = Entry(value: value, readAt: now) }
        }
    }

    private static func bytes(of object: JSON, _ kind: ObjectName.Kind) -> KeyedBytes {
        var bytes: KeyedBytes = [:]
        for (key, value) in object["data"]?.stringMap ?? [:] {
            bytes[key] = kind == .secret ? Base64.bytes(value) ?? [] : Array(value.utf8)
        }
        for (key, value) in object["binaryData"]?.stringMap ?? [:] { bytes[key] = Base64.bytes(value) ?? [] }
        return bytes
    }
}
