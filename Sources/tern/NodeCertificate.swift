// A node's certificate, issued straight from the cluster's identity directory: how the development cluster and docker-compose give a
// worker its identity. Files that are there are kept.
import Glibc
import Master
import NetPKI
import Worker

enum NodeCertificate {
    static func ensure(name: String, address: String, dataDirectory: String, identityDirectory: String) throws {
        let folder = "\(dataDirectory)/pki"
        try Files.makeDirectory(folder, mode: 0o700)
        if Files.exists("\(folder)/kubelet.crt") { return }
        let last = "\(identityDirectory)/\(ClusterIdentity.lastFile)"
        for _ in 0..<100 where !Files.exists(last) { usleep(100_000) }
        guard Files.exists(last) else {
            throw CommandFailure("\(identityDirectory) has no certificate authority")
        }
        let issued = try ClusterIdentity(directory: identityDirectory).nodeCertificate(name: name, addresses: [address])
        try PEMFile.write(issued.keyPEM, to: "\(folder)/kubelet.key")
        try PEMFile.write(try PEMFile.read("\(identityDirectory)/ca.crt"), to: "\(folder)/ca.crt", mode: 0o644)
        try PEMFile.write(issued.certificatePEM, to: "\(folder)/kubelet.crt", mode: 0o644)
    }
}
