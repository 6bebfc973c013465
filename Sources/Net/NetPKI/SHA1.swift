// SHA-1 in base64, which the WebSocket handshake (RFC 6455 §4.2.2) still wants. Never for anything that must be secure.
import Crypto
import FoundationEssentials

/// base64 of the SHA-1 of a text.
package func sha1Base64(_ text: String) -> String {
    Data(Insecure.SHA1.hash(data: Array(text.utf8))).base64EncodedString()
}

/// `count` random bytes from the system, in base64.
package func randomBase64(bytes count: Int) -> String {
    var generator = SystemRandomNumberGenerator()
    return Data((0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }).base64EncodedString()
}
