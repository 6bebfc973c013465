// The certificate chain and key that one side of a TLS connection shows. A value, made from PEM once and handed to
// `ServerTLS` or `ClientTLS`. It must never be described with its key.
import NIOSSL

/// A certificate chain (leaf first) and its private key.
package struct TLSIdentity: Sendable {
    let chain: [NIOSSLCertificateSource]
    let key: NIOSSLPrivateKeySource

    package init(certificatePEM: String, keyPEM: String) throws(PKIError) {
        do {
            let certificates = try NIOSSLCertificate.fromPEMBytes(Array(certificatePEM.utf8))
            chain = certificates.map { .certificate($0) }
            key = .privateKey(try NIOSSLPrivateKey(bytes: Array(keyPEM.utf8), format: .pem))
        } catch {
            throw .malformed("TLS certificate or key: \(error)")
        }
        guard !chain.isEmpty else { throw .malformed("no certificate in the PEM text") }
    }

    package init(_ issued: IssuedCertificate) throws(PKIError) {
        try self.init(certificatePEM: issued.certificatePEM, keyPEM: issued.keyPEM)
    }
}

func readTrustRoots(_ pem: String) throws(PKIError) -> [NIOSSLCertificate] {
    let read: [NIOSSLCertificate]
    do { read = try NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)) } catch { throw .malformed("CA bundle: \(error)") }
    guard !read.isEmpty else { throw .malformed("no certificate in the CA bundle") }
    return read
}
