// A machine joins with a token: certificates signed by the cluster, an identity that the API knows.
import API
import Testing
import Worker

extension ClusterTests {
    @Test func `a token made here lets a machine join, and a deleted or wrong one does not`() async throws {
        let cluster = try cluster()
        let words = try cluster.tern("token", "create", "--ttl", "1h", "--description", "for a test")
            .split(whereSeparator: \.isWhitespace).map(String.init)
        let token = try #require(after("--token", words))
        let hash = try #require(after("--ca-cert-hash", words))
        #expect(try cluster.tern("token", "list").contains(token))
        try join("w9", token, hash)
        let pki = "\(cluster.folder)/w9/pki"
        #expect(
            Files.list(pki) == ["ca.crt", "kubelet-serving.crt", "kubelet-serving.key", "kubelet.crt", "kubelet.key"])
        let answer = try cluster.tern(
            "host", "w1", "--", "curl", "-s", "--cacert", "\(pki)/ca.crt", "--cert", "\(pki)/kubelet.crt", "--key",
            "\(pki)/kubelet.key", "https://10.89.0.11:6443/api/v1/nodes/w9")
        #expect(answer.contains("nodes \\\"w9\\\" not found"))
        // Again: nothing is asked for, so that any token will do.
        try join("w9", "abcdef.0123456789abcdef", hash)
        #expect(throws: SubprocessError.self) { try join("w8", "abcdef.0123456789abcdef", hash) }
        #expect(throws: SubprocessError.self) { try join("w7", token, "sha256:00") }
        try cluster.tern("token", "delete", token)
        // The master that is asked may not have heard of it yet.
        var tries = 0
        try await cluster.eventually("the deleted token is refused") {
            tries += 1
            do { try self.join("w6-\(tries)", token, hash) } catch is SubprocessError { return true }
            return false
        }
    }

    @Test func `a kubeconfig made from the identity directory opens the cluster`() throws {
        let cluster = try cluster()
        let port = try Files.text("\(cluster.folder)/.tern/port").filter(\.isNumber)
        let text = try cluster.tern(
            "kubeconfig", "--pki-dir", ".tern/pki", "--server", "https://127.0.0.1:\(port)", "--user", "somebody")
        try Files.write(text, to: "\(cluster.folder)/other.kubeconfig", mode: 0o600)
        #expect(try cluster.kubectl("--kubeconfig", "other.kubeconfig", "auth", "whoami").contains("somebody"))
    }

    private func after(_ flag: String, _ words: [String]) -> String? {
        words.firstIndex(of: flag).flatMap { words.indices.contains($0 + 1) ? words[$0 + 1] : nil }
    }

    private func join(_ name: String, _ token: String, _ hash: String) throws {
        let cluster = try cluster()
        try cluster.tern(
            "host", "w1", "--", cluster.binary, "worker", "--join-only", "--name", name, "--data-dir",
            "\(cluster.folder)/\(name)", "--node-ip", "10.89.0.29", "--server", "10.89.0.11:6443,10.89.0.12:6443",
            "--token", token, "--ca-cert-hash", hash, "--log-level", "error", timeoutSeconds: 60)
    }
}
