// IPv4 and IPv6 addresses and ranges as objects carry them. Strict as upstream is on new objects: no leading zeros in
// IPv4 octets, no zone. Pure; used by validation, allocation, proxy and DNS.

/// An IPv4 or IPv6 address.
package struct IPAddress: Sendable, Hashable {
    /// 4 or 16 bytes in network order.
    package let bytes: [UInt8]

    package init?(_ text: String) {
        guard text.utf8.count <= 64,
            let bytes = text.utf8.contains(UInt8(ascii: ":")) ? Self.v6(text) : Self.v4(text[...])
        else { return nil }
        self.bytes = bytes
    }

    package init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    package init(v4 value: UInt32) {
        bytes = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    package var isV4: Bool { bytes.count == 4 }

    /// The number of an IPv4 address; nil for IPv6.
    package var v4: UInt32? { isV4 ? bytes.reduce(0) { $0 << 8 | UInt32($1) } : nil }

    package var isLoopback: Bool { isV4 ? bytes[0] == 127 : bytes == [UInt8](repeating: 0, count: 15) + [1] }
    package var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }
    package var isLinkLocal: Bool {
        isV4 ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80
    }
    package var isMulticast: Bool { isV4 ? bytes[0] & 0xF0 == 0xE0 : bytes[0] == 0xFF }

    private static func v4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            let isPlain =
                part.utf8.count <= 3 && part.utf8.allSatisfy(\.isDigit) && (part == "0" || !part.hasPrefix("0"))
            guard isPlain, let byte = UInt8(part) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    private static func v6(_ text: String) -> [UInt8]? {
        let halves = text.components(separatedByPair: "::")
        guard halves.count <= 2, let head = groups(halves[0]) else { return nil }
        if halves.count == 1 { return head.count == 16 ? mapped(head) : nil }
        guard let tail = groups(halves[1]), head.count + tail.count <= 14 else { return nil }
        return mapped(head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail)
    }

    /// `::ffff:1.2.3.4` is the IPv4 address.
    private static func mapped(_ bytes: [UInt8]) -> [UInt8] {
        let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        return isMapped ? Array(bytes[12...]) : bytes
    }

    private static func groups(_ text: Substring) -> [UInt8]? {
        if text.isEmpty { return [] }
        var bytes: [UInt8] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, part.utf8.contains(UInt8(ascii: ".")) {
                guard let last = v4(part) else { return nil }
                bytes += last
                continue
            }
            guard (1...4).contains(part.utf8.count), part.allSatisfy(\.isHexDigit), let group = UInt16(part, radix: 16)
            else { return nil }
            bytes += [UInt8(group >> 8), UInt8(group & 0xFF)]
        }
        return bytes.count <= 16 ? bytes : nil
    }
}

extension IPAddress: Comparable {
    /// IPv4 before IPv6, then by number.
    package static func < (left: IPAddress, right: IPAddress) -> Bool {
        left.bytes.count == right.bytes.count
            ? left.bytes.lexicographicallyPrecedes(right.bytes) : left.bytes.count < right.bytes.count
    }
}

extension IPAddress: CustomStringConvertible {
    /// The canonical text (RFC 5952 for IPv6).
    package var description: String {
        if isV4 { return bytes.map(String.init).joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        let run = Self.longestZeroRun(groups)
        guard run.count >= 2 else { return Self.text(groups[...]) }
        return Self.text(groups[..<run.lowerBound]) + "::" + Self.text(groups[run.upperBound...])
    }

    private static func text(_ groups: ArraySlice<UInt16>) -> String {
        groups.map { String($0, radix: 16) }.joined(separator: ":")
    }

    private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int> {
        var best = 0..<0
        var start = 0
        for index in 0...groups.count where index == groups.count || groups[index] != 0 {
            if index - start > best.count { best = start..<index }
            start = index + 1
        }
        return best
    }
}

/// An address range, `10.96.0.0/16`.
package struct CIDR: Sendable, Hashable, CustomStringConvertible {
    /// The network address: host bits cleared.
    package let address: IPAddress
    package let prefix: Int
    /// Whether the text had host bits.
    package let hadHostBits: Bool

    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(String(parts[0])), parts[1].utf8.allSatisfy(\.isDigit),
            parts[1].utf8.count <= 3,
            let prefix = Int(parts[1]), prefix <= address.bytes.count * 8
        else { return nil }
        self.init(address, prefix: prefix)
    }

    /// The range that an address is in; nil when the prefix is longer than the address.
    package init?(_ address: IPAddress, prefix: Int) {
        guard (0...address.bytes.count * 8).contains(prefix),
            let network = IPAddress(bytes: Self.masked(address.bytes, prefix))
        else { return nil }
        self.address = network
        self.prefix = prefix
        hadHostBits = network != address
    }

    private static func masked(_ bytes: [UInt8], _ prefix: Int) -> [UInt8] {
        bytes.enumerated().map { index, byte in
            let bits = min(8, max(0, prefix - index * 8))
            return bits == 0 ? 0 : byte & (0xFF << UInt8(8 - bits))
        }
    }

    package var isV4: Bool { address.isV4 }
    private var hostBits: Int { address.bytes.count * 8 - prefix }

    /// How many addresses it has; saturates.
    package var size: UInt64 { hostBits >= 64 ? .max : 1 << UInt64(hostBits) }

    package func contains(_ other: IPAddress) -> Bool {
        other.bytes.count == address.bytes.count && Self.masked(other.bytes, prefix) == address.bytes
    }

    package func contains(_ other: CIDR) -> Bool { other.prefix >= prefix && contains(other.address) }
    package func overlaps(_ other: CIDR) -> Bool { contains(other.address) || other.contains(address) }

    /// The address at an offset from the network address; nil outside the range.
    package func address(at offset: UInt64) -> IPAddress? {
        guard hostBits >= 64 || offset < size else { return nil }
        var bytes = address.bytes
        var carry = offset
        for index in bytes.indices.reversed() {
            let sum = UInt64(bytes[index]) + (carry & 0xFF)
            bytes[index] = UInt8(truncatingIfNeeded: sum)
            carry = (carry >> 8) + (sum >> 8)
        }
        return IPAddress(bytes: bytes)
    }

    /// The offset of an address from the network address; nil outside the range or beyond 64 bits.
    package func offset(of other: IPAddress) -> UInt64? {
        guard contains(other) else { return nil }
        var offset: UInt64 = 0
        for (byte, base) in zip(other.bytes, address.bytes) {
            guard offset >> 56 == 0 else { return nil }
            offset = offset << 8 | UInt64(byte &- base)
        }
        return offset
    }

    package var description: String { "\(address)/\(prefix)" }
}

extension String {
    /// The parts between occurrences of a two-character separator.
    fileprivate func components(separatedByPair pair: String) -> [Substring] {
        var parts: [Substring] = []
        var rest = self[...]
        while let range = rest.firstRange(of: pair) {
            parts.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return parts + [rest]
    }
}
