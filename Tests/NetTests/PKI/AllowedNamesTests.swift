// Which certificates of an authority bear one of the names that are asked for.
import NetPKI
import Testing

struct AllowedNamesTests {
    private func certificate(_ name: String, dns: [String] = [], ip: [String] = []) throws -> ClientCertificate {
        let issued = try TestPKI.shared.ca.issue(
            CertificateSpec(commonName: name, dnsNames: dns, ipAddresses: ip, usages: [.client]))
        return try ClientCertificate(pem: issued.certificatePEM)
    }

    @Test func `common names are taken as they are, and no other name counts for one`() throws {
        let names = try AllowedNames(commonNames: "a,b c", hosts: nil)
        for name in ["a", "b c"] { #expect(names.admit(try certificate(name))) }
        for name in ["A", "b", "c", "a,b c", ""] { #expect(!names.admit(try certificate(name, dns: ["a"])), "\(name)") }
    }

    @Test func `a host is one that the certificate is good for, by name, wildcard or address`() throws {
        let names = try AllowedNames(commonNames: "", hosts: "m1.Store.example,10.0.0.1,::1")
        for (dns, ip) in [
            (["m1.store.EXAMPLE"], []), (["x", "*.store.example"], []), ([], ["10.0.0.1"]), ([], ["0:0:0:0:0:0:0:1"])
        ] as [([String], [String])] {
            #expect(names.admit(try certificate("x", dns: dns, ip: ip)), "\(dns) \(ip)")
        }
        for (dns, ip) in [
            (["store.example"], []), (["*.example"], []), (["*.m1.store.example"], []), (["10.0.0.1"], []),
            (["m2.store.example"], ["10.0.0.2"]), ([], [])
        ] as [([String], [String])] {
            #expect(!names.admit(try certificate("m1.store.example", dns: dns, ip: ip)), "\(dns) \(ip)")
        }
    }

    @Test func `nothing asked for lets all in, and both kinds at once are refused`() throws {
        #expect(try AllowedNames(commonNames: nil, hosts: "").admit(try certificate("anybody")))
        #expect(throws: PKIError.self) { try AllowedNames(commonNames: "a", hosts: "b") }
    }
}
