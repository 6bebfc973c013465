// A certificate signing request (PKCS#10): reading one that a node or a user posted, making one for a new key.
// It exists for the CertificateSigningRequest API and for nodes that join. It must never be trusted before
// its own signature was checked, which the initialisers do.
import Crypto
import SwiftASN1
import X509

/// A request whose signature was verified with the key inside it (proof of possession).
package struct CertificateRequest: Sendable {
    package let commonName: String
    package let organizations: [String]
    package let dnsNames: [String]
    package let ipAddresses: [String]
    package let uris: [String]
    let publicKey: Certificate.PublicKey

    /// Reads the first CERTIFICATE REQUEST block of a PEM text.
    package init(pem: String) throws(PKIError) {
        let document: PEMDocument
        do { document = try PEMDocument(pemString: pem) } catch { throw .malformed("PEM text: \(error)") }
        let wanted = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]
        guard wanted.contains(document.discriminator) else {
            throw .malformed("PEM block type must be CERTIFICATE REQUEST")
        }
        try self.init(der: document.derBytes)
    }

    /// Reads a DER request.
    package init(der: [UInt8]) throws(PKIError) {
        let request: CertificateSigningRequest
        do { request = try CertificateSigningRequest(derEncoded: der) } catch { throw .malformed("request: \(error)") }
        guard request.publicKey.isValidSignature(request.signature, for: request) else {
            throw .badSignature("the request's signature does not match its key")
        }
        let subject = SubjectNames(request.subject)
        let names = AlternativeNames(requestedExtensions(request))
        commonName = subject.commonName
        organizations = subject.organizations
        dnsNames = names.dnsNames
        ipAddresses = names.ipAddresses
        uris = names.uris
        publicKey = request.publicKey
    }

    /// A new P-256 key and a request for it, both PEM.
    package static func make(_ spec: CertificateSpec) throws(PKIError) -> (requestPEM: String, keyPEM: String) {
        let key = P256.Signing.PrivateKey()
        let names = try AlternativeNames(dnsNames: spec.dnsNames, ipAddresses: spec.ipAddresses).general()
        do {
            var extensions = Certificate.Extensions()
            if let names { try extensions.append(names.makeCertificateExtension()) }
            let attributes = try CertificateSigningRequest.Attributes([.init(ExtensionRequest(extensions: extensions))])
            let request = try CertificateSigningRequest(
                version: .v1,
                subject: SubjectNames(commonName: spec.commonName, organizations: spec.organizations).distinguishedName,
                privateKey: .init(key), attributes: attributes, signatureAlgorithm: .ecdsaWithSHA256)
            return (try request.serializeAsPEM().pemString + "\n", key.pemRepresentation)
        } catch {
            throw .malformed("making a request: \(error)")
        }
    }
}

private func requestedExtensions(_ request: CertificateSigningRequest) -> Certificate.Extensions {
    readExtension { try request.attributes.extensionRequest }?.extensions ?? Certificate.Extensions()
}
