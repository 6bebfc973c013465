// The byte form of a configuration. Each is written in the oldest of three versions that can say it.

extension Configuration {
    /// A format version, then lists of (count, ids), little-endian: voters, outgoing, learners; from version 2 on those
    /// that left; from version 3 on the witness, which is no list longer than one.
    package func encode() -> [UInt8] {
        var lists = [voters, outgoing, learners]
        if !former.isEmpty || witness != nil { lists.append(former) }
        if let witness { lists.append([witness]) }
        var bytes: [UInt8] = [UInt8(lists.count - 2)]
        for list in lists {
            bytes.append(UInt8(truncatingIfNeeded: list.count))
            for peer in list {
                for shift in stride(from: 0, to: 64, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: peer.rawValue >> UInt64(shift)))
                }
            }
        }
        return bytes
    }

    /// nil when the bytes are not a configuration.
    package init?(decoding bytes: [UInt8]) {
        var rest = bytes[...]
        guard let version = rest.popFirst(), (1...3).contains(version) else { return nil }
        var lists: [[PeerID]] = []
        for _ in 0..<3 {
            guard let list = Configuration.decodeList(&rest, Configuration.peersMax) else { return nil }
            lists.append(list)
        }
        guard !lists[0].isEmpty else { return nil }
        var left: [PeerID] = [], witnesses: [PeerID] = []
        if version >= 2 {
            guard let list = Configuration.decodeList(&rest, Configuration.formerMax) else { return nil }
            left = list
        }
        if version >= 3 {
            guard let list = Configuration.decodeList(&rest, 1), !list.isEmpty else { return nil }
            witnesses = list
        }
        self.init(voters: lists[0], outgoing: lists[1], learners: lists[2], witness: witnesses.first)
        former = left
        guard rest.isEmpty, witness == witnesses.first else { return nil }
    }

    private static func decodeList(_ rest: inout ArraySlice<UInt8>, _ max: Int) -> [PeerID]? {
        guard let count = rest.popFirst(), Int(count) <= max, rest.count >= Int(count) * 8 else { return nil }
        var list: [PeerID] = []
        for _ in 0..<count {
            var value: UInt64 = 0
            for (position, byte) in rest.prefix(8).enumerated() { value |= UInt64(byte) << UInt64(position * 8) }
            rest = rest.dropFirst(8)
            list.append(PeerID(value))
        }
        return list
    }
}
