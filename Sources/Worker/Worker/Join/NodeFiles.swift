// The files of a node's identity, all in one folder: the cluster's authority, the certificate that the node shows to the API,
// and the one that its kubelet serves with. A node whose certificates were issued from the identity directory has one for both.
import NetPKI

package struct NodeFiles: Sendable {
    package var folder: String

    package init(dataDirectory: String) { folder = "\(dataDirectory)/pki" }

    package var authority: String { "\(folder)/ca.crt" }
    package var certificate: String { "\(folder)/kubelet.crt" }
    package var key: String { "\(folder)/kubelet.key" }
    package var servingCertificate: String { "\(folder)/kubelet-serving.crt" }
    package var servingKey: String { "\(folder)/kubelet-serving.key" }
    /// The token, while the node joins.
    package var token: String { "\(folder)/bootstrap-token" }

    /// What the node shows to the API.
    package func clientIdentity() throws(PKIError) -> TLSIdentity {
        try TLSIdentity(certificatePEM: try PEMFile.read(certificate), keyPEM: try PEMFile.read(key))
    }

    /// What the kubelet serves with.
    package func servingIdentity() throws(PKIError) -> TLSIdentity {
        guard PEMFile.exists(servingCertificate) else { return try clientIdentity() }
        return try TLSIdentity(
            certificatePEM: try PEMFile.read(servingCertificate), keyPEM: try PEMFile.read(servingKey))
    }

    /// The key first: a certificate that is there has its key.
    func write(_ issued: IssuedCertificate, isServing: Bool) throws(PKIError) {
        try PEMFile.write(issued.keyPEM, to: isServing ? servingKey : key)
        try PEMFile.write(issued.certificatePEM, to: isServing ? servingCertificate : certificate, mode: 0o644)
    }
}

/// When a certificate is to be replaced. Pure.
package enum CertificateLife {
    /// After seven to nine tenths of its life, as upstream; `chance` (0..<1) spreads the nodes.
    package static func renewAt(notBefore: Int64, notAfter: Int64, chance: Double) -> Int64 {
        let life = Double(max(0, notAfter &- notBefore))
        return notBefore &+ Int64((life * (0.7 + 0.2 * min(max(chance, 0), 1))).rounded())
    }
}
