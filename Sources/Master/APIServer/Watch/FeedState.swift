// What the feed's event loop owns: for each resource the recent events and the watchers. No I/O, no clock.
import API
import KVCore
import KVReplica
import NIOCore
import Synchronization

/// Names a watcher.
struct WatcherID: Hashable, Sendable {
    private static let counter = Atomic<UInt64>(0)
    let value: UInt64
    static func next() -> WatcherID { WatcherID(value: counter.wrappingAdd(1, ordering: .relaxed).newValue) }
}

/// One watch under way.
final class Watcher {
    let subscription: WatchSubscription
    let sink: any WatchSink
    let deadline: NIODeadline?
    /// Everything up to here was sent or is of no interest.
    var seen: Revision
    var nextBookmark: NIODeadline
    /// The watcher's own subscription to the store, when it began before what the hub remembers.
    var ownFeed: WatchID?

    init(_ subscription: WatchSubscription, _ sink: any WatchSink, now: NIODeadline) {
        self.subscription = subscription
        self.sink = sink
        seen = subscription.after
        deadline = subscription.timeoutSeconds.map { now + .seconds(Int64($0)) }
        // The first bookmark comes soon, so that a quiet watch is resumable from the start.
        nextBookmark = now
    }

    /// False when the sink takes no more.
    func take(_ event: FeedEvent) -> Bool {
        guard event.revision > seen else { return true }
        let object = event.current ?? event.previous
        if let namespace = subscription.namespace, object?.namespace != namespace { return true }
        guard let (type, object) = event.seen(subscription.filter) else { return true }
        return sink.deliver(type, object, event)
    }
}

/// The watchers and recent events of one resource.
final class ResourceHub {
    static let eventsMax = 128
    let resource: GroupVersionResource
    let prefix: String
    let isNamespaced: Bool
    /// Events after this revision are all in `events`.
    private(set) var floor: Revision = .zero
    private var recent: [FeedEvent] = []
    var watchers: [WatcherID: Watcher] = [:]
    var ownFeeds: [WatcherID: Watcher] = [:]

    init(_ schema: ResourceSchema) {
        resource = schema.resource.stored
        prefix = StoreKey.prefix(schema.resource.stored)
        isNamespaced = schema.isNamespaced
    }

    func reset(at revision: Revision) {
        recent = []
        floor = revision
    }

    func remember(_ event: FeedEvent) {
        recent.append(event)
        guard recent.count >= 2 * Self.eventsMax else { return }
        let cut = recent.count - Self.eventsMax
        let last = recent[cut - 1].revision
        recent.removeFirst(cut)
        // All events of one revision are kept or dropped together.
        let torn = recent.prefix { $0.revision == last }.count
        recent.removeFirst(torn)
        floor = last
    }

    func events(after revision: Revision) -> ArraySlice<FeedEvent> {
        var low = 0
        var high = recent.count
        while low < high {
            let middle = (low + high) / 2
            if recent[middle].revision > revision { high = middle } else { low = middle + 1 }
        }
        return recent[low...]
    }
}

struct FeedState {
    /// Every change up to here was published.
    var revision: Revision = .zero
    var subscription: WatchID?
    var ticker: RepeatedTask?
    var isStopped = false
    let hubs: [String: ResourceHub]
    private let byResource: [GroupVersionResource: ResourceHub]

    init(_ resources: [ResourceSchema]) {
        var hubs: [String: ResourceHub] = [:]
        var byResource: [GroupVersionResource: ResourceHub] = [:]
        for schema in resources where schema.verbs.contains("watch") && byResource[schema.resource.stored] == nil {
            let hub = ResourceHub(schema)
            hubs[hub.prefix] = hub
            byResource[hub.resource] = hub
        }
        self.hubs = hubs
        self.byResource = byResource
    }

    mutating func reset(at start: Revision) {
        revision = start
        for hub in hubs.values { hub.reset(at: start) }
    }

    func hub(_ resource: GroupVersionResource) -> ResourceHub? { byResource[resource] }

    /// The hub of `/registry/<group>/<plural>/...`.
    func hub(of key: Key) -> ResourceHub? {
        var slashes = 0
        for (i, byte) in key.bytes.enumerated() where byte == UInt8(ascii: "/") {
            slashes += 1
            if slashes == 4 { return hubs[String(decoding: key.bytes[...i], as: UTF8.self)] }
        }
        return nil
    }

    func removeAllWatchers() -> [Watcher] {
        hubs.values.flatMap { hub in
            let all = Array(hub.watchers.values) + Array(hub.ownFeeds.values)
            hub.watchers = [:]
            hub.ownFeeds = [:]
            return all
        }
    }
}
