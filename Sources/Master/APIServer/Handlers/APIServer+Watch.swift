// watch: what exists first (when asked), then every change after it, on one stream. Initial objects are written on the
// connection's own event loop, so that a large start delays nobody else.
import API
import KVCore
import NIOCore
import NetHTTP

/// Where a watch begins.
enum WatchStart: Sendable {
    /// All objects of this view, then what follows it.
    case objects(Freshness)
    case after(Revision)

    /// Throws 400/500-style refusals for numbers that are none.
    static func of(_ query: ListQuery) throws(StatusError) -> WatchStart {
        guard let freshness = Freshness.parse(query.resourceVersion) else {
            throw Status.badRequest("invalid resource version: \(Freshness.badNumber(query.resourceVersion))")
        }
        if query.sendsInitialEvents == true { return .objects(freshness) }
        switch freshness {
        case .linearizable: return query.sendsInitialEvents == false ? .after(Revision(-1)) : .objects(.linearizable)
        case .any: return query.sendsInitialEvents == false ? .after(Revision(-1)) : .objects(.any)
        case .atLeast(let revision), .exactly(let revision): return .after(revision)
        }
    }
}

extension APIServer {
    func respondWatch(_ exchange: Exchange, _ resource: ResourceSchema) {
        guard resource.verbs.contains("watch") else { return exchange.fail(Status.methodNotAllowed()) }
        do {
            // The old paths `/watch/namespaces/n/pods/x` name one object.
            let isOneObject = exchange.path.path.contains("/watch/") && !exchange.path.name.isEmpty
            let query = try ListQuery.parse(resource, name: isOneObject ? exchange.path.name : nil, isWatch: true) {
                exchange.query($0)
            }
            switch try WatchStart.of(query) {
            case .after(let revision):
                let after = revision.rawValue < 0 ? objects.store.view().revision : revision
                begin(exchange, resource, query, after: after, objects: nil)
            case .objects(let freshness):
                read(exchange, freshness) { [self] outcome in beginWithObjects(exchange, resource, query, outcome) }
            }
        } catch {
            exchange.fail(error)
        }
    }

    private func beginWithObjects(
        _ exchange: Exchange, _ resource: ResourceSchema, _ query: ListQuery, _ outcome: Result<ReadView, StatusError>
    ) {
        switch outcome {
        case .failure(let error): exchange.fail(error)
        case .success(let read):
            let found = ListScan(read.view, resource, exchange.path.scope, query.filter).objects()
            begin(exchange, resource, query, after: read.view.revision, objects: found)
        }
    }

    private func begin(
        _ exchange: Exchange, _ resource: ResourceSchema, _ query: ListQuery, after: Revision, objects: [FeedObject]?
    ) {
        let ended = exchange.observer.streams(exchange)
        let attributes = exchange.attributes
        let labels = [attributes.group, attributes.resource, attributes.version]
        let sink = HTTPWatchSink(
            exchange, resource, backlogBytesMax: configuration.watchBacklogBytesMax,
            onEvent: { [metrics] in metrics.watchEvents.add(1, labels) },
            onEnd: ended)
        sink.begin()
        if let objects { sink.sendInitial(objects) }
        if objects != nil && query.sendsInitialEvents == true && query.allowsBookmarks {
            sink.bookmark(after, endsInitial: true)
        }
        let subscription = WatchSubscription(
            resource: resource, namespace: exchange.path.scope, filter: query.filter, after: after,
            wantsBookmarks: query.allowsBookmarks,
            timeoutSeconds: query.timeoutSeconds ?? Int.random(in: 1800...3600))
        let id = feed.join(subscription, sink)
        exchange.response.onClose { [feed] in
            sink.end()
            feed.leave(id, resource.resource.stored)
        }
    }
}
