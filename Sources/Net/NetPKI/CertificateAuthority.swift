// A certificate authority: makes itself, issues leaf certificates with fresh keys, signs requests. P-256 throughout.
// It exists because every cluster makes its own authorities. It must never write files and never log a key.
import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// Certificate and key, both PEM; the key is PKCS#8.
package struct IssuedCertificate: Sendable {
    package var certificatePEM: String
    package var keyPEM: String

    package init(certificatePEM: String, keyPEM: String) {
        self.certificatePEM = certificatePEM
        self.keyPEM = keyPEM
    }
}

/// What a certificate shall say. `validitySeconds` counts from `now`; a small allowance for skewed clocks is made
/// before it.
package struct CertificateSpec: Sendable {
    package var commonName: String
    package var organizations: [String]
    package var dnsNames: [String]
    package var ipAddresses: [String]
    package var usages: [CertificateUsage]
    package var validitySeconds: Int64

    package init(
        commonName: String, organizations: [String] = [], dnsNames: [String] = [], ipAddresses: [String] = [],
        usages: [CertificateUsage] = [.server, .client], validitySeconds: Int64 = 365 * 86_400
    ) {
        self.commonName = commonName
        self.organizations = organizations
        self.dnsNames = dnsNames
        self.ipAddresses = ipAddresses
        self.usages = usages
        self.validitySeconds = validitySeconds
    }
}

/// Seconds since 1970 by the machine's clock.
package func wallClockSeconds() -> Int64 { Int64(Date().timeIntervalSince1970) }

/// One authority: a self-signed certificate and its key.
package struct CertificateAuthority: Sendable {
    /// Certificates are valid from this long before `now`, so that a machine with a slow clock accepts them.
    package static let clockSkewSeconds: Int64 = 300

    package let certificatePEM: String
    package let keyPEM: String
    private let certificate: Certificate
    private let key: Certificate.PrivateKey

    /// Makes a new authority. Ten years by default.
    package static func make(
        commonName: String, validitySeconds: Int64 = 3650 * 86_400, now: Int64 = wallClockSeconds()
    ) throws(PKIError) -> CertificateAuthority {
        let key = P256.Signing.PrivateKey()
        let name = SubjectNames(commonName: commonName, organizations: []).distinguishedName
        let made = try makeCertificate(
            subject: name, issuer: name, publicKey: .init(key.publicKey), signer: .init(key), authorityKey: nil,
            extensions: { try authorityExtensions(key.publicKey) }, validity: (now, validitySeconds))
        return try CertificateAuthority(certificatePEM: pemText(made), keyPEM: key.pemRepresentation)
    }

    /// Reads an authority from its two PEM texts and checks that they belong together.
    package init(certificatePEM: String, keyPEM: String) throws(PKIError) {
        guard let der = try pemCertificates(certificatePEM).first else {
            throw .malformed("no certificate in the PEM text")
        }
        certificate = try readCertificate(der: der)
        do { key = try Certificate.PrivateKey(pemEncoded: keyPEM) } catch { throw .malformed("key: \(error)") }
        guard key.publicKey == certificate.publicKey else {
            throw .malformed("the key does not belong to the certificate")
        }
        guard isCertificateAuthority(certificate) else { throw .untrusted("the certificate is not an authority's") }
        self.certificatePEM = certificatePEM
        self.keyPEM = keyPEM
    }

    /// A leaf certificate with a fresh P-256 key.
    package func issue(_ spec: CertificateSpec, now: Int64 = wallClockSeconds()) throws(PKIError) -> IssuedCertificate {
        let key = P256.Signing.PrivateKey()
        let pem = try issue(spec, publicKey: .init(key.publicKey), now: now)
        return IssuedCertificate(certificatePEM: pem, keyPEM: key.pemRepresentation)
    }

    /// A leaf certificate for the public key of another certificate or request (PEM, SubjectPublicKeyInfo).
    package func issue(
        _ spec: CertificateSpec, publicKeyPEM: String, now: Int64 = wallClockSeconds()
    ) throws(PKIError) -> String {
        let publicKey: Certificate.PublicKey
        do { publicKey = try Certificate.PublicKey(pemEncoded: publicKeyPEM) } catch {
            throw .malformed("public key: \(error)")
        }
        return try issue(spec, publicKey: publicKey, now: now)
    }

    /// Signs a request as it stands: its subject, alternative names and key; the usages and the validity are the
    /// signer's.
    package func sign(
        _ request: CertificateRequest, usages: [CertificateUsage], validitySeconds: Int64,
        now: Int64 = wallClockSeconds()
    ) throws(PKIError) -> String {
        let spec = CertificateSpec(
            commonName: request.commonName, organizations: request.organizations, dnsNames: request.dnsNames,
            ipAddresses: request.ipAddresses, usages: usages, validitySeconds: validitySeconds)
        return try issue(spec, publicKey: request.publicKey, now: now)
    }

    private func issue(_ spec: CertificateSpec, publicKey: Certificate.PublicKey, now: Int64) throws(PKIError) -> String
    {
        let names = try AlternativeNames(dnsNames: spec.dnsNames, ipAddresses: spec.ipAddresses).general()
        let subject = SubjectNames(commonName: spec.commonName, organizations: spec.organizations).distinguishedName
        let left = Int64(certificate.notValidAfter.timeIntervalSince1970) &- now
        let made = try makeCertificate(
            subject: subject, issuer: certificate.subject, publicKey: publicKey, signer: key,
            authorityKey: readExtension { try certificate.extensions.subjectKeyIdentifier },
            extensions: { try leafExtensions(spec.usages, names) },
            validity: (now, min(spec.validitySeconds, max(left, 1))))
        return pemText(made)
    }
}

private func makeCertificate(
    subject: DistinguishedName, issuer: DistinguishedName, publicKey: Certificate.PublicKey,
    signer: Certificate.PrivateKey,
    authorityKey: SubjectKeyIdentifier?, extensions: () throws -> Certificate.Extensions,
    validity: (now: Int64, seconds: Int64)
) throws(PKIError) -> Certificate {
    do {
        var all = try extensions()
        if let authorityKey {
            try all.append(AuthorityKeyIdentifier(keyIdentifier: authorityKey.keyIdentifier).makeCertificateExtension())
        }
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
            notValidBefore: Date(timeIntervalSince1970: Double(validity.now &- CertificateAuthority.clockSkewSeconds)),
            notValidAfter: Date(timeIntervalSince1970: Double(validity.now &+ validity.seconds)),
            issuer: issuer, subject: subject, extensions: all, issuerPrivateKey: signer)
    } catch {
        throw .malformed("making a certificate: \(error)")
    }
}

private func authorityExtensions(_ key: P256.Signing.PublicKey) throws -> Certificate.Extensions {
    try Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
        Critical(KeyUsage(digitalSignature: true, keyEncipherment: true, keyCertSign: true, cRLSign: true))
        SubjectKeyIdentifier(hash: Certificate.PublicKey(key))
    }
}

private func leafExtensions(
    _ usages: [CertificateUsage], _ names: SubjectAlternativeNames?
) throws -> Certificate.Extensions {
    var all = try Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true, keyEncipherment: true))
    }
    if !usages.isEmpty {
        try all.append(
            ExtendedKeyUsage(usages.map { $0 == .server ? .serverAuth : .clientAuth }).makeCertificateExtension())
    }
    if let names { try all.append(names.makeCertificateExtension()) }
    return all
}

private func pemText(_ certificate: Certificate) -> String {
    do {
        return try certificate.serializeAsPEM().pemString + "\n"
    } catch {
        preconditionFailure("a certificate that was just made cannot be serialised: \(error)")
    }
}
