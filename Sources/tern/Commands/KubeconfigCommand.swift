// `tern kubeconfig`: an administrator's kubeconfig of a cluster whose identity directory is at hand. The development cluster writes its
// own (`.tern/kubeconfig`).
import API
import ArgumentParser
import Master
import NetPKI

struct KubeconfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kubeconfig",
        abstract: "Print an administrator's kubeconfig, from the cluster's identity directory.")
    @Option(help: "The identity directory (on a master: <data-dir>/pki).")
    var pkiDir: String
    @Option(help: "Where kubectl reaches a master.")
    var server = "https://127.0.0.1:6443"
    @Option(help: "The administrator's name.")
    var user = "tern-admin"

    func run() throws {
        guard PEMFile.exists("\(pkiDir)/\(ClusterIdentity.lastFile)") else {
            throw CommandFailure("\(pkiDir) is no identity directory")
        }
        let identity = try ClusterIdentity(directory: pkiDir)
        let admin = try identity.administratorCertificate(name: user)
        say(Kubeconfig.text(authorityPEM: identity.clusterCA.certificatePEM, admin, server: server))
    }
}

/// A kubeconfig with one cluster, one user and one context. Pure.
enum Kubeconfig {
    static func text(authorityPEM: String, _ admin: IssuedCertificate, server: String) -> String {
        func base64(_ text: String) -> String { Base64.encode(Array(text.utf8)) }
        return """
            apiVersion: v1
            kind: Config
            current-context: tern
            clusters:
            - name: tern
              cluster:
                server: \(server)
                certificate-authority-data: \(base64(authorityPEM))
            users:
            - name: tern-admin
              user:
                client-certificate-data: \(base64(admin.certificatePEM))
                client-key-data: \(base64(admin.keyPEM))
            contexts:
            - name: tern
              context:
                cluster: tern
                user: tern-admin

            """
    }
}
