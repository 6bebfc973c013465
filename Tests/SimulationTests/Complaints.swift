// What is complained of when a mistake on purpose is noticed: by anything else it would only be noticed by accident.
import Simulation

/// One of these is said of it.
func complaints(of bug: PlantedBug) -> [String] {
    switch bug {
    case .acknowledgesBeforeSync, .commitsUnacknowledged, .commitsByNewHalf, .ignoresLogInVotes, .commitsOldTerms,
        .corruptIsShort, .takesReadErrorForEnd:
        ["is not durable on a quorum", "lacks committed", "was changed", "forgot"]
    case .ignoresLogInPreVotes: ["gave a pre-vote to"]
    case .countsStaleVotes: ["has two leaders"]
    case .readsWithoutRound, .readsBeforeApplied: ["stale read"]
    case .dropsEvent, .windowHidesFloor, .filterMissesLast: ["and missed"]
    case .repeatsEvent: ["a watch repeats"]
    case .forgetsDamage, .truncatesBelowMark, .commitsTornEntries:
        ["takes its log for damaged", "was changed", "lacks committed", "is not durable on a quorum"]
    case .appliesBeforeEffects, .trustsState, .sendsNoSessions, .sendsNoLeases:
        ["another state at", "watches tell different things"]
    case .compactsAheadOfCheckpoint, .checkpointsWithoutSync, .forgetsUnfolded, .retriesStateSync:
        ["takes its state for damaged", "another state at", "watches tell different things"]
    case .forgetsVerdict: ["believes a state that it knew to be wrong"]
    case .guessesVersions: ["applied entries of version"]
    case .takesOldExecutions:
        [": lacks KeyValue", ": holds KeyValue", "another state at", "watches tell different things"]
    case .guardsBeforeProposing, .deletesAllButLast: ["should have done", "should answer", "unasked"]
    case .losesSecondOperation, .answersWrongPrevious: ["should answer", "should have done"]
    case .readsPresentForPast, .servesFenced: ["shows", "stale read"]
    case .dropsReadAnswers, .forgetsWatch, .trustsOldCopies: ["not useful again after healing"]
    case .emptiedVotesAtOnce:
        ["and is taken for new", "is refused, and lost nothing", "lacks committed", "is not durable on a quorum"]
    case .dropsTransfers: ["nobody takes over"]
    case .noFencing: ["had an effect outside of its term"]
    case .expiresByLocalClock: ["ended at log time", "too early"]
    case .forgetsPromises, .countsEchoes, .transfersUnderLease, .stopsClockInPause, .driftsBeyondBound:
        ["was elected while"]
    case .countsWitnessAlways: ["not useful again without one machine with data"]
    case .sendsWitnessAll, .sendsWitnessUnsaved: ["and no disk of those that may lead does"]
    }
}
