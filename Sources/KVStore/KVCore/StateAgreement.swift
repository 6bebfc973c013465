// Agreement on the state: at every so many entries, at each leader's first, and whenever a leader tells the time, replicas
// report their states' hashes to the leader. Who has begun with a state from its disk asks for that. Raft makes the logs
// agree; this finds out when executing them did not (a flipped bit, a mistake). Only a majority that agrees on one hash is
// right: whoever differs is told, stops applying, serving and leading, and takes the leader's state. Without such a
// majority nobody knows better: an alarm, until a later state has one, and nothing else happens.
import Raft

/// Something is wrong with a state; to be logged and shown.
package enum StateAlarm: Hashable, Sendable {
    /// This replica's state differs from the majority's: it is being replaced.
    case diverged(LogIndex)
    /// No majority agrees. The hashes by peer, in order.
    case noMajority(LogIndex, [UInt64])
}

/// What is known about the hashes at the last few checkpoints.
struct StateAgreement: Sendable {
    static let checkpointsMax = 16
    /// This replica's own.
    private var own: [(index: LogIndex, hash: UInt64)] = []
    /// As a leader: everybody's, by checkpoint, oldest first.
    private var reports: [(index: LogIndex, hashes: [PeerID: UInt64], isAlarmed: Bool)] = []
    /// As a leader: no majority agreed after this entry, and none has since.
    private(set) var undecidedAt: LogIndex?
    /// Since when this replica waits for another state, and when it last asked; nil while its own is good.
    var fencedAt: Int64?
    var askedAt: Int64 = .min
    /// The state is as the disk had it, and was not compared since.
    var isUnseen = false
    var comparisonAskedAt: Int64 = .min

    mutating func remember(_ index: LogIndex, _ hash: UInt64) {
        own.append((index, hash))
        if own.count > Self.checkpointsMax { own.removeFirst() }
    }

    func hash(at index: LogIndex) -> UInt64? { own.last { $0.index == index }?.hash }

    /// The state was replaced.
    mutating func begin() { self = StateAgreement() }

    mutating func forgetReports() {
        reports = []
        undecidedAt = nil
    }

    /// Notes a report; answers what it means to whom.
    mutating func take(
        _ index: LogIndex, _ hash: UInt64, from peer: PeerID, _ members: Configuration
    ) -> Judgement {
        guard let position = position(of: index) else { return .none }
        reports[position].hashes[peer] = hash
        let hashes = reports[position].hashes
        let candidates = Set(members.allVoters.compactMap { hashes[$0] }).sorted()
        let outcomes = candidates.map { candidate in members.outcome { hashes[$0].map { $0 == candidate } } }
        if let winner = outcomes.firstIndex(of: .won) {
            let right = candidates[winner]
            if let undecided = undecidedAt, undecided <= index { undecidedAt = nil }
            return .majority(right, against: hashes.keys.sorted().filter { hashes[$0] != right })
        }
        guard !candidates.isEmpty, outcomes.allSatisfy({ $0 == .lost }), !reports[position].isAlarmed else {
            return .none
        }
        reports[position].isAlarmed = true
        undecidedAt = index
        return .nobody(members.allVoters.map { hashes[$0] ?? 0 })
    }

    private mutating func position(of index: LogIndex) -> Int? {
        if let known = reports.firstIndex(where: { $0.index == index }) { return known }
        if reports.count >= Self.checkpointsMax {
            guard reports[0].index < index else { return nil }
            reports.removeFirst()
        }
        let position = reports.firstIndex { $0.index > index } ?? reports.count
        reports.insert((index, [:], false), at: position)
        return position
    }

    enum Judgement {
        case none
        case majority(UInt64, against: [PeerID])
        case nobody([UInt64])
    }
}

extension ReplicaCore {
    static var stateAskMilliseconds: Int64 { 500 }
    static var comparisonAskMilliseconds: Int64 { 5000 }
    /// Of an entry that tells the time.
    private static var tickBytesMax: Int { 128 }

    /// The state is known to be wrong: nothing is applied, served or led until another one is here.
    package var isFenced: Bool { agreement.fencedAt != nil }

    /// After an entry was applied. The same entries on every replica: who begins to lead learns at once who differs.
    mutating func reportState(after entry: Entry, isTick: Bool) {
        guard isCompared(entry, isTick: isTick), !raft.settings.isWitness else { return }
        let index = state.appliedIndex, hash = state.stateHash
        agreement.remember(index, hash)
        if raft.isLeader { return judge(index, hash, from: id) }
        guard let leader = raft.leader else { return }
        agreement.isUnseen = false
        output.messages.append(Envelope(to: leader, .stateReport(index, hash: hash)))
    }

    private func isCompared(_ entry: Entry, isTick: Bool) -> Bool {
        entry.index.rawValue % limits.hashEntries == 0 || entry.kind == .empty || isTick
    }

    private func isCompared(_ index: LogIndex) -> Bool {
        guard index.rawValue % limits.hashEntries != 0 else { return true }
        guard let entry = raft.entry(at: index), entry.data.count <= Self.tickBytesMax else { return false }
        return isCompared(entry, isTick: ReadEntry(entry).isTick)
    }

    /// A report of what nobody else reports is the wish for one that all make.
    mutating func askForComparison() {
        guard agreement.isUnseen, !isFenced, !raft.settings.isWitness, let leader = raft.leader, leader != id,
            agreement.comparisonAskedAt == .min || now - agreement.comparisonAskedAt >= Self.comparisonAskMilliseconds
        else { return }
        agreement.comparisonAskedAt = now
        // What is said of it by a majority is to be understood.
        if agreement.hash(at: state.appliedIndex) == nil { agreement.remember(state.appliedIndex, state.stateHash) }
        output.messages.append(Envelope(to: leader, .stateReport(state.appliedIndex, hash: state.stateHash)))
    }

    mutating func judge(_ index: LogIndex, _ hash: UInt64, from peer: PeerID) {
        let members = raft.configuration.withData
        guard raft.isLeader, members.contains(peer) else { return }
        guard isCompared(index) else {
            duties.isComparisonWanted = true
            return
        }
        if index <= state.appliedIndex, peer != id, agreement.hash(at: index) == nil {
            duties.isComparisonWanted = true
        }
        switch agreement.take(index, hash, from: peer, members) {
        case .none: break
        case .nobody(let hashes): output.alarms.append(.noMajority(index, hashes))
        case .majority(let right, let minority):
            for one in minority where one != id {
                output.messages.append(Envelope(to: one, .stateVerdict(index, hash: right)))
            }
            if minority.contains(id) { takeVerdict(index, right) }
        }
    }

    /// A majority's hash; from the leader, or from this replica as one.
    mutating func takeVerdict(_ index: LogIndex, _ hash: UInt64) {
        // Another state is on its way to the disk: what is said of this one does not hold for it.
        guard !isFenced, installing == nil, staged == nil, let own = agreement.hash(at: index), own != hash else {
            return
        }
        distrustState(at: index)
    }

    /// What was written of the state is as it is in memory: only this tells the next start.
    package mutating func distrustState(at index: LogIndex) {
        guard !isFenced else { return }
        agreement.fencedAt = now
        output.alarms.append(.diverged(index))
        output.condemnsState = true
        committed.drop()
        endSenders()
        raft.suspendApplying()
    }

    /// What the disk held is not what was written.
    mutating func fenceAtStart() {
        agreement.fencedAt = now
        output.alarms.append(.diverged(state.appliedIndex))
        raft.suspendApplying()
    }

    /// Asks the leader for its state, again and again.
    mutating func askForState() {
        guard isFenced, receiver == nil, staged == nil, let leader = raft.leader, leader != id,
            now - max(agreement.askedAt, 0) >= Self.stateAskMilliseconds || agreement.askedAt == .min
        else { return }
        agreement.askedAt = now
        output.messages.append(Envelope(to: leader, .stateWanted))
    }

    mutating func sendState(to peer: PeerID) {
        guard raft.isLeader, !isFenced, raft.configuration.contains(peer), !senders.contains(where: { $0.peer == peer })
        else { return }
        beginSnapshot(to: peer, isRepair: true)
    }

    /// For simulations: what a flipped bit in memory does to the state. `isWritten`: its database is told of it too, as
    /// of a part of the last revision that it was not told of. False where it would not last.
    @discardableResult
    package mutating func flipState(isWritten: Bool = false) -> Bool {
        guard committed.execution == nil else { return false }
        state.flip(isWritten: isWritten)
        return true
    }
}

extension StateMachine {
    /// That no client uses.
    package static let flippedKey = Key([0xff, 0xff])

    mutating func flip(isWritten: Bool) {
        let old = tree.get(Self.flippedKey)
        let version = (old?.version ?? 0) &+ 1
        let record = KeyValue(
            key: Self.flippedKey, value: [], createRevision: revision, modRevision: revision, version: version)
        tree.put(record)
        account(added: record, removed: old)
        guard isWritten, let last = unsaved.events.indices.last else { return }
        unsaved.events[last].events.append(KVEvent(kind: .put, current: record, previous: old))
    }
}
