// Chance as values: random UIDs and generated names. The only place of the machinery that asks the system for them.

enum Identity {
    /// A random UUID, version 4.
    static func uid() -> String {
        var bytes: [UInt8] = (0..<16).map { _ in UInt8.random(in: 0...255) }
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        let digits = Array("0123456789abcdef".utf8)
        var out: [UInt8] = []
        for (i, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(i) { out.append(UInt8(ascii: "-")) }
            out.append(digits[Int(byte >> 4)])
            out.append(digits[Int(byte & 15)])
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static let nameAlphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)
    static let generatedNameBytesMax = 63
    static let suffixBytes = 5

    /// `generateName` with five random characters; the base is cut where the name would be too long.
    static func name(from base: String) -> String {
        let kept = base.utf8.prefix(generatedNameBytesMax - suffixBytes)
        let suffix = (0..<suffixBytes).map { _ in nameAlphabet.randomElement() ?? UInt8(ascii: "x") }
        return String(decoding: Array(kept) + suffix, as: UTF8.self)
    }
}
