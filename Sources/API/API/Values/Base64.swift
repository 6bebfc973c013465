// Base64 (RFC 4648 §4) of byte fields: strict, with padding; line breaks are skipped, as Go does.

/// Where a text stops being base64.
package struct Base64Error: Error, Sendable, Hashable {
    package var offset: Int
}

package enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xFF, count: 256)
        for (index, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(index) }
        return values
    }()

    package static func encode(_ bytes: some Collection<UInt8>) -> String {
        var out: [UInt8] = []
        out.reserveCapacity((bytes.count + 2) / 3 * 4)
        var buffer: UInt32 = 0
        var pending = 0
        for byte in bytes {
            buffer = buffer << 8 | UInt32(byte)
            pending += 8
            while pending >= 6 {
                pending -= 6
                out.append(alphabet[Int(buffer >> UInt32(pending) & 63)])
            }
        }
        if pending > 0 { out.append(alphabet[Int(buffer << UInt32(6 - pending) & 63)]) }
        while out.count % 4 != 0 { out.append(UInt8(ascii: "=")) }
        return String(decoding: out, as: UTF8.self)
    }

    /// The bytes of a field; nil when it is no base64.
    package static func bytes(_ text: String) -> [UInt8]? {
        do { return try decode(text) } catch { return nil }
    }

    package static func decode(_ text: String) throws(Base64Error) -> [UInt8] {
        var out: [UInt8] = []
        var buffer: UInt32 = 0
        var digits = 0
        var padding = 0
        var end = 0
        for (offset, byte) in text.utf8.enumerated() {
            end = offset + 1
            if byte == 10 || byte == 13 { continue }
            if byte == UInt8(ascii: "=") {
                padding += 1
                guard digits % 4 + padding <= 4, digits % 4 >= 2 else { throw Base64Error(offset: offset) }
                continue
            }
            let value = values[Int(byte)]
            guard value != 0xFF, padding == 0 else { throw Base64Error(offset: offset) }
            buffer = buffer << 6 | UInt32(value)
            digits += 1
            if digits % 4 != 1 { out.append(UInt8(truncatingIfNeeded: buffer >> UInt32(6 - 2 * ((digits - 1) % 4)))) }
        }
        guard (digits + padding) % 4 == 0 else { throw Base64Error(offset: end) }
        return out
    }
}
