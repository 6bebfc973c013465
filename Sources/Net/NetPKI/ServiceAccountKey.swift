// The key pair that signs service-account tokens: compact JWS with RS256 (RSA 2048, as upstream) or ES256.
// It signs and verifies bytes only; what the claims mean is the API server's business.
// It must never accept another algorithm than the key's own ("none" least of all).
import Crypto
import FoundationEssentials
import SwiftASN1
import _CryptoExtras

/// A signing key with its key id.
package struct ServiceAccountKey: Sendable {
    package enum Algorithm: String, Sendable { case rs256 = "RS256", es256 = "ES256" }

    private enum Pair: Sendable {
        case rsa(_RSA.Signing.PrivateKey)
        case p256(P256.Signing.PrivateKey)
    }

    /// Tokens above this size are refused unread.
    package static let tokenBytesMax = 16 << 10

    private let pair: Pair
    /// base64url of the SHA-256 of the public key (SubjectPublicKeyInfo), as upstream derives it.
    package let keyID: String

    /// Makes a new key. RSA 2048 takes about a tenth of a second.
    package static func make(_ algorithm: Algorithm = .rs256) throws(PKIError) -> ServiceAccountKey {
        switch algorithm {
        case .es256: return ServiceAccountKey(.p256(P256.Signing.PrivateKey()))
        case .rs256:
            do { return ServiceAccountKey(.rsa(try _RSA.Signing.PrivateKey(keySize: .bits2048))) } catch {
                throw .unsupported("making an RSA key: \(error)")
            }
        }
    }

    /// Reads an RSA or P-256 private key (PKCS#1, PKCS#8 or SEC1 PEM).
    package init(pem: String) throws(PKIError) {
        do { self.init(.rsa(try _RSA.Signing.PrivateKey(pemRepresentation: pem))) } catch let rsaError {
            do { self.init(.p256(try P256.Signing.PrivateKey(pemRepresentation: pem))) } catch {
                throw .malformed("service account key: \(rsaError)")
            }
        }
    }

    private init(_ pair: Pair) {
        self.pair = pair
        switch pair {
        case .rsa(let key): keyID = Base64URL.encode(SHA256.hash(data: key.publicKey.derRepresentation))
        case .p256(let key): keyID = Base64URL.encode(SHA256.hash(data: key.publicKey.derRepresentation))
        }
    }

    package var algorithm: Algorithm {
        switch pair {
        case .rsa: .rs256
        case .p256: .es256
        }
    }

    /// PKCS#8 PEM of the private key.
    package var pem: String {
        switch pair {
        case .rsa(let key): key.pkcs8PEMRepresentation
        case .p256(let key): key.pemRepresentation
        }
    }

    /// SubjectPublicKeyInfo PEM.
    package var publicKeyPEM: String {
        switch pair {
        case .rsa(let key): key.publicKey.pemRepresentation
        case .p256(let key): key.publicKey.pemRepresentation
        }
    }

    /// Signs claims (JSON bytes) into a compact JWS.
    package func sign(claims: [UInt8]) throws(PKIError) -> String {
        let header = "{\"alg\":\"\(algorithm.rawValue)\",\"kid\":\"\(keyID)\"}"
        let signed = Base64URL.encode(header.utf8) + "." + Base64URL.encode(claims)
        do {
            switch pair {
            case .rsa(let key):
                let made = try key.signature(for: SHA256.hash(data: Array(signed.utf8)), padding: .insecurePKCS1v1_5)
                return signed + "." + Base64URL.encode(made.rawRepresentation)
            case .p256(let key):
                return signed + "." + Base64URL.encode(try key.signature(for: Array(signed.utf8)).rawRepresentation)
            }
        } catch {
            throw .badSignature("signing: \(error)")
        }
    }

    /// Verifies a compact JWS made with this key and returns its claims bytes.
    package func verify(_ token: String) throws(PKIError) -> [UInt8] {
        guard token.utf8.count <= Self.tokenBytesMax else { throw .malformed("the token is too long") }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Base64URL.decode(parts[0]), let claims = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2])
        else { throw .malformed("the token is not a compact JWS") }
        guard headerNames(algorithm, in: header) else {
            throw .unsupported("the token's algorithm is not \(algorithm.rawValue)")
        }
        guard isValid(signature, for: Array((parts[0] + "." + parts[1]).utf8)) else {
            throw .badSignature("the token's signature is not this key's")
        }
        return claims
    }

    private func isValid(_ signature: [UInt8], for signed: [UInt8]) -> Bool {
        switch pair {
        case .rsa(let key):
            let made = _RSA.Signing.RSASignature(rawRepresentation: signature)
            return key.publicKey.isValidSignature(made, for: SHA256.hash(data: signed), padding: .insecurePKCS1v1_5)
        case .p256(let key):
            guard let made = readExtension({ try P256.Signing.ECDSASignature(rawRepresentation: signature) }) else {
                return false
            }
            return key.publicKey.isValidSignature(made, for: signed)
        }
    }

    private func headerNames(_ algorithm: Algorithm, in header: [UInt8]) -> Bool {
        let text = String(decoding: header.filter { $0 != 0x20 }, as: UTF8.self)
        return text.contains("\"alg\":\"\(algorithm.rawValue)\"")
    }

    /// The JSON Web Key Set with this one public key (`/openid/v1/jwks`).
    package func jwks() throws(PKIError) -> String {
        "{\"keys\":[\(try jwk())]}"
    }

    private func jwk() throws(PKIError) -> String {
        switch pair {
        case .rsa(let key):
            do {
                let numbers = try key.publicKey.getKeyPrimitives()
                return "{\"use\":\"sig\",\"kty\":\"RSA\",\"kid\":\"\(keyID)\",\"alg\":\"RS256\",\"n\":\""
                    + "\(Base64URL.encode(numbers.modulus))\",\"e\":\"\(Base64URL.encode(numbers.publicExponent))\"}"
            } catch {
                throw .unsupported("reading the RSA key: \(error)")
            }
        case .p256(let key):
            let point = Array(key.publicKey.rawRepresentation)
            return "{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"\(keyID)\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"x\":\""
                + "\(Base64URL.encode(point.prefix(32)))\",\"y\":\"\(Base64URL.encode(point.suffix(32)))\"}"
        }
    }
}
