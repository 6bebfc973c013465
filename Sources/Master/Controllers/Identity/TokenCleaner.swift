// Deletes bootstrap tokens when their time is over. Pure; the loop asks again when the next one is due.

import API

/// A bootstrap token as far as its end goes.
package struct BootstrapToken: Sendable, Hashable {
    package var target: Target
    /// nil: it never ends.
    package var expiration: Int64?

    package init(_ secret: JSON) {
        target = Target(secret)
        // A time that cannot be read is over, as upstream decides.
        expiration = secret["data", "expiration"]?.string.map { Self.time($0) ?? 0 }
    }

    private static func time(_ encoded: String) -> Int64? {
        do { return Timestamp.milliseconds(String(decoding: try Base64.decode(encoded), as: UTF8.self)) } catch {
            return nil
        }
    }
}

package enum TokenCleaner {
    package static func changes(_ token: BootstrapToken, now: Int64) -> [Change] {
        guard let expiration = token.expiration else { return [] }
        if expiration > now { return [.again(milliseconds: min(expiration - now, 86_400_000))] }
        return [.delete(.secrets, token.target, DeleteOptions(uid: token.target.uid))]
    }
}
