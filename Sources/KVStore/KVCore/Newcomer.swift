// Who starts with nothing may be new, or may have lost its disk: then it has forgotten what it voted for and which entries
// it acknowledged, and must not do either again under the same number (Raft §5.1: votes and the log survive). It cannot
// tell by itself, so it says and does nothing before others have told it. Whoever has heard it keep an entry has it in
// the replicated directory (`ReplicaCore.tookPart`); those that are new themselves know nobody.

import Raft

/// What the others say of one that starts with nothing.
package struct Newcomer: Hashable, Sendable {
    package enum Verdict: Hashable, Sendable { case open, isNew, tookPart }
    package private(set) var verdict: Verdict
    /// With itself a quorum of a new cluster; who joins was told its number by somebody who runs.
    private let answersNeeded: Int
    private var unknowing: Set<PeerID> = []

    /// `members`: of the cluster when it was new, with itself; of a running one when it `joins`. `others`: that it can ask.
    package init(members: Int, others: Int, joins: Bool) {
        answersNeeded = joins ? min(1, others) : members / 2
        verdict = answersNeeded > 0 ? .open : .isNew
    }

    /// One answer of each counts; who knows it decides, unless enough others did before.
    package mutating func note(_ tookPart: Bool, by peer: PeerID) {
        guard verdict == .open else { return }
        guard !tookPart else { return verdict = .tookPart }
        unknowing.insert(peer)
        if unknowing.count >= answersNeeded { verdict = .isNew }
    }

    /// Whether it must ask at all. A witness may forget: it does not count before it has caught up.
    package static func mustAsk(_ restored: Restored, isWitness: Bool, members: Int, joins: Bool) -> Bool {
        restored.isBlank && !isWitness && (joins || members > 1)
    }
}
