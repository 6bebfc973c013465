// Joining a cluster and keeping certificates young, as far as it is pure; Tests/ClusterTests joins a real one.
import API
import NetPKI
import Testing
import Worker

struct JoinTests {
    @Test func `a token has six and sixteen small letters and digits`() {
        #expect(NodeJoin.isToken("abcdef.0123456789abcdef"))
        for bad in ["", "abcdef", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef.x"] {
            #expect(!NodeJoin.isToken(bad))
        }
    }

    @Test func `a certificate is renewed between seven and nine tenths of its life`() {
        #expect(CertificateLife.renewAt(notBefore: 1000, notAfter: 2000, chance: 0) == 1700)
        #expect(CertificateLife.renewAt(notBefore: 1000, notAfter: 2000, chance: 1) == 1900)
        #expect(CertificateLife.renewAt(notBefore: 2000, notAfter: 1000, chance: 0.5) == 2000)
    }

    @Test func `a request names the signer of its purpose, and a refusal ends the wait`() {
        let client = SigningRequest.object("x", .client)
        #expect(client["spec", "signerName"] == "kubernetes.io/kube-apiserver-client-kubelet")
        #expect(client["spec", "usages"] == ["digital signature", "client auth"])
        #expect(SigningRequest.object("x", .serving)["spec", "signerName"] == "kubernetes.io/kubelet-serving")
        #expect(SigningRequest.refusal(client) == nil)
        let denied: JSON = ["status": ["conditions": [["type": "Denied", "message": "not you"]]]]
        #expect(SigningRequest.refusal(denied) == "Denied: not you")
    }

    @Test func `the hash of an authority is that of its certificate`() throws {
        let one = try CertificateAuthority.make(commonName: "one")
        let two = try CertificateAuthority.make(commonName: "one")
        let hash = try NodeJoin.hash(ofAuthority: one.certificatePEM)
        #expect(hash.hasPrefix("sha256:") && hash.utf8.count == 71)
        #expect(try hash != NodeJoin.hash(ofAuthority: two.certificatePEM))
    }
}

struct MemoryMapTests {
    private let smaps = """
        5581a000-5581f000 r-xp 00000000 fe:00 123 /usr/bin/tern
        Size:                 20 kB
        Rss:                  16 kB
        Anonymous:             0 kB
        VmFlags: rd ex mr
        5581f000-55820000 r--p 00005000 fe:00 123 /usr/bin/tern
        Rss:                   4 kB
        Anonymous:             4 kB
        55820000-55821000 rw-p 00006000 fe:00 123 /usr/bin/tern
        Anonymous:             0 kB
        7f0000000000-7f0000001000 r--s 00000000 fe:00 124 /data/file
        Anonymous:             0 kB
        7f0000002000-7f0000003000 r-xp 00000000 00:00 0 [vdso]
        Anonymous:             0 kB
        7f0000004000-7f0000005000 rw-p 00000000 00:00 0
        Anonymous:             0 kB
        7f0000006000-7f0000008000 r--p 00000000 fe:00 125 /usr/lib/libx y.so
        Anonymous:             0 kB
        """

    @Test func `only what is private, of a file, never written and never to be written may be released`() {
        #expect(
            MemoryMap.cleanFileRanges(smaps) == [0x5581_a000..<0x5581_f000, 0x7f00_0000_6000..<0x7f00_0000_8000])
    }
}
