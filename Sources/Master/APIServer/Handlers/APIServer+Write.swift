// create, update, patch, delete, deletecollection over HTTP: query and body to a write, its outcome to an answer. One
// task a write.
import API
import KVCore
import NIOCore
import NetHTTP

extension APIServer {
    func respondWrite(_ exchange: Exchange, _ resource: ResourceSchema) {
        let verb = exchange.path.verb
        let needsName = ["update", "patch", "delete"].contains(verb)
        let isWrite = ["create", "update", "patch", "delete", "deletecollection"].contains(verb)
        guard isWrite, resource.verbs.contains(verb), !needsName || !exchange.path.name.isEmpty,
            verb != "create" || exchange.path.name.isEmpty,
            !resource.isNamespaced || exchange.path.scope != nil || isVirtual(resource)
        else { return exchange.fail(Status.methodNotAllowed()) }
        runWrite(exchange) { [self] () throws(StatusError) in
            let call = try writeCall(exchange, resource)
            switch verb {
            case "create": try await answerCreate(exchange, call)
            case "update": try await answerUpdate(exchange, call)
            case "patch": try await answerPatch(exchange, call)
            case "delete": try await answerDelete(exchange, call)
            default: try await answerDeleteCollection(exchange, call)
            }
        }
    }

    /// Runs a request's work in a task of its own; a refusal is its answer.
    @discardableResult
    func run(
        _ exchange: Exchange, _ work: @escaping @Sendable () async throws(StatusError) -> Void
    ) -> Task<Void, Never> {
        Task {
            do throws(StatusError) { try await work() } catch { exchange.fail(error) }
        }
    }

    /// The same, and nothing more is tried once the client is gone: it may have asked another master since.
    func runWrite(_ exchange: Exchange, _ work: @escaping @Sendable () async throws(StatusError) -> Void) {
        let task = run(exchange, work)
        exchange.response.onClose { task.cancel() }
    }

    /// Resources that are only ever posted (reviews, bindings) have no objects.
    private func isVirtual(_ resource: ResourceSchema) -> Bool { !resource.verbs.contains("get") }

    func writeCall(_ exchange: Exchange, _ resource: ResourceSchema) throws(StatusError) -> WriteCall {
        var call = WriteCall(
            attributes: exchange.attributes, resource: resource,
            namespace: resource.isNamespaced ? exchange.path.scope : nil,
            name: exchange.path.name, subresource: exchange.path.subresource)
        let options = WriteOptions(verb: exchange.path.verb)
        call.isDryRun = try options.isDryRun(exchange.request.queryAll("dryRun"))
        call.fieldManager = try options.fieldManager(exchange.query("fieldManager"))
        if call.fieldManager.isEmpty {
            call.fieldManager = WriteOptions.manager(userAgent: exchange.request.header("user-agent"))
        }
        return call
    }

    func decoder(_ exchange: Exchange) throws(StatusError) -> BodyDecoder {
        BodyDecoder(
            schema: schema,
            validation: try WriteOptions(verb: exchange.path.verb).fieldValidation(exchange.query("fieldValidation")))
    }

    func answer(_ exchange: Exchange, _ call: WriteCall, _ outcome: WriteOutcome) {
        let status = outcome.isCreated ? 201 : 200
        if outcome.object.apiVersion == call.resource.kind.apiVersion && outcome.object.kind == call.resource.kind.kind
        {
            exchange.object(status, outcome.object, call.resource, warnings: outcome.warnings)
        } else {
            exchange.json(status, outcome.object, warnings: outcome.warnings)
        }
    }

    private func answerCreate(_ exchange: Exchange, _ given: WriteCall) async throws(StatusError) {
        var call = given
        let contentType = exchange.request.header("content-type")
        let decoded = try decoder(exchange).decode(
            exchange.request.body, contentType: contentType, as: call.resource.kind)
        call.warnings += decoded.warnings
        if isVirtual(call.resource) {
            if call.resource.plural == "bindings" { return try await answerBinding(exchange, call, decoded.object) }
            return answer(exchange, call, try await objects.postVirtual(call, decoded.object))
        }
        try ResourceStore.checkNamespace(decoded.object, call.namespace)
        answer(exchange, call, try await objects.create(call, decoded.object))
    }

    /// POST to `bindings`, the old form of `pods/NAME/binding`.
    private func answerBinding(_ exchange: Exchange, _ given: WriteCall, _ binding: JSON) async throws(StatusError) {
        guard let pods = schema.resource(.pods) else { throw Status.methodNotAllowed() }
        var call = given
        call.resource = pods
        call.name = binding.name
        call.subresource = "binding"
        answer(exchange, call, try await objects.post(call, subresource: "binding", binding))
    }

    private func answerUpdate(_ exchange: Exchange, _ call: WriteCall) async throws(StatusError) {
        let decoder = try decoder(exchange)
        let raw = try decoder.parse(
            exchange.request.body, contentType: exchange.request.header("content-type"), wanted: call.resource.kind.kind
        )
        var strict = call
        if decoder.validation != .ignore && !raw.duplicates.isEmpty {
            strict.warnings += try decoder.check(raw.tree, as: call.resource.kind, duplicates: raw.duplicates).warnings
        }
        answer(exchange, call, try await objects.replace(strict, raw.tree, decoder))
    }

    func answerPatch(_ exchange: Exchange, _ call: WriteCall) async throws(StatusError) {
        let type = MediaType(exchange.request.header("content-type") ?? "")?.type ?? ""
        guard let patchType = PatchType(rawValue: type) else { throw Status.unsupportedPatchType() }
        let decoder = try decoder(exchange)
        if patchType == .apply { return try await answerApply(exchange, call, decoder) }
        var duplicates: [String] = []
        let patch: JSON
        do { patch = try JSON.parse(Array(exchange.request.body.readableBytesView), duplicates: &duplicates) } catch {
            throw Status.badRequest("error decoding patch: \(error.message)")
        }
        answer(exchange, call, try await objects.patch(call, patchType, patch, decoder))
    }

    private func answerApply(
        _ exchange: Exchange, _ call: WriteCall, _ decoder: BodyDecoder
    ) async throws(StatusError) {
        if (exchange.query("fieldManager") ?? "").isEmpty { throw WriteOptions(verb: "patch").managerIsMissing() }
        let config: JSON
        do { config = try YAML.parse(Array(exchange.request.body.readableBytesView)) } catch {
            throw Status.badRequest("error decoding YAML: error converting YAML to JSON: \(error.message)")
        }
        let application = Application(config: config, isForced: Parameter.bool(exchange.query("force")))
        answer(exchange, call, try await objects.apply(call, application, decoder))
    }

    private func answerDelete(_ exchange: Exchange, _ given: WriteCall) async throws(StatusError) {
        var call = given
        let removal = try removal(exchange)
        call.isDryRun = call.isDryRun || removal.isDryRun
        let outcome = try await objects.delete(call, removal)
        if outcome.isRemoved && !policy.kinds.behavior(call.gvr).deleteReturnsObject {
            return exchange.json(
                200, Status.success(call.gvr, call.name, uid: outcome.object.uid), warnings: outcome.warnings)
        }
        answer(exchange, call, outcome)
    }

    private func answerDeleteCollection(_ exchange: Exchange, _ given: WriteCall) async throws(StatusError) {
        var call = given
        let removal = try removal(exchange)
        call.isDryRun = call.isDryRun || removal.isDryRun
        let query = try ListQuery.parse(call.resource, name: nil, isWatch: false) { name in
            name == "resourceVersion" || name == "resourceVersionMatch" ? nil : exchange.query(name)
        }
        let found = try await objects.deleteCollection(call, query.filter, removal)
        let meta = ListMeta(revision: found.revision)
        exchange.json(
            200, renderer.listTree(found.items, meta, call.resource, exchange.representation.form, exchange.rows),
            warnings: call.warnings)
    }

    /// Options of a delete, from the body when there is one, else from the query.
    private func removal(_ exchange: Exchange) throws(StatusError) -> Removal {
        if exchange.request.body.readableBytes > 0 {
            let decoder = BodyDecoder(schema: schema, validation: .ignore)
            let raw = try decoder.parse(
                exchange.request.body, contentType: exchange.request.header("content-type"), wanted: "DeleteOptions")
            if !raw.tree.kind.isEmpty && raw.tree.kind != "DeleteOptions" {
                throw Status.badRequest(
                    "no kind \(Go.quote(raw.tree.kind)) is registered for version \(Go.quote(raw.tree.apiVersion)) in scheme "
                        + "\"pkg/apis/meta/internalversion/scheme/register.go:27\"")
            }
            return try Removal(raw.tree)
        }
        var tree: JSON = [:]
        if let grace = try Parameter.integer(exchange.query("gracePeriodSeconds")) {
            tree["gracePeriodSeconds"] = .int(Int64(grace))
        }
        if let policy = exchange.query("propagationPolicy") { tree["propagationPolicy"] = .string(policy) }
        if let orphan = exchange.query("orphanDependents") { tree["orphanDependents"] = .bool(Parameter.bool(orphan)) }
        return try Removal(tree)
    }
}
