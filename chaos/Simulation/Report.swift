// What a run saw. A run that found no violation proves nothing unless something happened: the counters say so.

/// The result of one seed, or of many added up.
package struct Report: Sendable, CustomStringConvertible {
    package enum Counter: Int, CaseIterable, Sendable {
        case elections, writes, reads, retries, unknownOutcomes, failedGuards, fencedWrites
        case transactions, deletions, rangeReads, localReads, pastReads, compactedReads, clientCompactions, manyKeys
        case followerReads, handOvers, contents
        case resyncs, leases, leasesEnded, leasesKept, leasesRevoked, clockJumps
        case watchesResumed, watchedEvents, bookmarks, shortWindows, watchesFromDisk, watchesBehindDisk, watchesTooLate
        case snapshotTransfers, snapshotPieces, snapshotsCutOff, snapshotsInstalled, compactions
        case messagesDelivered, messagesLost, messagesDuplicated, messagesLate, messagesClogged
        case crashes, powerCuts, lostSaves, bitRot, misdirectedWrites, lostEnds, unreadableLogs, unreadableMarks,
            unreadableStates, segmentsReplaced, statesSetAside, damagedStarts, logsSetAside,
            tornWrites, doubtfulSyncs, segments, segmentsReturned, tornMarks, wipedDisks,
            oldCopies, noticedCopies, firstStarts, emptiedDisks, refusedStarts, replacedMembers, emptiedWitnesses
        case lowDisks, growthRefused, damagedTogether, damagedLeaders, witnessesAdded, membersChanged
        case diskStalls, slowDisks, slowClusters, fullDisks, fullDiskWrites, failedWrites, failedSyncs
        case partitions, bridges, rings, oneWayPartitions, isolations, flaps, clogs, ambushes, betrayals, pauses
        case keptRevisions, stateWrites, stateSyncs, tornStateWrites, lostStateWrites, refusedStateWrites,
            failedStateWrites, failedStateSyncs, doubtfulStateSyncs,
            remadeStates
        case flippedStates, rottenStates, fencedStates, repairedStates, verdicts, condemnedStarts, wrongStarts
        case witnesses, witnessCounted, witnessReleased, witnessCommits, witnessSnapshots, machinesGone, machinesAbsent
        case leaseReads, leaseStrangers, leaseSwitches, readsByLease, leasesGivenAway, promisesKept, leasesWithoutClock,
            sieges
        case longRests, longCommands, droppedCommands, rounds, hints, upgrades, raisedVersions, stoppedPrograms,
            falseHints,
            transfers, membershipChanges,
            restarts
    }
    package let seed: UInt64
    package private(set) var counts = [Int](repeating: 0, count: Counter.allCases.count)
    /// Crashes by the step of durable work that they struck.
    private var crashes = [Int](repeating: 0, count: CrashPoint.allCases.count)
    /// Equal for equal seeds, in every process.
    package internal(set) var traceHash: UInt64 = 0xcbf2_9ce4_8422_2325
    package internal(set) var steps = 0
    /// Simulated microseconds.
    package internal(set) var time: UInt64 = 0
    /// The first broken promise and how to see it again; nil when all were kept.
    package internal(set) var violation: String?
    /// The seed that broke it.
    package internal(set) var failingSeed: UInt64?
    package internal(set) var trace: [String] = []

    package init(seed: UInt64) { self.seed = seed }

    package subscript(counter: Counter) -> Int { counts[counter.rawValue] }
    mutating func count(_ counter: Counter, _ amount: Int = 1) { counts[counter.rawValue] += amount }

    mutating func count(_ point: CrashPoint) { crashes[point.rawValue] += 1 }

    mutating func mix(_ value: UInt64) { traceHash = (traceHash ^ value) &* 0x0000_0100_0000_01b3 }

    /// Adds another run's counters.
    package mutating func add(_ other: Report) {
        for position in counts.indices { counts[position] += other.counts[position] }
        for position in crashes.indices { crashes[position] += other.crashes[position] }
        steps += other.steps
        time += other.time
        mix(other.traceHash)
        guard violation == nil, other.violation != nil else { return }
        violation = other.violation
        failingSeed = other.seed
    }

    /// What happened less often than that. Over a default set of seeds this must be empty for `rareMin`, else the run is
    /// too quiet to mean anything.
    package func quiet(below least: Int) -> [String] {
        Counter.allCases.filter { self[$0] < least }.map { "\($0) \(self[$0])" }
            + CrashPoint.allCases.filter { crashes[$0.rawValue] < least }.map { "crash \($0) \(crashes[$0.rawValue])" }
    }

    /// Counts that are right on average differ from one program to the next: this much is certain.
    package static let rareMin = 5

    package var description: String {
        var lines = [
            "seed \(seed)  steps \(steps)  simulated \(time / 1_000_000) s  trace \(String(traceHash, radix: 16))"
        ]
        let cells =
            Counter.allCases.map { "\($0) \(self[$0])" }
            + CrashPoint.allCases.map { "crash \($0) \(crashes[$0.rawValue])" }
        for start in stride(from: 0, to: cells.count, by: 7) {
            lines.append("  " + cells[start..<min(start + 7, cells.count)].joined(separator: ", "))
        }
        let rare = quiet(below: Report.rareMin)
        if !rare.isEmpty { lines.append("  seldom or never: " + rare.joined(separator: ", ")) }
        if let violation { lines.append("  VIOLATION: \(violation)") }
        return lines.joined(separator: "\n")
    }
}
