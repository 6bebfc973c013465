// The kubelet's HTTPS face on 10250: identify, authorise, then one handler an endpoint. One task a request: the API
// server and a few scrapers call here, not the world.
import API
import Logging
import NIOCore
import NIOHTTP1
import NetHTTP

package final class KubeletService: HTTPService {
    let executor: PodExecutor
    let loop: KubeletLoop
    let logger: Logger
    private let metrics: MetricsRegistry
    private let authority: KubeletAuthority
    private let streams: StreamingProxy

    package init(
        executor: PodExecutor, loop: KubeletLoop, metrics: MetricsRegistry, group: any EventLoopGroup, logger: Logger
    ) {
        self.executor = executor
        self.loop = loop
        self.metrics = metrics
        self.logger = logger
        authority = KubeletAuthority(client: executor.client, nodeName: executor.configuration.nodeName)
        streams = StreamingProxy(group: group, logger: logger)
    }

    package func respond(to request: HTTPRequest, _ response: HTTPResponseWriter) {
        Task { await self.answer(request, response) }
    }

    private func answer(_ request: HTTPRequest, _ response: HTTPResponseWriter) async {
        guard let route = KubeletRoute(request) else { return response.plain(404, "404 page not found\n") }
        do throws(StatusError) {
            guard let caller = try await authority.caller(request) else { return response.plain(401, "Unauthorized") }
            let verb = KubeletRoute.verb(request.method)
            guard try await authority.isAllowed(caller, verb: verb, subresource: route.subresource) else {
                return response.plain(
                    403,
                    "Forbidden (user=\(caller.name), verb=\(verb), resource=nodes, "
                        + "subresource(s)=[\(route.subresource)])"
                )
            }
        } catch {
            return response.plain(500, "Internal Server Error: \(error.message)")
        }
        await serve(route, request, response)
    }

    private func serve(_ route: KubeletRoute, _ request: HTTPRequest, _ response: HTTPResponseWriter) async {
        switch route {
        case .health: response.plain(200, "ok")
        case .pods: await servePods(response, runningOnly: false)
        case .runningPods: await servePods(response, runningOnly: true)
        case .metrics: response.text(200, metrics.render(), contentType: MetricsRegistry.contentType)
        case .probeMetrics, .cadvisorMetrics: response.text(200, "", contentType: MetricsRegistry.contentType)
        case .resourceMetrics: await serveResourceMetrics(response)
        case .statsSummary: await serveSummary(response)
        case .configz:
            response.json(200, ["kubeletconfig": ["clusterDomain": .string(executor.configuration.clusterDomain)]])
        case .logs(let namespace, let pod, let container): await serveLogs(request, response, namespace, pod, container)
        case .run(let namespace, let pod, let container): await serveRun(request, response, namespace, pod, container)
        case .exec(let namespace, let pod, let container): await serveExec(request, response, namespace, pod, container)
        case .attach(let namespace, let pod, let container):
            await serveAttach(request, response, namespace, pod, container)
        case .portForward(let namespace, let pod): await servePortForward(request, response, namespace, pod)
        case .connect(let target): await streams.connect(target, response)
        }
    }

    // MARK: pods

    private func servePods(_ response: HTTPResponseWriter, runningOnly: Bool) async {
        let objects = await loop.ask { $0.objects } ?? []
        let list = runningOnly ? objects.filter { $0["status", "phase"]?.string == "Running" } : objects
        response.json(200, ["kind": "PodList", "apiVersion": "v1", "metadata": [:], "items": .array(list)])
    }

    /// The newest running container of that name; answers with an error and returns nil when there is none.
    func running(
        _ namespace: String, _ pod: String, _ container: String, _ response: HTTPResponseWriter
    ) async
        -> String?
    {
        guard let life = await life(namespace, pod) else {
            response.plain(404, "pod does not exist")
            return nil
        }
        guard let found = life.containers.first(where: { $0.spec.name == container }), found.isRunning,
            let id = found.current?.status.id
        else {
            response.plain(404, "container not found (\"\(container)\")")
            return nil
        }
        return id
    }

    func life(_ namespace: String, _ pod: String) async -> PodLife? {
        let now = Clock.now()
        return await loop.ask { pods in
            pods.context(namespace: namespace, name: pod, now: now).flatMap { pods.life($0.spec.uid) }
        } ?? nil
    }

    // MARK: commands

    private func serveRun(
        _ request: HTTPRequest, _ response: HTTPResponseWriter, _ namespace: String, _ pod: String, _ container: String
    ) async {
        guard let id = await running(namespace, pod, container, response) else { return }
        let command = (request.query("cmd") ?? "").split(separator: " ").map(String.init)
        do throws(RuntimeError) {
            let result = try await executor.runtime.execSync(id, command: command, timeoutSeconds: 60)
            let status = result.exitCode == 0 ? 200 : 500
            response.text(
                status, String(decoding: result.stdout + result.stderr, as: UTF8.self),
                contentType: "text/plain; charset=utf-8")
        } catch {
            response.plain(500, error.message)
        }
    }

    private func options(_ request: HTTPRequest) -> StreamOptions {
        func flag(_ names: String...) -> Bool {
            names.contains { name in request.query(name).map { $0 == "1" || $0 == "true" } ?? false }
        }
        let tty = flag("tty")
        return StreamOptions(
            stdin: flag("input", "stdin"), stdout: flag("output", "stdout"), stderr: flag("error", "stderr") && !tty,
            tty: tty)
    }

    private func serveExec(
        _ request: HTTPRequest, _ response: HTTPResponseWriter, _ namespace: String, _ pod: String, _ container: String
    ) async {
        let options = options(request)
        let command = request.queryAll("command")
        guard !command.isEmpty else { return response.plain(400, "you must specify at least one command") }
        guard options.stdin || options.stdout || options.stderr else {
            return response.plain(400, "you must specify at least 1 of stdin, stdout, stderr")
        }
        guard let id = await running(namespace, pod, container, response) else { return }
        do throws(RuntimeError) {
            let url = try await executor.runtime.exec(id, command: command, options)
            await streams.remoteCommand(request, response, url: url, options)
        } catch {
            response.plain(500, error.message)
        }
    }

    private func serveAttach(
        _ request: HTTPRequest, _ response: HTTPResponseWriter, _ namespace: String, _ pod: String, _ container: String
    ) async {
        guard let id = await running(namespace, pod, container, response) else { return }
        // Whether a process has a terminal was decided when it started; a wrong claim never sees its end.
        var options = options(request)
        let found = await life(namespace, pod)?.containers.first { $0.spec.name == container }
        options.tty = found?.spec.json["tty"]?.bool ?? false
        options.stderr = options.stderr && !options.tty
        do throws(RuntimeError) {
            let url = try await executor.runtime.attach(id, options)
            await streams.remoteCommand(request, response, url: url, options)
        } catch {
            response.plain(500, error.message)
        }
    }

    private func servePortForward(
        _ request: HTTPRequest, _ response: HTTPResponseWriter, _ namespace: String, _ pod: String
    ) async {
        guard let sandbox = await life(namespace, pod)?.readySandbox else {
            return response.plain(404, "pod does not exist")
        }
        let ports = (request.queryAll("port") + request.queryAll("ports")).flatMap { $0.split(separator: ",") }
            .compactMap { Int32($0) }
        do throws(RuntimeError) {
            let url = try await executor.runtime.portForward(sandboxID: sandbox.id, ports: ports)
            await streams.portForward(request, response, url: url)
        } catch {
            response.plain(500, error.message)
        }
    }
}

extension HTTPResponseWriter {
    func text(_ status: Int, _ text: String, contentType: String) {
        send(status: status, headers: [("content-type", contentType)], body: ByteBuffer(string: text))
    }
    func plain(_ status: Int, _ message: String) { text(status, message, contentType: "text/plain; charset=utf-8") }
    func json(_ status: Int, _ object: JSON) {
        send(
            status: status, headers: [("content-type", "application/json")],
            body: ByteBuffer(bytes: object.serialized()))
    }
}
