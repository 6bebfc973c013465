// The identity of a cluster as one directory: three certificate authorities (cluster, store, front proxy) and the key that signs
// service-account tokens. The first master makes it; every master has a copy; it is part of the backup. Leaf certificates are
// issued from it at each start and kept in memory only.
import NetPKI

package struct ClusterIdentity: Sendable {
    package var clusterCA: CertificateAuthority
    package var storeCA: CertificateAuthority
    package var frontProxyCA: CertificateAuthority
    package var serviceAccountKey: ServiceAccountKey

    /// Reads the directory; makes what is missing. The directory must exist.
    package init(directory: String) throws(PKIError) {
        clusterCA = try Self.authority("\(directory)/ca", commonName: "tern-ca")
        storeCA = try Self.authority("\(directory)/store-ca", commonName: "tern-store-ca")
        frontProxyCA = try Self.authority("\(directory)/front-proxy-ca", commonName: "tern-front-proxy-ca")
        let keyPath = "\(directory)/sa.key"
        if PEMFile.exists(keyPath) {
            serviceAccountKey = try ServiceAccountKey(pem: try PEMFile.read(keyPath))
        } else {
            serviceAccountKey = try ServiceAccountKey.make()
            try PEMFile.write(serviceAccountKey.pem, to: keyPath)
        }
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
