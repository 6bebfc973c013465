// The facts of one certificate that the rest of the program asks for: who it names, for how long, its bytes.
// It exists so that nobody above imports X509. It must never be taken for a proof: whether the certificate
// was verified is the verdict's business (`PeerVerdict`).
import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// The leaf that a peer showed, or any other certificate that was read. Times are seconds since 1970.
package struct ClientCertificate: Sendable, Equatable {
    package var commonName: String
    package var organizations: [String]
    package var dnsNames: [String]
    package var ipAddresses: [String]
    package var uris: [String]
    package var usages: Set<CertificateUsage>
    package var isAuthority: Bool
    package var serialNumber: String
    package var issuerCommonName: String
    package var notBefore: Int64
    package var notAfter: Int64
    package var der: [UInt8]
    /// Lower-case hexadecimal SHA-256 of the DER bytes.
    package var fingerprintSHA256: String

    /// Reads one DER certificate.
    package init(der: [UInt8]) throws(PKIError) {
        self.init(certificate: try readCertificate(der: der), der: der)
    }

    /// Reads the first certificate of a PEM text.
    package init(pem: String) throws(PKIError) {
        guard let first = try pemCertificates(pem).first else { throw .malformed("no certificate in the PEM text") }
        try self.init(der: first)
    }

    init(certificate: Certificate, der: [UInt8]) {
        let subject = SubjectNames(certificate.subject)
        let names = AlternativeNames(certificate.extensions)
        commonName = subject.commonName
        organizations = subject.organizations
        dnsNames = names.dnsNames
        ipAddresses = names.ipAddresses
        uris = names.uris
        usages = CertificateUsage.read(certificate.extensions)
        isAuthority = isCertificateAuthority(certificate)
        serialNumber = hexadecimal(certificate.serialNumber.bytes)
        issuerCommonName = SubjectNames(certificate.issuer).commonName
        notBefore = Int64(certificate.notValidBefore.timeIntervalSince1970)
        notAfter = Int64(certificate.notValidAfter.timeIntervalSince1970)
        self.der = der
        fingerprintSHA256 = hexadecimal(SHA256.hash(data: der))
    }
}

/// What a key may be used for in TLS.
package enum CertificateUsage: Sendable, Hashable {
    case server, client

    static func read(_ extensions: Certificate.Extensions) -> Set<CertificateUsage> {
        guard let usage = readExtension({ try extensions.extendedKeyUsage }) else { return [] }
        var found: Set<CertificateUsage> = []
        for one in usage {
            if one == .serverAuth || one == .any { found.insert(.server) }
            if one == .clientAuth || one == .any { found.insert(.client) }
        }
        return found
    }
}

/// A missing and an unreadable extension are alike here: neither grants anything.
func readExtension<T>(_ read: () throws -> T?) -> T? {
    do { return try read() } catch { return nil }
}

func isCertificateAuthority(_ certificate: Certificate) -> Bool {
    guard let constraints = readExtension({ try certificate.extensions.basicConstraints }) else { return false }
    if case .isCertificateAuthority = constraints { return true }
    return false
}

func readCertificate(der: [UInt8]) throws(PKIError) -> Certificate {
    do { return try Certificate(derEncoded: der) } catch { throw .malformed("certificate: \(error)") }
}

/// The DER bytes of every CERTIFICATE block of a PEM text, in order.
package func pemCertificates(_ pem: String) throws(PKIError) -> [[UInt8]] {
    do {
        return try PEMDocument.parseMultiple(pemString: pem).filter { $0.discriminator == "CERTIFICATE" }.map(
            \.derBytes)
    } catch {
        throw .malformed("PEM text: \(error)")
    }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
