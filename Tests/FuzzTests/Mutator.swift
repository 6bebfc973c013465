// Changes valid bytes in the ways in which a broken disk, a broken peer or an enemy changes them: from a seed, so that
// what was found is found again. `SEED=n` starts there, `TIMES=n` makes a run n times as long (`make fuzz`).
import Glibc

struct Mutator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1 }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// One of the corpus with one to four changes.
    mutating func changed(_ corpus: [[UInt8]]) -> [UInt8] {
        var bytes = corpus.randomElement(using: &self) ?? []
        for _ in 0..<Int.random(in: 1...4, using: &self) { change(&bytes, corpus) }
        return bytes
    }

    private static let awkward: [UInt8] = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x22, 0x5c, 0x7b, 0x0a]

    private mutating func place(_ bytes: [UInt8]) -> Range<Int> {
        let start = Int.random(in: 0...bytes.count, using: &self)
        return start..<min(bytes.count, start + Int.random(in: 0...16, using: &self))
    }

    private mutating func change(_ bytes: inout [UInt8], _ corpus: [[UInt8]]) {
        let at = place(bytes)
        switch Int.random(in: 0..<9, using: &self) {
        case 0: if !at.isEmpty { bytes[at.lowerBound] ^= 1 << UInt8.random(in: 0..<8, using: &self) }
        case 1: if !at.isEmpty { bytes[at.lowerBound] = Self.awkward.randomElement(using: &self) ?? 0 }
        case 2: bytes.removeSubrange(at)
        case 3: bytes.insert(contentsOf: bytes[at], at: at.lowerBound)
        case 4: bytes.removeSubrange(at.lowerBound...)
        case 5:
            bytes.insert(contentsOf: (0..<4).map { _ in UInt8.random(in: 0...255, using: &self) }, at: at.lowerBound)
        // The longest numbers that the encodings have.
        case 6: bytes.replaceSubrange(at, with: Array(repeating: 0xff, count: 9) + [1])
        case 7: bytes.replaceSubrange(at, with: Array(repeating: 0xff, count: 8))
        default:
            let other = corpus.randomElement(using: &self) ?? []
            bytes.replaceSubrange(at, with: other[place(other)])
        }
    }
}

/// The seeds of a run.
func seeds(count: Int) -> Range<Int> {
    func number(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }
    let first = number("SEED") ?? 1
    return first..<(first + count * (number("TIMES") ?? 1))
}

/// Runs `body` with many changed inputs.
func fuzz(_ name: String, _ corpus: [[UInt8]], count: Int = 4_000, _ body: ([UInt8]) throws -> Void) rethrows {
    for seed in seeds(count: count) {
        // A trap ends the process: this is the line that says where.
        if seed % 50_000 == 0 { print("fuzz \(name) from SEED=\(seed)") }
        var mutator = Mutator(seed: UInt64(seed))
        try body(mutator.changed(corpus))
    }
}
