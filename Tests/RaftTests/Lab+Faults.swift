// What the network and the disks of a lab do wrong on demand: one-way cuts, messages that come late, links that flap,
// disks that are lost.

import Raft

extension Lab {
    mutating func performFault(_ words: [String], _ peer: PeerID, _ other: PeerID) {
        switch words.first ?? "" {
        case "byhand": peers[peer]?.savesByHand = true
        case "save":
            peers[peer]?.savesByHand = false
            finishSaves(peer)
            drain(peer)
        case "crash":
            peers[peer]?.core = nil
            peers[peer]?.pending = []
        case "restart":
            boot(
                peer, voteMark: words.count > 3 ? LogIndex(number(words, 3)) : nil, isNewborn: words.last == "newborn")
        case "truncate": peers[peer]?.entries.removeAll { $0.index > LogIndex(other.rawValue) }
        case "join":
            if words.last == "witness" { witnesses.insert(peer) }
            add(peer, .empty)
        case "wipe":
            let nothing = SnapshotMetadata(index: .zero, term: .zero, configuration: .empty)
            peers[peer] = Peer(snapshot: nothing, appliedConfiguration: .empty)
        default: performNetwork(words, peer, other)
        }
    }

    private mutating func performNetwork(_ words: [String], _ peer: PeerID, _ other: PeerID) {
        switch words.first ?? "" {
        case "cut": cuts.formUnion([[peer, other], [other, peer]])
        case "oneway": cuts.insert([peer, other])
        case "isolate": for id in peers.keys { cuts.formUnion([[peer, id], [id, peer]]) }
        case "mend": cuts = []
        case "drop": network = []
        case "flap": flap(peer, other, times: number(words, 3), ticks: number(words, 4))
        case "hold": holds.insert([peer, other])
        case "open": holds.remove([peer, other])
        case "release": release(peer, other)
        default: say("UNKNOWN COMMAND \(words)")
        }
    }

    /// Down and up again, for so many ticks each.
    private mutating func flap(_ peer: PeerID, _ other: PeerID, times: UInt64, ticks: UInt64) {
        let before = cuts
        for _ in 0..<times {
            cuts.formUnion([[peer, other], [other, peer]])
            pass(ticks)
            cuts = before
            pass(ticks)
        }
    }

    /// The sender of a snapshot is done with it, wherever it is now.
    mutating func putAside(_ message: Message) -> Bool {
        if traces { say("  held: \(words(message))") }
        let message = whole(message)
        late.append(message)
        if case .installSnapshot(let sent) = message.body {
            streamed.insert(message)
            with(message.from) { $0.snapshotSent(to: message.to, through: sent.index) }
        }
        return true
    }

    /// What was held comes after all that is under way.
    private mutating func release(_ peer: PeerID, _ other: PeerID) {
        holds.remove([peer, other])
        network += late.filter { $0.from == peer && $0.to == other }
        late.removeAll { $0.from == peer && $0.to == other }
    }
}
