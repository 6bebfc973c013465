// All watches of one API server: one subscription to the store's changes below `/registry/`, fanned out to the watchers
// of each resource. One event loop owns everything here, so an event and a joining watcher never race; the replica's
// thread only hands batches over. It never waits for a watcher: a slow one is ended and comes back from its last
// resourceVersion.
import API
import KVCore
import KVReplica
import Logging
import NIOCore

/// Where a watcher's events go. Called on the feed's event loop; answers false when the watcher takes no more.
protocol WatchSink: AnyObject, Sendable {
    func deliver(_ type: WatchEventType, _ object: FeedObject, _ event: FeedEvent) -> Bool
    func bookmark(_ revision: Revision)
    func fail(_ error: StatusError)
    func finish()
}

/// What a watcher asks for.
struct WatchSubscription: Sendable {
    var resource: ResourceSchema
    var namespace: String?
    var filter: ObjectFilter
    /// Events after this revision.
    var after: Revision
    var wantsBookmarks: Bool
    /// Nil = open end.
    var timeoutSeconds: Int?
}

package final class WatchFeed: Sendable {
    static let bookmarkSeconds: Int64 = 60
    static let tickSeconds: Int64 = 1
    /// Pause before the store is followed again after it was reset; watchers that come meanwhile are ended and come
    /// back.
    static let resyncAfter: TimeAmount = .milliseconds(50)

    let eventLoop: any EventLoop
    private let store: any ReplicatedStore
    private let state: NIOLoopBoundBox<FeedState>
    private let logger: Logger

    package init(store: any ReplicatedStore, resources: [ResourceSchema], eventLoop: any EventLoop, logger: Logger) {
        self.store = store
        self.eventLoop = eventLoop
        self.logger = logger
        state = NIOLoopBoundBox.makeBoxSendingValue(FeedState(resources), eventLoop: eventLoop)
    }

    /// Begins to follow the store.
    package func start() {
        eventLoop.execute {
            self.subscribe()
            self.state.value.ticker = self.eventLoop.scheduleRepeatedTask(
                initialDelay: .seconds(Self.tickSeconds), delay: .seconds(Self.tickSeconds)
            ) { _ in self.tick() }
        }
    }

    /// Ends every watch; clients go to another master.
    package func stop() {
        eventLoop.execute {
            self.state.value.isStopped = true
            self.state.value.ticker?.cancel()
            if let id = self.state.value.subscription { self.store.cancel(id) }
            self.state.value.subscription = nil
            self.endAll()
        }
    }

    private func subscribe() {
        if state.value.isStopped { return }
        let start = store.view().revision
        state.value.reset(at: start)
        state.value.subscription = store.watch(.prefix(Key("/registry/")), after: start) { delivery in
            self.eventLoop.execute { self.take(delivery) }
        }
    }

    private func take(_ delivery: WatchDelivery) {
        switch delivery {
        case .events(let revision, let events):
            for event in events { publish(event) }
            state.value.revision = max(state.value.revision, revision)
        case .progress(let revision): state.value.revision = max(state.value.revision, revision)
        case .compacted, .tooMany, .reset, .ended: resync()
        }
    }

    /// A snapshot replaced the state: what lies between is not known, so every watcher begins again from its own
    /// revision.
    private func resync() {
        if state.value.isStopped { return }
        logger.notice("watch feed begins anew: the store was reset")
        if let id = state.value.subscription { store.cancel(id) }
        state.value.subscription = nil
        endAll()
        eventLoop.scheduleTask(in: Self.resyncAfter) { self.subscribe() }
    }

    private func endAll() {
        for watcher in state.value.removeAllWatchers() {
            if let id = watcher.ownFeed { store.cancel(id) }
            watcher.sink.finish()
        }
    }

    private func publish(_ event: KVEvent) {
        guard let found = state.value.hub(of: event.current.key) else { return }
        let hub = found
        guard let change = FeedEvent(event, resourcePrefixCount: hub.prefix.utf8.count, isNamespaced: hub.isNamespaced)
        else { return }
        hub.remember(change)
        var gone: [WatcherID] = []
        for (id, watcher) in hub.watchers where !watcher.take(change) { gone.append(id) }
        for id in gone { remove(id, from: hub) }
        change.settle()
    }

    private func remove(_ id: WatcherID, from hub: ResourceHub) {
        guard let watcher = hub.watchers.removeValue(forKey: id) else { return }
        if let feed = watcher.ownFeed { store.cancel(feed) }
    }

    /// Watches and watchers, for metrics.
    func counts() -> EventLoopFuture<[(resource: GroupVersionResource, watchers: Int)]> {
        eventLoop.submit { self.state.value.hubs.values.map { ($0.resource, $0.watchers.count) } }
    }
}

/// Joining and leaving.
extension WatchFeed {
    /// Adds a watcher; the returned id ends it.
    func join(_ subscription: WatchSubscription, _ sink: any WatchSink) -> WatcherID {
        let id = WatcherID.next()
        eventLoop.execute { self.admit(id, subscription, sink) }
        return id
    }

    func leave(_ id: WatcherID, _ resource: GroupVersionResource) {
        eventLoop.execute {
            guard let hub = self.state.value.hub(resource) else { return }
            if let own = hub.ownFeeds.removeValue(forKey: id) { if let feed = own.ownFeed { self.store.cancel(feed) } }
            self.remove(id, from: hub)
        }
    }

    private func admit(_ id: WatcherID, _ subscription: WatchSubscription, _ sink: any WatchSink) {
        if state.value.subscription == nil { return sink.finish() }
        guard let hub = state.value.hub(subscription.resource.resource.stored) else {
            sink.fail(Status.methodNotAllowed())
            return
        }
        let watcher = Watcher(subscription, sink, now: NIODeadline.now())
        guard subscription.after >= hub.floor else {
            catchUp(id, watcher, hub)
            return
        }
        for event in hub.events(after: subscription.after) where !watcher.take(event) { return }
        hub.watchers[id] = watcher
    }

    /// Older than what is remembered here: the store replays the history, and goes on to feed this one watcher.
    private func catchUp(_ id: WatcherID, _ watcher: Watcher, _ hub: ResourceHub) {
        hub.ownFeeds[id] = watcher
        let resource = hub.resource
        let prefix = StoreKey.prefix(resource, namespace: watcher.subscription.namespace)
        watcher.ownFeed = store.watch(.prefix(Key(prefix)), after: watcher.subscription.after) { delivery in
            self.eventLoop.execute { self.takeOwn(id, resource, delivery) }
        }
    }

    private func takeOwn(_ id: WatcherID, _ resource: GroupVersionResource, _ delivery: WatchDelivery) {
        guard let hub = state.value.hub(resource), let watcher = hub.ownFeeds[id] else { return }
        switch delivery {
        case .events(let revision, let events):
            for event in events {
                guard
                    let change = FeedEvent(
                        event, resourcePrefixCount: hub.prefix.utf8.count, isNamespaced: hub.isNamespaced)
                else { continue }
                if !watcher.take(change) { return endOwn(id, hub) }
            }
            watcher.seen = max(watcher.seen, revision)
        case .progress(let revision): watcher.seen = max(watcher.seen, revision)
        case .compacted(let oldest):
            watcher.sink.fail(Status.expired(requested: "\(watcher.subscription.after)", oldest: "\(oldest)"))
            endOwn(id, hub)
        case .tooMany, .reset, .ended:
            watcher.sink.finish()
            endOwn(id, hub)
        }
    }

    private func endOwn(_ id: WatcherID, _ hub: ResourceHub) {
        if let feed = hub.ownFeeds.removeValue(forKey: id)?.ownFeed { store.cancel(feed) }
    }
}

/// Bookmarks and ends.
extension WatchFeed {
    private func tick() {
        let now = NIODeadline.now()
        let revision = state.value.revision
        for hub in state.value.hubs.values {
            for (id, watcher) in hub.watchers where !keepsOn(watcher, now, revision) { remove(id, from: hub) }
            for (id, watcher) in hub.ownFeeds where !keepsOn(watcher, now, watcher.seen) { endOwn(id, hub) }
        }
    }

    private func keepsOn(_ watcher: Watcher, _ now: NIODeadline, _ revision: Revision) -> Bool {
        let ends = watcher.deadline.map { now >= $0 } ?? false
        let isDue = ends || now >= watcher.nextBookmark
        if isDue && watcher.subscription.wantsBookmarks {
            watcher.sink.bookmark(max(revision, watcher.seen))
            watcher.nextBookmark = now + .seconds(Self.bookmarkSeconds)
        }
        if ends { watcher.sink.finish() }
        return !ends
    }
}
