// The tunables of one peer, in ticks (10 ms by intention), messages and bytes. Validated by `init` of `RaftCore`.

/// Limits and timings of a peer.
package struct RaftSettings: Hashable, Sendable {
    /// A leader speaks to every peer at least so often.
    package var heartbeatTicks = 5
    /// A follower waits a random time in this range for its leader, then campaigns; it refuses others for the minimum.
    package var electionTicksMin = 15
    package var electionTicksMax = 30
    /// A leader whose save takes longer hands over; and stops leading `electionTicksMin` later, handed over or not.
    package var saveStallTicks = 50
    /// Forwarded reads without an answer are asked again, under a fresh context; a late answer is good too.
    package var readRetryTicks = 10
    /// Of one append message.
    package var appendBytesMax = 1 << 20
    package var appendEntriesMax = 4096
    /// Not yet acknowledged by one follower.
    package var inflightMessagesMax = 256
    package var inflightBytesMax = 16 << 20
    /// Appended by the leader and not committed; one proposal is always taken while there is none.
    package var uncommittedBytesMax = 64 << 20
    package var entryBytesMax = 32 << 20
    /// Handed out to apply in one `Ready`.
    package var applyBytesMax = 8 << 20
    /// Reads waiting on this peer.
    package var readsMax = 65_536
    /// ReadIndex rounds not yet confirmed; later reads gather in the next one.
    package var readRoundsMax = 8
    /// How far a learner may lag behind the commit index and still be promoted.
    package var promotionLagMax: UInt64 = 1000
    /// Hand out committed entries before this peer's own save of them is done (they are durable on a quorum).
    package var appliesBeforeSave = false
    /// This peer keeps no commands, votes and never leads. Fixed for the life of its id: the members' configuration must
    /// agree (`Configuration.witness`).
    package var isWitness = false
    /// A connection to the leader that was reset and refused voids the loyalty to it (`connectionLost`).
    package var usesConnectionLossHint = true
    /// As a leader: answer reads without asking a quorum while one has promised lately to help nobody else to lead. As
    /// every other peer: give that promise, and keep it. Not together with the hint, which would break it.
    package var leaseReads = false
    /// A former life of this peer may have given promises: it keeps them, whatever its settings are now.
    package var mayHavePromised = false
    /// How much slower a leader's clock may be than that of a follower, in percent.
    package var leaseDriftPercent = 20
    /// Of a silence of its clock a peer counts no more for its promises, in ticks: time before a promise that it is told
    /// of afterwards, or a jump. A leader relies on them for so much less.
    package var leaseMarginTicks = 4
    /// Units of `tell(clock:)` in a tick: milliseconds by intention.
    package var tickUnits = 10

    package init() {}

    package var isValid: Bool {
        heartbeatTicks > 0 && electionTicksMin > heartbeatTicks && electionTicksMax > electionTicksMin
            && saveStallTicks > 0 && appendBytesMax > 0 && appendEntriesMax > 0 && inflightMessagesMax > 0
            && inflightBytesMax > 0 && readRoundsMax > 0 && readRetryTicks > 0 && hasSaneLease
    }
}
