// The smallest useful state machine: a few registers. It stands for the real one where only Raft is on trial.

import Raft

/// Registers with unique values, and the members as of `applied`.
struct Machine: Hashable {
    struct Slot: Hashable {
        var value: UInt64 = 0
        var index = LogIndex.zero
    }
    static let keys = 6
    var applied = LogIndex.zero
    var term = Term.zero
    var configuration: Configuration
    var slots = [Slot](repeating: Slot(), count: Machine.keys)

    init(configuration: Configuration) { self.configuration = configuration }

    var metadata: SnapshotMetadata { SnapshotMetadata(index: applied, term: term, configuration: configuration) }

    mutating func apply(_ entry: Entry) {
        applied = entry.index
        term = entry.term
        switch entry.kind {
        case .configuration: configuration = Configuration(decoding: entry.data) ?? configuration
        case .normal:
            guard !entry.isFenced, let command = Command(decoding: entry.data), command.key < slots.count else { return }
            slots[command.key] = Slot(value: command.value, index: entry.index)
        case .empty: break
        }
    }
}

/// "Put this value under this key."
struct Command: Hashable {
    var key: Int
    var value: UInt64

    func encode() -> [UInt8] {
        var bytes = [UInt8(truncatingIfNeeded: key)]
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
        return bytes
    }

    init(key: Int, value: UInt64) {
        self.key = key
        self.value = value
    }

    init?(decoding bytes: [UInt8]) {
        guard bytes.count == 9 else { return nil }
        key = Int(bytes[0])
        value = 0
        for (position, byte) in bytes.dropFirst().enumerated() { value |= UInt64(byte) << UInt64(position * 8) }
    }
}
