// Subresources: status, scale and other views of the object; actions; and the streams that kubelets serve.
import API
import KVCore
import NIOCore
import NetHTTP

extension APIServer {
    func respondSubresource(_ exchange: Exchange, _ resource: ResourceSchema, _ subresource: SubresourceSchema) {
        let verb = exchange.path.verb
        guard subresource.verbs.contains(verb), !exchange.path.name.isEmpty, exchange.request.method != "HEAD" else {
            return exchange.fail(Status.methodNotAllowed())
        }
        if resource.resource == .pods, ["log", "exec", "attach", "portforward"].contains(subresource.name) {
            return respondKubelet(exchange, subresource.name)
        }
        if subresource.name == "proxy" {
            return refuseProxy(exchange, resource)
        }
        switch verb {
        case "get": getSubresource(exchange, resource, subresource)
        case "create":
            runWrite(exchange) { [self] () throws(StatusError) in
                var call = try writeCall(exchange, resource)
                let decoded = try decodePosted(exchange, subresource)
                call.warnings += decoded.warnings
                answer(exchange, call, try await objects.post(call, subresource: subresource.name, decoded.object))
            }
        default:
            runWrite(exchange) { [self] () throws(StatusError) in
                let call = try writeCall(exchange, resource)
                if verb == "patch" { return try await answerPatch(exchange, call) }
                let decoder = try decoder(exchange)
                let raw = try decoder.parse(
                    exchange.request.body, contentType: exchange.request.header("content-type"),
                    wanted: subresource.kind.kind)
                answer(exchange, call, try await objects.replace(call, raw.tree, decoder))
            }
        }
    }

    private func answerScale(_ exchange: Exchange, _ scale: JSON) {
        guard case .table(let version) = exchange.representation.form else { return exchange.json(200, scale) }
        exchange.json(200, Scale.table(scale, version: version, now: renderer.now(), rows: exchange.rows))
    }

    /// `name`, `scheme:name:port` or `name:port` in the path.
    private func refuseProxy(_ exchange: Exchange, _ resource: ResourceSchema) {
        let parts = exchange.path.name.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let name = parts.count == 3 ? parts[1] : parts.first ?? ""
        read(exchange, .linearizable) { [self] outcome in
            switch outcome {
            case .failure(let error): exchange.fail(error)
            case .success(let read):
                let found = objects.reader(read.view).get(
                    resource.resource, namespace: exchange.path.scope, name: name)
                exchange.fail(
                    found == nil
                        ? Status.notFound(resource.resource, name)
                        : Status.serviceUnavailable("proxy subresources are not served yet"))
            }
        }
    }

    private func decodePosted(
        _ exchange: Exchange, _ subresource: SubresourceSchema
    ) throws(StatusError)
        -> BodyDecoder.Decoded
    {
        let kind = subresource.kind
        let others = kind.kind == "Eviction" ? [GroupVersionKind("policy", "v1beta1", "Eviction")] : []
        return try decoder(exchange).decode(
            exchange.request.body, contentType: exchange.request.header("content-type"), as: kind, others: others)
    }

    private func getSubresource(_ exchange: Exchange, _ resource: ResourceSchema, _ subresource: SubresourceSchema) {
        if subresource.name != "scale" { return respondGet(exchange, resource) }
        read(exchange, .linearizable) { [self] outcome in
            switch outcome {
            case .failure(let error): exchange.fail(error)
            case .success(let read):
                guard
                    let object = objects.reader(read.view).get(
                        resource.resource, namespace: exchange.path.scope, name: exchange.path.name)
                else {
                    return exchange.fail(Status.notFound(resource.resource, exchange.path.name))
                }
                answerScale(exchange, Scale.of(object))
            }
        }
    }
}
