// A node whose certificates are about to end asks for new ones over the API, while everything runs.
import API
import NetPKI
import Testing
import Worker

extension ClusterTests {
    @Test func `a node whose certificate is about to end gets new ones and goes on with them`() async throws {
        let cluster = try cluster()
        let folder = "\(cluster.folder)/.tern/w2/pki"
        let pki = "\(cluster.folder)/.tern/pki"
        let authority = try CertificateAuthority(
            certificatePEM: try PEMFile.read("\(pki)/ca.crt"), keyPEM: try PEMFile.read("\(pki)/ca.key"))
        let short = try authority.issue(
            CertificateSpec(
                commonName: "system:node:w2", organizations: ["system:nodes"], dnsNames: ["w2"],
                ipAddresses: ["10.89.0.22"], validitySeconds: 3660), now: wallClockSeconds() - 3600)
        try cluster.tern("kill", "w2")
        try cluster.shell("rm -f \(folder)/kubelet-serving.*")
        try PEMFile.write(short.keyPEM, to: "\(folder)/kubelet.key")
        try PEMFile.write(short.certificatePEM, to: "\(folder)/kubelet.crt", mode: 0o644)
        try cluster.tern("start", "w2")
        try await cluster.eventually("both certificates are new", seconds: 150) {
            let client = try ClientCertificate(pem: try PEMFile.read("\(folder)/kubelet.crt"))
            let serving = try ClientCertificate(pem: try PEMFile.read("\(folder)/kubelet-serving.crt"))
            return [client, serving].allSatisfy { $0.notAfter > wallClockSeconds() + 86_400 }
        }
        // The old one is over now: what runs must use the new ones, the node's towards the API and the kubelet's own.
        try await cluster.eventually("the short certificate has ended", seconds: 120) {
            try ClientCertificate(pem: short.certificatePEM).notAfter < wallClockSeconds()
        }
        try cluster.kubectl("wait", "--for=condition=Ready=True", "node/w2", "--timeout=60s")
        let renewed = try cluster.json("-n", "kube-node-lease", "lease", "w2")["spec", "renewTime"]?.string
        try await cluster.eventually("its lease is renewed") {
            try cluster.json("-n", "kube-node-lease", "lease", "w2")["spec", "renewTime"]?.string != renewed
        }
        try cluster.kubectl(
            "run", "renewed", "--image=tern.local/tools:1", "--overrides",
            #"{"spec": {"nodeName": "w2", "terminationGracePeriodSeconds": 1}}"#, "--", "sh", "-c",
            "echo here; sleep 99")
        try cluster.kubectl("wait", "--for=condition=Ready", "pod/renewed", "--timeout=60s")
        #expect(try cluster.kubectl("logs", "renewed") == "here\n")
        try cluster.kubectl("delete", "pod", "renewed", "--now")
    }
}
