// Replaces the node's certificates before they end, while everything runs: new connections show the new ones. What cannot be renewed
// now is tried again; nothing is taken away from a node whose renewal is refused.
import API
import Logging
import NetPKI

package struct CertificateRotation: Sendable {
    static let lookEvery: Duration = .seconds(600)
    static let retryAfter: Duration = .seconds(60)

    var node: String
    var address: String
    var files: NodeFiles
    var client: any ObjectClient
    var clientTLS: ClientTLS
    var servingTLS: ServerTLS
    var logger: Logger

    /// Runs until the task is cancelled.
    func run() async {
        let chance = Double.random(in: 0..<1)
        while !Task.isCancelled {
            var pause = Self.lookEvery
            do { try await renew(chance) } catch {
                if Task.isCancelled { return }
                logger.warning("a certificate is not renewed", metadata: ["error": "\(error)"])
                pause = Self.retryAfter
            }
            do { try await Task.sleep(for: pause) } catch { return }
        }
    }

    /// Renews what is due. Serving first: a certificate that was for both uses is replaced by two.
    private func renew(_ chance: Double) async throws {
        let isBoth = !Files.exists(files.servingCertificate)
        let clientDue = try isDue(files.certificate, chance)
        if try isBoth ? clientDue : isDue(files.servingCertificate, chance) {
            let issued = try await SigningRequest(node: node, addresses: [address], purpose: .serving).run(
                through: client)
            try files.write(issued, isServing: true)
            try servingTLS.replace(identity: try TLSIdentity(issued))
            logger.notice("the kubelet's serving certificate is renewed")
        }
        guard clientDue else { return }
        let issued = try await SigningRequest(node: node, addresses: [], purpose: .client).run(through: client)
        try files.write(issued, isServing: false)
        try clientTLS.replace(identity: try TLSIdentity(issued))
        logger.notice("the node's client certificate is renewed")
    }

    private func isDue(_ path: String, _ chance: Double) throws -> Bool {
        let certificate = try ClientCertificate(pem: try PEMFile.read(path))
        return CertificateLife.renewAt(
            notBefore: certificate.notBefore, notAfter: certificate.notAfter, chance: chance)
            <= Int64(Timestamp.nowSeconds())
    }
}
