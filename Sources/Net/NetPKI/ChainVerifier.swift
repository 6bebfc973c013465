// Decides whether a client's certificate chain leads to one of our authorities, now. Synchronous and pure:
// the TLS handler calls it on the event loop. The texts are upstream's, since clients show them.
// It must never accept on doubt: unknown issuers, wrong usage and clocks outside the validity are refusals.
import FoundationEssentials
import X509

/// The authorities that client certificates may come from.
package struct TrustBundle: Sendable {
    /// How many intermediates a chain may have.
    package static let depthMax = 4
    private let roots: [Certificate]

    package init(pem: String) throws(PKIError) {
        var read: [Certificate] = []
        for der in try pemCertificates(pem) { read.append(try readCertificate(der: der)) }
        guard !read.isEmpty else { throw .malformed("no certificate in the CA bundle") }
        roots = read
    }

    /// Verifies `chain` (leaf first, DER) for TLS client use. Throws what is wrong with it.
    package func verifyClient(_ chain: [[UInt8]], now: Int64 = wallClockSeconds()) throws(PKIError) -> ClientCertificate
    {
        guard let first = chain.first else { throw .malformed("no certificate") }
        let leaf = try readCertificate(der: first)
        let shown = ClientCertificate(certificate: leaf, der: first)
        try checkTime(leaf, now)
        var intermediates: [Certificate] = []
        for der in chain.dropFirst().prefix(Self.depthMax) { intermediates.append(try readCertificate(der: der)) }
        try climb(from: leaf, intermediates, now, depth: 0)
        guard shown.usages.contains(.client) else {
            throw .untrusted("x509: certificate specifies an incompatible key usage")
        }
        return shown
    }

    private func climb(
        from child: Certificate, _ intermediates: [Certificate], _ now: Int64, depth: Int
    ) throws(PKIError) {
        for root in roots where signs(root, child) {
            try checkTime(root, now)
            return
        }
        guard depth < Self.depthMax else { throw .untrusted("x509: certificate signed by unknown authority") }
        for parent in intermediates where isCertificateAuthority(parent) && signs(parent, child) {
            try checkTime(parent, now)
            return try climb(from: parent, intermediates, now, depth: depth + 1)
        }
        throw .untrusted("x509: certificate signed by unknown authority")
    }

    private func signs(_ parent: Certificate, _ child: Certificate) -> Bool {
        parent.subject == child.issuer && parent.publicKey.isValidSignature(child.signature, for: child)
    }

    private func checkTime(_ certificate: Certificate, _ now: Int64) throws(PKIError) {
        let from = Int64(certificate.notValidBefore.timeIntervalSince1970)
        let until = Int64(certificate.notValidAfter.timeIntervalSince1970)
        guard from <= now, now <= until else {
            throw .expired("x509: certificate has expired or is not yet valid")
        }
    }
}
