// Known ways to get a replicated store wrong, each done by the twins around a replica that is itself as shipped. A
// simulation that does not notice one of them is not worth running.

/// A mistake on purpose.
package enum PlantedBug: String, CaseIterable, Sendable {
    /// The disk says "durable" when it has only begun.
    case acknowledgesBeforeSync
    /// Votes (and pre-votes) are given to candidates whose log is behind.
    case ignoresLogInVotes
    /// Pre-votes are.
    case ignoresLogInPreVotes
    /// A vote of an earlier term counts in this one.
    case countsStaleVotes
    /// A leader answers reads from its state without asking a quorum.
    case readsWithoutRound
    /// A leader commits entries of older terms by counting (Raft, figure 8).
    case commitsOldTerms
    /// After a compaction a watcher misses an event, or gets one twice.
    case dropsEvent, repeatsEvent
    /// A log that lost its end is taken for a short one.
    case corruptIsShort
    /// What a disk does not give back of a log is taken for its end, and for all that there ever was.
    case takesReadErrorForEnd
    /// The damage is forgotten at the second start. (It was a real one.)
    case forgetsDamage
    /// Of a save that was torn, the commit index is there and its entries are not. (It was a real one.)
    case commitsTornEntries
    /// Entries are cut off before the mark is lowered.
    case truncatesBelowMark
    /// How far the state is applied is written before what that did, in a transaction of its own.
    case appliesBeforeEffects
    /// The log is compacted as far as the state is written, synced or not.
    case compactsAheadOfCheckpoint
    /// A checkpoint moves pages and syncs nothing.
    case checkpointsWithoutSync
    /// When a sync of the state database fails, it is tried again, and believed.
    case retriesStateSync
    /// At start the table of records is taken to be as far as the history is.
    case forgetsUnfolded
    /// A state that was altered on the disk is served.
    case trustsState
    /// What the others said of a state is not written: who begins again believes it.
    case forgetsVerdict
    /// An older program takes a newer entry for what it looks like.
    case guessesVersions
    /// A snapshot brings no sessions, or no leases.
    case sendsNoSessions, sendsNoLeases
    /// What came of a command that was executed aside is taken for what came of another.
    case takesOldExecutions
    /// A watch that resumes beyond what the window holds is told what there is, and not that something is missing.
    case windowHidesFloor
    /// A watch of some keys is not told of the last of them.
    case filterMissesLast
    /// The guards of a transaction are looked at when it is proposed, not when it is applied.
    case guardsBeforeProposing
    /// Of a transaction, the second operation is not done.
    case losesSecondOperation
    /// A deletion of several keys spares the last one.
    case deletesAllButLast
    /// What a write replaced is answered wrongly.
    case answersWrongPrevious
    /// A read of the past shows the present.
    case readsPresentForPast
    /// A state that is known to be wrong is still shown to who asks for whatever is there.
    case servesFenced
    /// What a leader says about reads of others never arrives.
    case dropsReadAnswers
    /// A leader's word to campaign never arrives.
    case dropsTransfers
    /// A follower answers a read when it is confirmed, and not when it has applied what that takes.
    case readsBeforeApplied
    /// Followers are told to commit what nobody has acknowledged yet.
    case commitsUnacknowledged
    /// While members change, a majority of those to come is enough.
    case commitsByNewHalf
    /// After a compaction a watch is forgotten, and nobody is told.
    case forgetsWatch
    /// A fence is not carried along.
    case noFencing
    /// A lease ends by the wall clock of whoever looks.
    case expiresByLocalClock
    /// Who begins again with an old copy of its directory is not told what it lost.
    case trustsOldCopies
    /// A voter whose data directory was emptied takes part at once under its old number.
    case emptiedVotesAtOnce
    /// Who begins again forgets what it promised to its leader.
    case forgetsPromises
    /// A peer that sends a round's number back is taken to have promised something.
    case countsEchoes
    /// A leader gives its word to a campaign and goes on to rely on promises.
    case transfersUnderLease
    /// The clock that a lease is counted on stands still while the process does.
    case stopsClockInPause
    /// Clocks drift by more than what is subtracted for it.
    case driftsBeyondBound
    /// The witness counts for commits although every voter with data is there.
    case countsWitnessAlways
    /// The witness is sent all there is.
    case sendsWitnessAll
    /// While it counts, it is sent what its leader has not saved yet.
    case sendsWitnessUnsaved
}
