// The token with which a cut list goes on: the revision that the list shows and the key after which it goes on. Opaque
// to clients. It holds nothing that the list's own URL does not decide: a forged token reads only what its user may
// list anyway.
import API
import KVCore

package struct ContinueToken: Sendable, Hashable {
    /// Nil: whatever is current, inconsistent with the first part.
    var revision: Revision?
    /// The key's rest after the list's prefix; the list goes on behind it.
    var after: [UInt8]

    init(revision: Revision?, after: [UInt8]) {
        self.revision = revision
        self.after = after
    }

    init(decoding text: String) throws(StatusError) {
        guard let bytes = Base64URL.decode(text) else {
            throw Status.badRequest("invalid continue token: continue key is not valid: illegal base64 data")
        }
        do {
            let tree = try JSON.parse(bytes)
            guard tree["v"]?.string == "meta.k8s.io/v1", let number = tree["rv"]?.int,
                let start = tree["start"]?.string, start.utf8.last == 0
            else {
                throw Status.badRequest(
                    "invalid continue token: continue key is not valid: unrecognized encoded version")
            }
            revision = number > 0 ? Revision(number) : nil
            after = Array(start.utf8.dropLast())
        } catch let error as JSONError {
            throw Status.badRequest("invalid continue token: continue key is not valid: \(error.message)")
        } catch let error as StatusError {
            throw error
        } catch {
            throw Status.badRequest("invalid continue token")
        }
    }

    var encoded: String {
        let tree: JSON = [
            "v": "meta.k8s.io/v1", "rv": .int(revision?.rawValue ?? -1),
            "start": .string(String(decoding: after, as: UTF8.self) + "\0")
        ]
        return Base64URL.encode(tree.serialized())
    }
}

/// Base64 with `-` and `_` and without padding.
enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                out.append(alphabet[Int(bits >> UInt32(count)) & 63])
            }
        }
        if count > 0 { out.append(alphabet[Int(bits << UInt32(6 - count)) & 63]) }
        return String(decoding: out, as: UTF8.self)
    }

    static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in text.utf8 where byte != UInt8(ascii: "=") {
            guard let value = value(byte) else { return nil }
            bits = (bits & 0xffff) << 6 | value
            count += 6
            if count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return out
    }

    private static func value(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - 65)
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - 97 + 26)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - 48 + 52)
        case UInt8(ascii: "-"), UInt8(ascii: "+"): 62
        case UInt8(ascii: "_"), UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
