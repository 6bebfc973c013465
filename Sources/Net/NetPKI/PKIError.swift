// What certificates, keys and tokens can be refused for. One small enum for the whole module: callers
// either show it or turn it into their own refusal. It must never carry key material.

/// Why a certificate, a key, a request or a token was refused.
package enum PKIError: Error, Equatable, CustomStringConvertible {
    case malformed(String)
    case badSignature(String)
    case expired(String)
    case untrusted(String)
    case unsupported(String)
    case file(path: String, errno: Int32)

    package var description: String {
        switch self {
        case .malformed(let what), .badSignature(let what), .expired(let what), .untrusted(let what),
            .unsupported(let what):
            return what
        case .file(let path, let errno):
            return "\(path): errno \(errno)"
        }
    }
}
