// Splits and decodes a request target (RFC 9112 §3.2, RFC 3986 §2.1). Pure. Wrong percent escapes are an error, as
// in Go's server; the result may hold any bytes that are valid UTF-8. It must never trap on hostile text.

/// The parts of a request target.
package struct RequestTarget: Sendable {
    package var path: String
    package var query: [(name: String, value: String)]

    /// nil when an escape is broken.
    package init?(_ target: String) {
        let text = Self.withoutAuthority(target)
        let end = text.utf8.firstIndex(of: UInt8(ascii: "#")) ?? text.endIndex
        let mark = text.utf8[..<end].firstIndex(of: UInt8(ascii: "?")) ?? end
        guard let path = percentDecode(text[..<mark], plusIsSpace: false) else { return nil }
        self.path = path
        query = []
        guard mark < end else { return }
        for part in text[text.utf8.index(after: mark)..<end].split(separator: "&") {
            let sign = part.utf8.firstIndex(of: UInt8(ascii: "="))
            let value = sign.map { part[part.utf8.index(after: $0)...] } ?? ""
            guard let name = percentDecode(part[..<(sign ?? part.endIndex)], plusIsSpace: true),
                let value = percentDecode(value, plusIsSpace: true)
            else { return nil }
            query.append((name, value))
        }
    }

    /// The absolute form (`http://host/path`) loses scheme and authority.
    private static func withoutAuthority(_ target: String) -> Substring {
        guard !target.utf8.starts(with: "/".utf8), let colon = target.utf8.firstIndex(of: UInt8(ascii: ":")) else {
            return target[...]
        }
        let rest = target[target.utf8.index(after: colon)...]
        guard rest.utf8.starts(with: "//".utf8) else { return target[...] }
        let authority = rest.dropFirst(2)
        guard let slash = authority.utf8.firstIndex(of: UInt8(ascii: "/")) else { return "/" }
        return authority[slash...]
    }
}

/// Decodes `%XX`; nil for a broken escape.
package func percentDecode(_ text: Substring, plusIsSpace: Bool) -> String? {
    guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return String(text) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    var rest = text.utf8.makeIterator()
    while let byte = rest.next() {
        switch byte {
        case UInt8(ascii: "%"):
            guard let high = rest.next().flatMap(hexValue), let low = rest.next().flatMap(hexValue) else { return nil }
            bytes.append(high << 4 | low)
        case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
        default: bytes.append(byte)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Encodes everything but unreserved characters (and `keeping`) for use in a path segment or a query value.
package func percentEncode(_ text: String, keeping: String = "") -> String {
    let kept = Set("-._~".utf8).union(keeping.utf8)
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: bytes.append(byte)
        case _ where kept.contains(byte): bytes.append(byte)
        default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

private func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte &- 0x30
    case 0x41...0x46: byte &- 0x37
    case 0x61...0x66: byte &- 0x57
    default: nil
    }
}
