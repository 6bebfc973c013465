// get and list: from memory, as fresh as asked, without a task. Bytes go from the store to the socket unparsed.
import API
import KVCore
import NIOCore
import NetHTTP

extension APIServer {
    /// Reads and goes on at the connection's event loop: the replica's thread, where ReadIndex answers, must not render
    /// lists.
    func read(
        _ exchange: Exchange, _ freshness: Freshness,
        _ done: @escaping @Sendable (Result<ReadView, StatusError>) -> Void
    ) {
        let loop = exchange.response.eventLoop
        objects.store.read(freshness) { outcome in
            if loop.inEventLoop { done(outcome) } else { loop.execute { done(outcome) } }
        }
    }

    func respondGet(_ exchange: Exchange, _ resource: ResourceSchema) {
        guard resource.verbs.contains("get"), exchange.request.method == "GET" else {
            return exchange.fail(Status.methodNotAllowed())
        }
        let version = exchange.query("resourceVersion") ?? ""
        guard let freshness = Freshness.parse(version) else {
            return exchange.fail(Status.badRequest(Freshness.badNumber(version)))
        }
        read(exchange, freshness) { [self] outcome in
            switch outcome {
            case .failure(let error): exchange.fail(error)
            case .success(let read): answerGet(exchange, resource, read)
            }
        }
    }

    private func answerGet(_ exchange: Exchange, _ resource: ResourceSchema, _ read: ReadView) {
        let path = exchange.path
        let found = read.view.get(StoreKey.object(resource.resource, namespace: path.scope, name: path.name))
        guard let found, let stored = StoredObject(found.value, revision: found.modRevision) else {
            // From memory "not there" may only mean "not yet here".
            guard let version = exchange.query("resourceVersion"), !version.isEmpty, !read.isStale else {
                return exchange.fail(Status.notFound(resource.resource, path.name))
            }
            return confirmAbsence(exchange, resource)
        }
        send(exchange, resource, stored, isStale: read.isStale)
    }

    private func confirmAbsence(_ exchange: Exchange, _ resource: ResourceSchema) {
        read(exchange, .linearizable) { [self] outcome in
            switch outcome {
            case .failure(let error): exchange.fail(error)
            case .success(let read):
                let found = read.view.get(
                    StoreKey.object(resource.resource, namespace: exchange.path.scope, name: exchange.path.name))
                guard let found, let stored = StoredObject(found.value, revision: found.modRevision) else {
                    return exchange.fail(Status.notFound(resource.resource, exchange.path.name))
                }
                send(exchange, resource, stored, isStale: false)
            }
        }
    }

    private func send(_ exchange: Exchange, _ resource: ResourceSchema, _ stored: StoredObject, isStale: Bool) {
        do {
            let (body, encoding) = try renderer.object(stored, resource, exchange.representation, rows: exchange.rows)
            let warnings = isStale ? [Exchange.staleWarning] : []
            exchange.send(200, encoding.contentType, body, warnings: warnings)
        } catch {
            exchange.fail(error)
        }
    }

    func respondList(_ exchange: Exchange, _ resource: ResourceSchema) {
        guard resource.verbs.contains("list"), exchange.request.method == "GET" else {
            return exchange.fail(Status.methodNotAllowed())
        }
        do {
            let query = try listQuery(exchange, resource)
            let freshness = try query.freshness()
            read(exchange, freshness) { [self] outcome in
                switch outcome {
                case .success(let read): answerList(exchange, resource, query, read)
                case .failure(let error) where error.isExpired: refuseExpired(exchange, query, error)
                case .failure(let error): exchange.fail(error)
                }
            }
        } catch {
            exchange.fail(error)
        }
    }

    func listQuery(_ exchange: Exchange, _ resource: ResourceSchema) throws(StatusError) -> ListQuery {
        try ListQuery.parse(resource, name: nil, isWatch: exchange.path.verb == "watch") { exchange.query($0) }
    }

    private func answerList(_ exchange: Exchange, _ resource: ResourceSchema, _ query: ListQuery, _ read: ReadView) {
        var scan = ListScan(read.view, resource, exchange.path.scope, query.filter)
        scan.limit = query.effectiveLimit
        scan.after = query.continueToken?.after ?? []
        let found = scan.run()
        // A token of an inconsistent continuation stays without a revision: the whole rest is shown as of now.
        let revision = read.view.revision
        var meta = ListMeta(revision: revision)
        if let next = found.next {
            meta.continueToken = ContinueToken(revision: revision, after: next).encoded
            meta.remaining = found.remaining
        }
        do {
            let (body, encoding) = try renderer.list(
                found.objects, storedBytes: found.storedBytes, meta, resource, exchange.representation,
                rows: exchange.rows)
            let warnings = read.isStale ? [Exchange.staleWarning] : []
            exchange.send(200, encoding.contentType, body, warnings: warnings)
        } catch {
            exchange.fail(error)
        }
    }

    /// The history that a token or an exact version needs is compacted.
    private func refuseExpired(_ exchange: Exchange, _ query: ListQuery, _ error: StatusError) {
        guard let token = query.continueToken else { return exchange.fail(error) }
        let fresh = ContinueToken(revision: nil, after: token.after).encoded
        exchange.fail(
            Status.expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
                    + "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
                    + "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
                    + "deleted between the time the first chunk was returned and now may show up in the list.",
                continueToken: fresh))
    }
}
