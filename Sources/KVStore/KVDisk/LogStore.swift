// The Raft log, term and vote on disk: records appended to preallocated segments, one write and one sync a batch of
// saves. Records are chained by checksums, so that what was torn or altered is found when the log is read; the mark
// tells a damaged log from a short one. Used by one thread; a save that throws was not done.
import KVCore
import Raft

/// The log of one replica.
package final class LogStore: @unchecked Sendable {
    /// What may be asked of an entry, and where it is.
    struct Place {
        var term: Term
        var chain: UInt64
        var segment: UInt64
    }
    private let medium: any LogMedium
    private var segments: [any LogMediumSegment] = []
    /// Where the next record goes in the last segment.
    private var end = 0
    package private(set) var hardState = HardState()
    /// What the records of the log say of it; the mark may have added a vote.
    private var recorded = HardState()
    package private(set) var base = EntryID.zero
    package private(set) var last = EntryID.zero
    /// Of the last record.
    private var chain: UInt64 = 0
    /// Of the entries after `base`.
    private var places: [Place] = []
    /// The log ended below this when it was read. The mark stays there until the commit index has passed it: a second
    /// start must not take the damaged log for a short one.
    private var owed: LogMark?
    private var batch = LogBatch(after: 0)
    /// Of what the disk did not give back at start.
    package private(set) var unreadableBytes = 0
    /// Saves of the batch whose snapshot the log holds: what stands behind it stays.
    private var rebases: Set<SaveID> = []
    /// The chains of the batch's entries.
    private var batchChains: [UInt64] = []

    private init(_ medium: any LogMedium) { self.medium = medium }

    /// Reads what is there. A log without a beginning is set aside: the mark knows how far it was.
    package static func open(_ medium: any LogMedium) throws(DiskError) -> (log: LogStore, found: Found) {
        let first = LogStore(medium)
        do throws(DiskError) { return (first, try first.load()) } catch {
            guard case .damaged = error else { throw error }
        }
        try medium.setAside()
        let log = LogStore(medium)
        log.unreadableBytes = first.unreadableBytes
        return (log, try log.load())
    }

    /// It was longer once.
    var isOwing: Bool { owed != nil }

    package func term(at index: LogIndex) -> Term? { index == base.index ? base.term : place(of: index)?.term }

    /// Saves in order, as one durable step. Anything thrown: none of it is saved.
    package func save(_ saves: [Save]) throws(DiskError) {
        if let kept = kept(by: saves) { try lowerMark(to: kept) }
        try makeRoom(saves.reduce(64) { $0 + 64 + $1.entries.reduce(0) { $0 + $1.data.count + 80 } })
        try record(saves)
        try write()
        adopt(saves)
        try raiseMark()
    }

    /// What was lost is here again: until the disk knows, an old mark would call the repaired log damaged.
    private func raiseMark() throws(DiskError) {
        let isRepaired = owed.map { hardState.commit >= $0.index } ?? false
        if isRepaired { owed = nil }
        try writeMark(
            index: owed?.index ?? last.index, chain: owed?.chain ?? places.last?.chain ?? 0, isSynced: isRepaired)
    }

    /// The hard state first: of a batch of which only the front reached the disk, no entry may have a term that is not
    /// known. But its commit index must not cover what the batch only brings: with the front alone, the entries that it
    /// replaces would count as committed. That comes last.
    private func record(_ saves: [Save]) throws(DiskError) {
        batch.begin(after: chain)
        batchChains.removeAll(keepingCapacity: true)
        rebases = []
        let newest = saves.last?.hardState ?? hardState
        var early = newest
        early.commit = commitBefore(saves, newest.commit)
        if early != recorded { batch.add(.hard(early)) }
        var (low, high) = (base.index, last.index)
        for save in saves {
            if let snapshot = save.snapshot {
                if term(at: snapshot.index) == snapshot.term {
                    batch.add(.base(snapshot.id))
                    rebases.insert(save.id)
                    low = snapshot.index
                } else {
                    batch.add(.reset(snapshot.id))
                    (low, high) = (snapshot.index, snapshot.index)
                }
            }
            guard let first = save.entries.first, let final = save.entries.last else { continue }
            guard first.index > low, first.index <= high.next else {
                throw .failed("the log is \(low)-\(high), entry \(first.index) was to be saved")
            }
            for entry in save.entries {
                batch.add(.entry(entry))
                batchChains.append(batch.chain)
            }
            high = final.index
        }
        if newest != early { batch.add(.hard(newest)) }
    }

    private func commitBefore(_ saves: [Save], _ newest: LogIndex) -> LogIndex {
        var commit = newest
        for save in saves {
            if save.snapshot != nil { return hardState.commit }
            if let first = save.entries.first { commit = min(commit, first.index.previous) }
        }
        return max(commit, hardState.commit)
    }

    private func write() throws(DiskError) {
        guard batch.count > 0, let segment = segments.last else { return }
        try segment.write(batch.bytes, at: end)
        end += batch.count
        chain = batch.chain
    }

    /// What was written is what the log is now.
    private func adopt(_ saves: [Save]) {
        if let newest = saves.last?.hardState { (hardState, recorded) = (newest, newest) }
        let segment = segments.last?.number ?? 0
        var next = 0
        for save in saves {
            if let snapshot = save.snapshot {
                if rebases.contains(save.id) {
                    places.removeFirst(Int(snapshot.index.distance(after: base.index)))
                    base = snapshot.id
                } else {
                    (base, last, places) = (snapshot.id, snapshot.id, [])
                }
            }
            guard let first = save.entries.first else { continue }
            if first.index <= last.index { places.removeLast(Int(last.index.distance(after: first.index.previous))) }
            for entry in save.entries {
                places.append(Place(term: entry.term, chain: batchChains[next], segment: segment))
                last = EntryID(index: entry.index, term: entry.term)
                next += 1
            }
        }
    }

    /// A new segment when the present one has no room for so many bytes.
    private func makeRoom(_ bytes: Int) throws(DiskError) {
        if let segment = segments.last, end + bytes <= segment.capacity { return }
        try seal()
        let number = (segments.last?.number ?? 0) + 1
        batch.begin(after: 0)
        batch.add(
            .head(LogHead(number: number, previous: chain, hardState: hardState, base: base, last: last)))
        let segment = try medium.make(number, bytes: bytes + batch.count)
        try segment.write(batch.bytes, at: 0)
        segments.append(segment)
        recorded = hardState
        end = batch.count
        chain = batch.chain
    }

    /// Behind the end may lie what was left of a torn batch, or behind a damage. When the same bytes came again before it,
    /// its chain fits, and it would be read: then the next segment, which follows this end, would not be believed.
    private func seal() throws(DiskError) {
        guard let segment = segments.last, end + LogBatch.overheadBytes <= segment.capacity else { return }
        try segment.write([0, 0, 0, 0], at: end)
    }

    /// Up to where the log stays as it is; nil when nothing goes. One answer for the whole batch: any front of it may
    /// be all that reaches the disk.
    private func kept(by saves: [Save]) -> LogIndex? {
        var kept: LogIndex?
        for save in saves {
            if let snapshot = save.snapshot, term(at: snapshot.index) != snapshot.term { return .zero }
            guard let first = save.entries.first?.index, first <= last.index else { continue }
            kept = min(kept ?? first.previous, first.previous)
        }
        return kept
    }

    /// The mark must not lead: before entries go, it is lowered for good.
    private func lowerMark(to kept: LogIndex) throws(DiskError) {
        guard owed == nil else { return }
        try writeMark(index: kept, chain: place(of: kept)?.chain ?? 0, isSynced: true)
    }

    private func writeMark(index: LogIndex, chain: UInt64, isSynced: Bool) throws(DiskError) {
        let mark = LogMark(term: hardState.term, vote: hardState.vote, index: index, chain: chain)
        try medium.writeMark(mark.encode(), isSynced: isSynced)
    }

    private func place(of index: LogIndex) -> Place? {
        guard index > base.index, index <= last.index else { return nil }
        return places[Int(index.distance(after: base.index)) - 1]
    }

    /// Drops entries that a durable state has made unnecessary; segments without any other become spares.
    package func compact(to index: LogIndex) throws(DiskError) {
        guard let place = place(of: index) else { return }
        let id = EntryID(index: index, term: place.term)
        try makeRoom(64)
        batch.begin(after: chain)
        batch.add(.base(id))
        try write()
        places.removeFirst(Int(index.distance(after: base.index)))
        base = id
        try retire()
    }

    private func retire() throws(DiskError) {
        let oldest = places.first?.segment ?? .max
        while segments.count > 1, let first = segments.first, first.number < oldest {
            try medium.retire(first)
            segments.removeFirst()
        }
    }

    /// To be called when nothing waits to be saved: the next segment is made before it is needed.
    package func prepare() throws(DiskError) {
        guard let segment = segments.last, end > segment.capacity / 2, !medium.hasSpare else { return }
        try medium.prepareSpare()
    }
}

// MARK: Reading at start

extension LogStore {
    /// What the log held, as far as its chain is whole.
    package struct Found {
        package var hardState: HardState
        package var base: EntryID
        package var entries: [Entry]
    }

    private func load() throws(DiskError) -> Found {
        var replay = LogReplay()
        let all = try medium.open()
        for found in all {
            let (bytes, lost) = try found.readable()
            unreadableBytes += lost
            let segment = lost == 0 ? found : try medium.replace(found, with: bytes)
            let isTaken = replay.take(segment.number, bytes)
            guard !replay.isForeign else {
                throw .failed(
                    "segment \(segment.number) of the log has records that this program does not know: run a newer one")
            }
            guard isTaken else { break }
            segments.append(segment)
            end = replay.end
        }
        if segments.isEmpty, !all.isEmpty { throw .damaged("the log has \(all.count) segments and no beginning") }
        for segment in all.dropFirst(segments.count) { try medium.retire(segment) }
        guard replay.start.index <= replay.base.index || segments.isEmpty else {
            throw .damaged("the log begins after \(replay.start.index), its base is \(replay.base.index)")
        }
        replay.dropBeforeBase()
        (hardState, recorded) = (replay.hardState, replay.hardState)
        (base, last) = (replay.base, replay.last)
        (chain, places) = (replay.chain, replay.places)
        try writeAgain()
        if let known = medium.readMark().flatMap(LogMark.init(decoding:)), heed(known) {
            // It may be synced nowhere yet, and is all that is left to tell.
            try medium.writeMark(known.encode(), isSynced: true)
        }
        return Found(hardState: hardState, base: base, entries: replay.entries)
    }

    /// The last process may have ended by a sync that failed. What it wrote is seen then, and perhaps on no disk, and a
    /// later sync would not tell: only bytes that are written again are synced for sure.
    private func writeAgain() throws(DiskError) {
        guard let segment = segments.last else { return }
        try segment.write(Array(try segment.read().prefix(end)), at: 0)
    }

    /// A log that lost its end may have lost a vote with it, and only that. What is committed here up to the mark is
    /// all that the mark tells of. Answers whether it tells more than the log.
    private func heed(_ mark: LogMark) -> Bool {
        if mark.term > hardState.term || (mark.term == hardState.term && hardState.vote == nil) {
            (hardState.term, hardState.vote) = (mark.term, mark.vote)
        }
        let isSeen = mark.index <= max(base.index, hardState.commit) || place(of: mark.index)?.chain == mark.chain
        owed = isSeen ? nil : mark
        return owed != nil || hardState != recorded
    }

    /// Brings log and state together: what Raft goes on from. A state ahead of the log, or of another history, is an
    /// installed snapshot: the log begins anew behind it.
    package func restored(
        _ found: Found, applied: EntryID, configuration: Configuration
    ) throws(DiskError) -> Restored {
        guard applied.index >= found.base.index else {
            throw .damaged("state is applied to \(applied.index), the log begins after \(found.base.index)")
        }
        let isRepaired = owed.map { $0.index <= applied.index } ?? false
        if isRepaired { owed = nil }
        let snapshot = SnapshotMetadata(index: applied.index, term: applied.term, configuration: configuration)
        var restored = Restored(
            hardState: found.hardState, snapshot: snapshot, base: found.base, entries: found.entries,
            voteMark: owed?.index)
        guard term(at: applied.index) != applied.term else {
            // The next power cut may take this state back: the old mark would call the log damaged then.
            if isRepaired { try writeMark(index: last.index, chain: places.last?.chain ?? 0, isSynced: true) }
            return restored
        }
        try resetDurably(to: applied)
        (restored.base, restored.entries) = (applied, [])
        return restored
    }

    private func resetDurably(to id: EntryID) throws(DiskError) {
        try lowerMark(to: .zero)
        try makeRoom(128)
        batch.begin(after: chain)
        batch.add(.reset(id))
        try write()
        (base, last, places) = (id, id, [])
    }
}

/// Executes the records of segments in order.
struct LogReplay {
    private(set) var hardState = HardState()
    private(set) var base = EntryID.zero
    private(set) var last = EntryID.zero
    /// Before the first entry that was read.
    private(set) var start = EntryID.zero
    private(set) var entries: [Entry] = []
    private(set) var places: [LogStore.Place] = []
    private(set) var chain: UInt64 = 0
    private(set) var end = 0
    private var number: UInt64?
    /// A newer program wrote some of it: to go on without that would lose what is there.
    private(set) var isForeign = false

    /// False when the segment does not follow what was read before.
    mutating func take(_ segment: UInt64, _ bytes: [UInt8]) -> Bool {
        var reader = LogRecordReader(bytes, after: 0)
        defer { isForeign = reader.isForeign }
        guard case .head(let head)? = reader.next(), head.number == segment else { return false }
        if let number {
            guard head.number == number + 1, head.previous == chain else { return false }
        } else {
            (hardState, base, last, start) = (head.hardState, head.base, head.last, head.last)
        }
        number = head.number
        chain = reader.chain
        end = reader.position
        while let record = reader.next(), execute(record, reader.chain, segment) {
            chain = reader.chain
            end = reader.position
        }
        return true
    }

    private mutating func execute(_ record: LogRecord, _ chain: UInt64, _ segment: UInt64) -> Bool {
        switch record {
        case .head: return false
        case .hard(let state): hardState = state
        case .base(let id): base = id
        case .reset(let id): (base, last, start, entries, places) = (id, id, id, [], [])
        case .entry(let entry):
            guard entry.index <= last.index.next, entry.index > .zero else { return false }
            truncate(from: entry.index)
            entries.append(entry)
            places.append(LogStore.Place(term: entry.term, chain: chain, segment: segment))
            last = EntryID(index: entry.index, term: entry.term)
        }
        return true
    }

    private mutating func truncate(from index: LogIndex) {
        guard index <= last.index else { return }
        if index <= start.index {
            // Its term is not known here; a base record follows that knows.
            start = EntryID(index: index.previous, term: .zero)
            (entries, places) = ([], [])
        } else {
            let count = Int(last.index.distance(after: index.previous))
            entries.removeLast(count)
            places.removeLast(count)
        }
    }

    mutating func dropBeforeBase() {
        let count = min(entries.count, Int(clamping: base.index.distance(after: start.index)))
        entries.removeFirst(count)
        places.removeFirst(count)
    }
}
