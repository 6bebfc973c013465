// `tern token`: bootstrap tokens with which machines join as workers. They are Secrets of kube-system in upstream's form; the
// controllers delete them when their time is over.
import API
import APIClient
import ArgumentParser
import Logging
import Master
import NIOPosix
import NetPKI
import Worker

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Tokens with which workers join the cluster.",
        subcommands: [Create.self, List.self, Delete.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create", abstract: "Make a token and print how a worker joins with it.")
        @OptionGroup var cluster: ClusterAccess
        @Option(help: "How long it is good for: 30m, 24h, 7d; 0: for ever.")
        var ttl = "24h"
        @Option(help: "What it is for.")
        var description = ""
        @Flag(help: "Print the token alone.")
        var quiet = false

        func run() async throws {
            guard let seconds = BootstrapTokenSecret.seconds(ttl) else {
                throw ValidationError("--ttl is a number with s, m, h or d, not \(ttl)")
            }
            let access = try cluster.open()
            var random = SystemRandomNumberGenerator()
            let token = BootstrapTokenSecret.random(using: &random)
            let end = seconds == 0 ? nil : Timestamp.text(Timestamp.nowSeconds() + Double(seconds))
            let secret = BootstrapTokenSecret.object(token, expiration: end, description: description)
            _ = try await access.client.create(.secrets, namespace: "kube-system", secret)
            await access.client.shutdown()
            if quiet { return say(token) }
            let hash = try NodeJoin.hash(ofAuthority: access.authorityPEM)
            say("tern worker --server \(access.servers) --token \(token) \\")
            say("  --ca-cert-hash \(hash) --name $(hostname) --data-dir /var/lib/tern --node-ip ADDRESS")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "list", abstract: "List the tokens.")
        @OptionGroup var cluster: ClusterAccess

        func run() async throws {
            let access = try cluster.open()
            let secrets = try await access.client.list(
                .secrets, namespace: "kube-system",
                ListOptions(fieldSelector: "type=\(BootstrapTokenSecret.type)")
            ).items
            await access.client.shutdown()
            say("TOKEN                     EXPIRES                DESCRIPTION")
            for secret in secrets { say(BootstrapTokenSecret.row(secret)) }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "delete", abstract: "Delete tokens.")
        @OptionGroup var cluster: ClusterAccess
        @Argument(help: "Tokens, or the part before the point.")
        var tokens: [String]

        func run() async throws {
            let access = try cluster.open()
            for token in tokens {
                let id = token.split(separator: ".").first.map(String.init) ?? ""
                try await access.client.delete(
                    .secrets, namespace: "kube-system", name: "bootstrap-token-\(id)", DeleteOptions())
                say("token \(id) deleted")
            }
            await access.client.shutdown()
        }
    }
}

/// The cluster that a command acts on: the development cluster here, or one whose identity directory is at hand.
struct ClusterAccess: ParsableArguments {
    @Option(
        help: "A cluster of your own: its identity directory (on a master: <data-dir>/pki). [default: the cluster here]"
    )
    var pkiDir: String?
    @Option(help: "With --pki-dir: the masters, host:port,host:port,...")
    var server = "127.0.0.1:6443"

    struct Access {
        var client: RESTClient
        var authorityPEM: String
        /// As a worker is told them.
        var servers: String
    }

    func open() throws -> Access {
        guard let pkiDir else { return try openDevelopmentCluster() }
        let identity = try ClusterIdentity(directory: pkiDir)
        let admin = try TLSIdentity(try identity.administratorCertificate(name: "tern-admin"))
        let tls = try ClientTLS(trustRootsPEM: identity.clusterCA.certificatePEM, identity: admin)
        var logger = Logger(label: "tern", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .error
        let servers = server.split(separator: ",").map { "https://\($0)" }
        let client = try RESTClient(
            RESTClientConfiguration(servers: servers, tls: tls), group: MultiThreadedEventLoopGroup.singleton,
            logger: logger)
        return Access(client: client, authorityPEM: identity.clusterCA.certificatePEM, servers: server)
    }

    private func openDevelopmentCluster() throws -> Access {
        try requireRoot("to read the cluster's identity")
        let layout = try Layout.current()
        guard let port = Gateway(layout: layout, binary: executablePath()).runningPort else {
            throw CommandFailure("the cluster does not run here: 'make up' starts it")
        }
        let authority = try PEMFile.read("\(layout.pki)/ca.crt")
        return Access(
            client: try Readiness(layout: layout, port: port).client(), authorityPEM: authority,
            servers: layout.masterEndpoints)
    }
}
