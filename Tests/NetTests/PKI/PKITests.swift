// Certificates, requests, tokens and key files, checked among themselves and against openssl where it is present.
import Foundation
import NetPKI
import Testing

struct PKITests {
    @Test func `an issued certificate says what was asked and is verified by openssl`() async throws {
        let ca = try CertificateAuthority.make(commonName: "kubernetes-ca")
        let spec = CertificateSpec(
            commonName: "system:node:w1", organizations: ["system:nodes"], dnsNames: ["w1"],
            ipAddresses: ["10.0.0.1", "fd00::1"])
        let issued = try ca.issue(spec)
        let read = try ClientCertificate(pem: issued.certificatePEM)
        #expect(read.commonName == "system:node:w1" && read.organizations == ["system:nodes"])
        #expect(read.dnsNames == ["w1"] && read.ipAddresses == ["10.0.0.1", "fd00::1"])
        #expect(read.usages == [.server, .client] && !read.isAuthority && read.issuerCommonName == "kubernetes-ca")
        #expect(read.notAfter - wallClockSeconds() > 364 * 86_400 && read.fingerprintSHA256.utf8.count == 64)
        try await withFolder { folder in
            try PEMFile.write(ca.certificatePEM, to: folder + "/ca.pem")
            try PEMFile.write(issued.certificatePEM, to: folder + "/c.pem")
            guard
                let result = try await run(
                    "/usr/bin/openssl", ["verify", "-x509_strict", "-CAfile", folder + "/ca.pem", folder + "/c.pem"])
            else { return }
            #expect(result.output.contains("OK"), "\(result)")
        }
    }

    @Test func `an authority read back from its PEM goes on issuing and a wrong key is refused`() throws {
        let ca = try CertificateAuthority.make(commonName: "a")
        let again = try CertificateAuthority(certificatePEM: ca.certificatePEM, keyPEM: ca.keyPEM)
        let leaf = try again.issue(CertificateSpec(commonName: "x"))
        let chain = try pemCertificates(leaf.certificatePEM)
        #expect(try TrustBundle(pem: ca.certificatePEM).verifyClient(chain).commonName == "x")
        let other = try CertificateAuthority.make(commonName: "a")
        #expect(throws: PKIError.self) {
            try CertificateAuthority(certificatePEM: ca.certificatePEM, keyPEM: other.keyPEM)
        }
        #expect(throws: PKIError.self) {
            try CertificateAuthority(certificatePEM: leaf.certificatePEM, keyPEM: leaf.keyPEM)
        }
        #expect(throws: PKIError.self) { try TrustBundle(pem: other.certificatePEM).verifyClient(chain) }
        #expect(throws: PKIError.self) {
            try TrustBundle(pem: ca.certificatePEM).verifyClient(chain, now: wallClockSeconds() + 400 * 86_400)
        }
        let serverOnly = try ca.issue(CertificateSpec(commonName: "s", usages: [.server]))
        #expect(throws: PKIError.self) {
            try TrustBundle(pem: ca.certificatePEM).verifyClient(try pemCertificates(serverOnly.certificatePEM))
        }
    }

    @Test func `requests of ours and of openssl are signed, altered ones are refused`() async throws {
        let ca = try CertificateAuthority.make(commonName: "ca")
        let (pem, key) = try CertificateRequest.make(
            CertificateSpec(commonName: "bob", organizations: ["dev"], dnsNames: ["b"], ipAddresses: ["1.2.3.4"]))
        let request = try CertificateRequest(pem: pem)
        #expect(
            request.commonName == "bob" && request.organizations == ["dev"] && request.dnsNames == ["b"]
                && request.ipAddresses == ["1.2.3.4"])
        let signed = try ca.sign(request, usages: [.client], validitySeconds: 3600)
        _ = try TLSIdentity(certificatePEM: signed, keyPEM: key)
        #expect(try ClientCertificate(pem: signed).usages == [.client])
        try await withFolder { folder in
            let arguments = [
                "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", folder + "/k", "-out", folder + "/r",
                "-subj", "/O=ops/CN=carol"
            ]
            guard let made = try await run("/usr/bin/openssl", arguments), made.status == 0 else { return }
            let foreign = try CertificateRequest(pem: try PEMFile.read(folder + "/r"))
            #expect(foreign.commonName == "carol" && foreign.organizations == ["ops"])
            #expect(
                try ClientCertificate(pem: try ca.sign(foreign, usages: [.client], validitySeconds: 60)).commonName
                    == "carol")
        }
        #expect(throws: PKIError.self) {
            try CertificateRequest(
                pem: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")
        }
        #expect(throws: PKIError.self) { try CertificateRequest(der: [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]) }
    }

    @Test(arguments: [ServiceAccountKey.Algorithm.rs256, .es256])
    func `a token is accepted by its own key only and not when altered`(algorithm: ServiceAccountKey.Algorithm) throws {
        let key = try ServiceAccountKey.make(algorithm)
        let claims = Array(#"{"sub":"system:serviceaccount:default:x"}"#.utf8)
        let token = try key.sign(claims: claims)
        #expect(try key.verify(token) == claims)
        #expect(try ServiceAccountKey(pem: key.pem).verify(token) == claims)
        #expect(try ServiceAccountKey(pem: key.pem).keyID == key.keyID)
        let other = try ServiceAccountKey.make(algorithm)
        #expect(throws: PKIError.self) { try other.verify(token) }
        var parts = token.split(separator: ".").map(String.init)
        parts[1] = Base64URL.encode(#"{"sub":"admin"}"#.utf8)
        for bad in [
            parts.joined(separator: "."), "", "a.b", "a.b.c.d", token + "A",
            Base64URL.encode(#"{"alg":"none"}"#.utf8) + "." + parts[1] + "."
        ] {
            #expect(throws: PKIError.self, "\(bad)") { try key.verify(bad) }
        }
        #expect(try key.jwks().contains("\"kid\":\"\(key.keyID)\""))
    }

    @Test func `base64url is canonical`() {
        for size in 0..<70 {
            let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            let text = Base64URL.encode(bytes)
            #expect(Base64URL.decode(text) == bytes)
            #expect(
                text
                    == Data(bytes).base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(
                        of: "/", with: "_"
                    ).replacingOccurrences(of: "=", with: ""))
        }
        for bad in ["A", "AB", "A=", "A b", "AAAAA", "é"] { #expect(Base64URL.decode(bad) == nil, "\(bad)") }
    }

    @Test func `a key file appears whole, private, and replaces the old one`() async throws {
        try await withFolder { folder in
            let path = folder + "/key.pem"
            try PEMFile.write("one", to: path)
            try PEMFile.write("two", to: path)
            #expect(try PEMFile.read(path) == "two")
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["key.pem"])
            #expect(throws: PKIError.self) { try PEMFile.read(folder + "/none") }
        }
    }
}
