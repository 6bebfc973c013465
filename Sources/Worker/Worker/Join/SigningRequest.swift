// Asks the cluster for a certificate: makes a key that never leaves this machine, posts a CertificateSigningRequest, and waits until
// a controller has signed it or somebody has refused it.
import API
import NetPKI

package struct SigningRequest: Sendable {
    static let pollEvery: Duration = .milliseconds(200)
    package static let waitSecondsMax = 120

    package enum Purpose: Sendable { case client, serving }

    package var node: String
    package var addresses: [String]
    package var purpose: Purpose

    package init(node: String, addresses: [String], purpose: Purpose) {
        self.node = node
        self.addresses = addresses
        self.purpose = purpose
    }

    /// Returns the certificate with its key; throws when it is refused or nobody signs it in time.
    package func run(through client: any ObjectClient) async throws -> IssuedCertificate {
        let made = try CertificateRequest.make(spec)
        let posted = try await client.create(
            .certificateSigningRequests, namespace: nil, Self.object(made.requestPEM, purpose))
        for _ in 0..<(Self.waitSecondsMax * 5) {
            let request = try await client.get(.certificateSigningRequests, namespace: nil, name: posted.name)
            if let text = request["status", "certificate"]?.string, !text.isEmpty {
                let pem = String(decoding: try Base64.decode(text), as: UTF8.self)
                return IssuedCertificate(certificatePEM: pem, keyPEM: made.keyPEM)
            }
            if let refusal = Self.refusal(request) { throw WorkerError("\(posted.name): \(refusal)") }
            try await Task.sleep(for: Self.pollEvery)
        }
        throw WorkerError("\(posted.name) was not signed within \(Self.waitSecondsMax) s")
    }

    private var spec: CertificateSpec {
        CertificateSpec(
            commonName: "system:node:\(node)", organizations: ["system:nodes"],
            dnsNames: purpose == .serving ? [node] : [], ipAddresses: purpose == .serving ? addresses : [],
            usages: [purpose == .serving ? .server : .client])
    }

    /// The object to be posted. Pure.
    package static func object(_ requestPEM: String, _ purpose: Purpose) -> JSON {
        let isServing = purpose == .serving
        return [
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": ["generateName": "csr-"],
            "spec": [
                "request": .string(Base64.encode(Array(requestPEM.utf8))),
                "signerName": isServing
                    ? "kubernetes.io/kubelet-serving" : "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", isServing ? "server auth" : "client auth"]
            ]
        ]
    }

    /// Why the request will never be signed; nil while it may. Pure.
    package static func refusal(_ request: JSON) -> String? {
        for condition in request["status", "conditions"]?.elements ?? [] {
            let type = condition["type"]?.string ?? ""
            guard type == "Denied" || type == "Failed" else { continue }
            return "\(type): \(condition["message"]?.string ?? "")"
        }
        return nil
    }
}
