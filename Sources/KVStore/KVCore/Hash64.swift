// A fast hash of 64 bits for our own formats (checksums of the log, agreement on state). Not for adversaries, not
// keyed, and the same on every machine and in every version: it is written to disk.

/// Mixes words by wide multiplication.
package struct Hash64: Sendable {
    package private(set) var value: UInt64

    package init(seed: UInt64 = 0x2545_f491_4f6c_dd1d) { value = seed }

    @inline(__always)
    package mutating func add(_ word: UInt64) {
        let wide = (value ^ 0xa076_1d64_78bd_642f).multipliedFullWidth(by: word ^ 0xe703_7ed1_a0b4_28db)
        value = wide.high ^ wide.low ^ (value &<< 1)
    }

    package mutating func add(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { add($0) }
    }

    package mutating func add(_ raw: UnsafeRawBufferPointer) {
        add(UInt64(raw.count))
        var offset = 0
        while offset &+ 8 <= raw.count {
            add(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            offset &+= 8
        }
        var tail: UInt64 = 0
        while offset < raw.count {
            tail = tail << 8 | UInt64(raw[offset])
            offset &+= 1
        }
        add(tail)
    }
}

/// Scatters a number over 64 bits.
package func mix64(_ value: UInt64) -> UInt64 {
    var hash = Hash64()
    hash.add(value)
    return hash.value
}
