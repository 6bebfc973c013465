// The listener for clients: gRPC over HTTP/2, and on the same port HTTP/1.1 for `/health`, `/version` and `/metrics`.
// It also tells the other members how clients reach this one. It must never serve before its replica was started.
import KVCore
import KVReplica
import Logging
import NIOCore
import NetGRPC
import NetHTTP
import NetPKI
import Raft

/// Serves one replica to etcd's clients.
package final class EtcdServer: Sendable {
    private let grpc: GRPCServer
    private let http: HTTPServer
    private let replica: Replica
    private let advertised: [String]

    /// `tls` nil: plain text, for loopback only. Its protocols should be `h2` and `http/1.1`.
    package init(
        _ replica: Replica, _ configuration: EtcdConfiguration, host: String, port: Int, tls: ServerTLS?,
        group: any EventLoopGroup, logger: Logger
    ) {
        self.replica = replica
        advertised = configuration.advertisedURLs
        let web = EtcdWeb(replica, version: configuration.version)
        let http = HTTPServer(
            configuration: HTTPServerConfiguration(host: host, port: port),
            service: HTTPClosureService { request, response in
                web.answer(method: request.method, path: request.path) { answer in
                    response.send(
                        status: answer.status, headers: [("content-type", answer.contentType)],
                        body: ByteBuffer(string: answer.body))
                }
            }, group: group, logger: logger)
        self.http = http
        var listener = GRPCServerConfiguration(address: .tcp(host: host, port: port), tls: tls)
        listener.messageBytesMax = EtcdRequests.messageBytesMax
        listener.otherProtocol = { channel, certificate in try http.adopt(channel, certificate: certificate) }
        listener.refused = { address, why in
            logger.info("client refused", metadata: ["address": "\(address)", "why": "\(why)"])
        }
        listener.plainRequest = { request in
            let path = request.target.split(separator: "?", maxSplits: 1).first.map(String.init) ?? "/"
            web.answer(method: request.method, path: path, request.answer)
        }
        grpc = GRPCServer(configuration: listener, service: EtcdService(replica, configuration), group: group)
    }

    /// Binds and serves; answers the bound port.
    package func start() async throws -> Int {
        let port = try await grpc.start()
        if !advertised.isEmpty { Task { [replica, advertised] in await replica.settleIn(clientURLs: advertised) } }
        return port
    }

    package func stop(grace: TimeAmount) async {
        await http.stop(grace: .milliseconds(10))
        await grpc.stop(grace: grace)
    }
}
