// The cluster's certificate authority as the certificate controllers see it: requests and certificates as base64 of PEM.
import API
import Controllers
import NetPKI

/// Why a request was not signed.
struct SigningRefusal: Error, CustomStringConvertible {
    var description: String
}

enum SigningAuthority {
    static let secondsMax: Int64 = 365 * 86_400

    static func make(_ authority: NetPKI.CertificateAuthority) -> Controllers.CertificateAuthority {
        Controllers.CertificateAuthority(
            inspect: { text in
                guard let request = read(text) else { return nil }
                return RequestedIdentity(
                    commonName: request.commonName, organizations: request.organizations, dnsNames: request.dnsNames,
                    addresses: request.ipAddresses, hasOtherNames: !request.uris.isEmpty)
            },
            sign: { text, _, usages, seconds in
                guard let request = read(text) else { throw SigningRefusal(description: "the request cannot be read") }
                var kinds: [CertificateUsage] = []
                if usages.contains("server auth") { kinds.append(.server) }
                if usages.contains("client auth") { kinds.append(.client) }
                let pem = try authority.sign(
                    request, usages: kinds, validitySeconds: min(seconds ?? secondsMax, secondsMax))
                return Base64.encode(Array(pem.utf8))
            })
    }

    private static func read(_ text: String) -> CertificateRequest? {
        do { return try CertificateRequest(pem: String(decoding: try Base64.decode(text), as: UTF8.self)) } catch {
            return nil
        }
    }
}
