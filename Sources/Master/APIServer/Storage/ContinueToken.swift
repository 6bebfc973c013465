// The token with which a cut list goes on: the revision that the list shows and the key after which it goes on. Opaque
// to clients. It holds nothing that the list's own URL does not decide: a forged token reads only what its user may
// list anyway.
import API
import KVCore
import NetPKI

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
        guard let bytes = Self.decoded(text) else {
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

    /// Base64url with or without padding, as lenient as upstream's.
    private static func decoded(_ text: String) -> [UInt8]? {
        var plain = String(text.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }.filter { $0 != "=" })
        while plain.utf8.count % 4 != 0 { plain += "=" }
        return Base64.bytes(plain)
    }

    var encoded: String {
        let tree: JSON = [
            "v": "meta.k8s.io/v1", "rv": .int(revision?.rawValue ?? -1),
            "start": .string(String(decoding: after, as: UTF8.self) + "\0")
        ]
        return Base64URL.encode(tree.serialized())
    }
}
