// What a peer wants done, as one value, and what a shell hands over at start. The core never waits for any of it: every
// completion comes back as an input (`saved`, `applied(to:)`).

/// Work for the shell. Its order of obedience:
///
/// 1. **messages** may be sent at once, in any order, and may be lost. (What must not be said before a save is held
///    back inside the core.) For `.installSnapshot` stream the state first; see `Message.Body.installSnapshot`.
/// 2. **save** starts, and a crash may leave it half done: the snapshot's state is installed and
///    synced and the log is reset to it (where the log holds its last entry, what stands behind that stays); entries
///    replace everything from the first one's index on; the hard state is written. Saves are done in the order of
///    their ids, several may be under way; each is reported by `saved(_:)`, or the process exits.
/// 3. **committed** is applied in order, across all `Ready`s, after the snapshot of any earlier `Ready` was installed,
///    then reported by `applied(to:)`. A fenced entry (`Entry.isFenced`) and an empty one have no effect.
/// 4. **reads** with an index are served once that index is applied; those without one may be asked again.
/// 5. **leadership** is news for observers; who leads may act only when the entry `termStart` is applied locally.
///
/// Then `takeReady` is asked again, until it answers nil.
package struct Ready: Hashable, Sendable {
    package var messages: [Message] = []
    package var save: Save?
    package var committed: [Entry] = []
    package var reads: [ReadResult] = []
    package var leadership: Leadership?

    package var isEmpty: Bool {
        messages.isEmpty && save == nil && committed.isEmpty && reads.isEmpty && leadership == nil
    }
}

/// One durable step; report it with `saved(id)`.
package struct Save: Hashable, Sendable {
    package var id: SaveID
    package var hardState: HardState
    /// Replace the log from the first one's index on. May be empty.
    package var entries: [Entry]
    /// Replaces the state, and the log as far as it does not hold this place.
    package var snapshot: SnapshotMetadata?

    package init(id: SaveID, hardState: HardState, entries: [Entry], snapshot: SnapshotMetadata? = nil) {
        self.id = id
        self.hardState = hardState
        self.entries = entries
        self.snapshot = snapshot
    }
}

/// What a peer must remember besides its log. `commit` may lag.
package struct HardState: Hashable, Sendable {
    package var term: Term
    package var vote: PeerID?
    package var commit: LogIndex
    package init(term: Term = .zero, vote: PeerID? = nil, commit: LogIndex = .zero) {
        self.term = term
        self.vote = vote
        self.commit = commit
    }
}

/// The answer to `readIndex`.
package struct ReadResult: Hashable, Sendable {
    package var id: ReadID
    /// Serve the read when this is applied; nil: leadership changed, ask again.
    package var index: LogIndex?
}

/// Who leads, as far as this peer knows.
package struct Leadership: Hashable, Sendable {
    package enum Role: UInt8, Sendable { case follower, candidate, leader }
    package var role: Role
    package var term: Term
    package var leader: PeerID?
    /// Of a leader: the index of its first entry. Its predecessors' writes are all visible once this is applied.
    package var termStart: LogIndex?
}

/// What the shell found on disk.
package struct Restored: Hashable, Sendable {
    package var hardState: HardState
    /// The durable state of the state machine: applying goes on after its index.
    package var snapshot: SnapshotMetadata
    /// The place before the first kept entry; not after the snapshot.
    package var base: EntryID
    /// The kept log, in order, from `base.index + 1` on. What a snapshot ahead of the log makes obsolete is left out.
    package var entries: [Entry]
    /// The log is known to be damaged: neither vote nor campaign before the commit index reaches this.
    package var voteMark: LogIndex?
    /// There was nothing, now or since this last caught up: for all that is known, it was here before and lost all.
    /// Neither vote nor campaign before an entry of the leader's own term is committed here. Not for those without whom
    /// a new cluster could not elect anybody.
    package var isNewborn: Bool

    package init(
        hardState: HardState, snapshot: SnapshotMetadata, base: EntryID, entries: [Entry], voteMark: LogIndex? = nil,
        isNewborn: Bool = false
    ) {
        self.isNewborn = isNewborn
        self.hardState = hardState
        self.snapshot = snapshot
        self.base = base
        self.entries = entries
        self.voteMark = voteMark
    }

    /// Of one who never voted and never kept anything, as far as its disk knows.
    package var isBlank: Bool {
        hardState.term == .zero && entries.isEmpty && snapshot.index == .zero && voteMark == nil
    }

    /// A peer's first start in a new cluster with these members; of a peer that will join one: `.empty`.
    package static func fresh(_ configuration: Configuration) -> Restored {
        Restored(
            hardState: HardState(), snapshot: SnapshotMetadata(index: .zero, term: .zero, configuration: configuration),
            base: .zero, entries: [])
    }
}

/// Why a proposal was not appended.
package enum ProposeRefusal: Error, Hashable, Sendable {
    case notLeader(PeerID?)
    /// Leadership is being handed over.
    case transferring
    /// Too much is uncommitted.
    case overloaded
    case tooLarge(bytes: Int)
}

/// Where proposals were put.
package struct Appended: Hashable, Sendable {
    package var term: Term
    package var first: LogIndex
    package var last: LogIndex
}

/// Why a read was not taken.
package enum ReadRefusal: Error, Hashable, Sendable { case noLeader, overloaded }

/// Why a change of members was not taken.
package enum ConfigurationRefusal: Error, Hashable, Sendable {
    case notLeader(PeerID?)
    /// Another change is not finished, or the leader has not committed in its term yet.
    case changeInProgress
    /// A new voter must be a learner that has caught up.
    case notCaughtUp(PeerID)
    /// It was a member before: another peer needs another id.
    case usedID(PeerID)
    /// There is one at most, beside at least two voters with data; a peer is one for ever or never.
    case witnessMisplaced
    case tooManyPeers
    case noVoters
    case unchanged
}

/// Why leadership was not handed over.
package enum TransferRefusal: Error, Hashable, Sendable {
    case notLeader(PeerID?)
    /// Not another voter that is heard from.
    case noTarget
}
