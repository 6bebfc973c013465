// How a machine becomes a node: it is told a server, a token and the hash of the cluster's authority. It fetches the authority and
// believes it only when the hash agrees; from then on every connection is verified. The token asks for the node's first certificate,
// that certificate asks for the one that the kubelet serves with. A node that has its certificates asks for nothing.
import API
import APIClient
import Logging
import NIOCore
import NetBalancer
import NetHTTP
import NetPKI

package struct NodeJoin: Sendable {
    /// Where a master hands out the authority's certificate, which is no secret.
    package static let authorityPath = "/tern/ca"
    static let authorityBytesMax = 64 << 10

    package var node: String
    package var address: String
    package var servers: [Backend]
    package var token: String
    /// `sha256:` and the hexadecimal hash of the authority's certificate (its DER bytes).
    package var authorityHash: String
    package var files: NodeFiles

    package init(
        node: String, address: String, servers: [Backend], token: String, authorityHash: String, files: NodeFiles
    ) {
        self.node = node
        self.address = address
        self.servers = servers
        self.token = token
        self.authorityHash = authorityHash
        self.files = files
    }

    /// Whether a text has the form of a bootstrap token.
    package static func isToken(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 2 && parts[0].utf8.count == 6 && parts[1].utf8.count == 16
            && parts.joined().utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x7a) }
    }

    /// The hash that pins an authority.
    package static func hash(ofAuthority pem: String) throws(PKIError) -> String {
        "sha256:" + (try ClientCertificate(pem: pem).fingerprintSHA256)
    }

    /// Makes the files complete; repeats safely.
    package func run(group: any EventLoopGroup, logger: Logger) async throws {
        try Files.makeDirectory(files.folder, mode: 0o700)
        if !Files.exists(files.authority) {
            try PEMFile.write(try await fetchAuthority(group, logger), to: files.authority, mode: 0o644)
        }
        let authority = try PEMFile.read(files.authority)
        guard try Self.hash(ofAuthority: authority) == authorityHash else {
            throw WorkerError(
                "\(files.authority) is not the authority that was named; remove it to join another cluster")
        }
        if !Files.exists(files.certificate) {
            try Files.write(token, to: files.token, mode: 0o600)
            let client = try client(authority, identity: nil, group, logger)
            let issued = try await SigningRequest(node: node, addresses: [], purpose: .client).run(through: client)
            try files.write(issued, isServing: false)
            await client.shutdown()
            try Subprocess.run(["rm", "-f", files.token])
            logger.notice("the cluster has signed the node's certificate", metadata: ["node": "\(node)"])
        }
        if !Files.exists(files.servingCertificate) {
            let client = try client(authority, identity: try files.clientIdentity(), group, logger)
            let issued = try await SigningRequest(node: node, addresses: [address], purpose: .serving).run(
                through: client)
            try files.write(issued, isServing: true)
            await client.shutdown()
        }
    }

    private func client(
        _ authority: String, identity: TLSIdentity?, _ group: any EventLoopGroup, _ logger: Logger
    ) throws -> RESTClient {
        let tls = try ClientTLS(trustRootsPEM: authority, identity: identity)
        return try RESTClient(
            RESTClientConfiguration(
                servers: servers.map { "https://\($0)" }, tls: tls, tokenFile: identity == nil ? files.token : nil),
            group: group, logger: logger)
    }

    /// From the first server that answers; believed only when its hash is the one that was named.
    private func fetchAuthority(_ group: any EventLoopGroup, _ logger: Logger) async throws -> String {
        let tls = try ClientTLS(trustRootsPEM: nil, skipsVerification: true)
        let http = HTTPClient(configuration: HTTPClientConfiguration(tls: tls), group: group, logger: logger)
        var last = "no server was named"
        for server in servers {
            do {
                let pem = try await fetch(from: server, http)
                guard try Self.hash(ofAuthority: pem) == authorityHash else {
                    throw WorkerError("\(server) shows another authority than the one that was named")
                }
                await http.shutdown()
                return pem
            } catch {
                last = "\(error)"
            }
        }
        await http.shutdown()
        throw WorkerError("the cluster's authority cannot be had: \(last)")
    }

    private func fetch(from server: Backend, _ http: HTTPClient) async throws -> String {
        var request = HTTPClientRequest(
            method: "GET", endpoint: HTTPEndpoint(host: server.host, port: server.port, isSecure: true),
            target: Self.authorityPath, timeout: .seconds(5))
        request.responseBytesMax = Self.authorityBytesMax
        let answer = try await http.send(request)
        guard answer.status == 200 else { throw WorkerError("\(server) answers \(answer.status)") }
        return String(buffer: answer.body)
    }
}
