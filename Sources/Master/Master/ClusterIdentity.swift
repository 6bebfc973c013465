// The identity of a cluster as one directory: three certificate authorities (cluster, store, front proxy) and the key that signs
// service-account tokens. The first master makes it; every master has a copy; it is part of the backup. Leaf certificates are
// issued from it at each start and kept in memory only.
import Glibc
import NetPKI

package struct ClusterIdentity: Sendable {
    package var clusterCA: CertificateAuthority
    package var storeCA: CertificateAuthority
    package var frontProxyCA: CertificateAuthority
    package var serviceAccountKey: ServiceAccountKey

    /// What is made last: a directory that has it is complete.
    package static let lastFile = "sa.key"

    /// Reads the directory; makes what is missing. The directory must exist. Several masters may share it and start together:
    /// one of them makes everything, the others wait.
    package init(directory: String) throws(PKIError) {
        let lock = PEMFile.exists("\(directory)/\(Self.lastFile)") ? -1 : Self.lock(directory)
        defer { if lock >= 0 { close(lock) } }
        clusterCA = try Self.authority("\(directory)/ca", commonName: "tern-ca")
        storeCA = try Self.authority("\(directory)/store-ca", commonName: "tern-store-ca")
        frontProxyCA = try Self.authority("\(directory)/front-proxy-ca", commonName: "tern-front-proxy-ca")
        let keyPath = "\(directory)/\(Self.lastFile)"
        if PEMFile.exists(keyPath) {
            serviceAccountKey = try ServiceAccountKey(pem: try PEMFile.read(keyPath))
        } else {
            serviceAccountKey = try ServiceAccountKey.make()
            try PEMFile.write(serviceAccountKey.pem, to: keyPath)
        }
    }

    /// Held until it is closed; -1 when there is none to be had (a directory that may only be read).
    private static func lock(_ directory: String) -> Int32 {
        let file = open("\(directory)/lock", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        if file >= 0 { while flock(file, LOCK_EX) < 0 && errno == EINTR {} }
        return file
    }

    private static func authority(_ path: String, commonName: String) throws(PKIError) -> CertificateAuthority {
        if PEMFile.exists("\(path).key") {
            return try CertificateAuthority(
                certificatePEM: try PEMFile.read("\(path).crt"), keyPEM: try PEMFile.read("\(path).key"))
        }
        let made = try CertificateAuthority.make(commonName: commonName)
        try PEMFile.write(made.certificatePEM, to: "\(path).crt", mode: 0o644)
        try PEMFile.write(made.keyPEM, to: "\(path).key")
        return made
    }

    /// What the API server shows: every name by which clients reach it.
    package func servingCertificate(
        name: String, addresses: [String], serviceAddress: String, clusterDomain: String
    ) throws(PKIError) -> IssuedCertificate {
        let service = [
            "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.\(clusterDomain)"
        ]
        return try clusterCA.issue(
            CertificateSpec(
                commonName: "kube-apiserver", dnsNames: service + ["localhost", name],
                ipAddresses: Self.unique([serviceAddress, "127.0.0.1"] + addresses), usages: [.server]))
    }

    /// What a master shows to kubelets.
    package func kubeletClientCertificate() throws(PKIError) -> IssuedCertificate {
        try clusterCA.issue(
            CertificateSpec(
                commonName: "kube-apiserver-kubelet-client", organizations: ["system:masters"], usages: [.client]))
    }

    /// What a master shows to its peers and to clients of the store.
    package func peerCertificate(name: String, addresses: [String]) throws(PKIError) -> IssuedCertificate {
        try storeCA.issue(
            CertificateSpec(
                commonName: name, dnsNames: ["localhost", name], ipAddresses: Self.unique(["127.0.0.1"] + addresses),
                usages: [.server, .client]))
    }

    /// An administrator's certificate.
    package func administratorCertificate(name: String) throws(PKIError) -> IssuedCertificate {
        try clusterCA.issue(CertificateSpec(commonName: name, organizations: ["system:masters"], usages: [.client]))
    }

    /// A node's certificate: its name towards the API, and what its kubelet serves with.
    package func nodeCertificate(name: String, addresses: [String]) throws(PKIError) -> IssuedCertificate {
        try clusterCA.issue(
            CertificateSpec(
                commonName: "system:node:\(name)", organizations: ["system:nodes"], dnsNames: [name],
                ipAddresses: addresses, usages: [.server, .client]))
    }

    private static func unique(_ values: [String]) -> [String] {
        values.enumerated().filter { values.firstIndex(of: $0.element) == $0.offset }.map(\.element)
    }
}
