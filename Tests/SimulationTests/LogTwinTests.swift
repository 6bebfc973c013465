// The shipped log on the twin of its files: whatever happens between two of its steps, it is never taken for damaged
// when it was not, nor for whole when it was, and it forgets no vote.

import KVDisk
import Raft
import Simulation
import Testing

private let crashes: [CrashPoint] = [.afterLowering, .tornHead, .tornSave, .beforeMark]

/// A log, and what it must hold.
private struct Lab {
    let twin: LogTwin
    var log: LogStore
    var random: SeededGenerator
    var base = EntryID.zero
    var entries: [Entry] = []
    var hard = HardState()
    var lastSave: UInt64 = 0
    /// Of the saves that ended half done. Their records may come to light when the same bytes are written before them
    /// again: as if the message that brought them had come late.
    var torn: Set<Entry> = []

    init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        twin = LogTwin(seed: seed)
        log = try LogStore.open(twin).log
    }

    var last: UInt64 { base.index.rawValue + UInt64(entries.count) }

    mutating func below(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : random.next() % bound }

    /// A save as Raft makes them: more entries, others instead of the last ones, a vote, or a snapshot.
    mutating func next(_ model: inout (entries: [Entry], base: EntryID, hard: HardState)) -> Save {
        var snapshot: SnapshotMetadata?
        let kind = below(10)
        if kind < 3 { model.hard = HardState(term: model.hard.term.next, vote: nil, commit: model.hard.commit) }
        if kind == 3, model.hard.vote == nil { model.hard.vote = PeerID(1 + below(3)) }
        if kind == 4 {
            // Of another history, before or behind the end of this log.
            let index = model.hard.commit.next.rawValue + below(8)
            model.base = EntryID(index: LogIndex(index), term: model.hard.term)
            let isHeld = model.entries.contains { $0.index == model.base.index && $0.term == model.base.term }
            model.entries = isHeld ? model.entries.filter { $0.index > model.base.index } : []
            model.hard.commit = model.base.index
            snapshot = SnapshotMetadata(index: model.base.index, term: model.base.term, configuration: .empty)
        }
        var new: [Entry] = []
        if kind != 9, model.hard.term != .zero {
            let last = model.base.index.rawValue + UInt64(model.entries.count)
            let first =
                kind < 3 ? model.hard.commit.next.rawValue + below(last - model.hard.commit.rawValue + 1) : last + 1
            for index in first..<first + below(4) {
                let data = [UInt8](repeating: UInt8(truncatingIfNeeded: lastSave), count: 30)
                new.append(Entry(term: model.hard.term, index: LogIndex(index), data: data))
            }
            if let start = new.first?.index { model.entries = model.entries.filter { $0.index < start } + new }
        }
        let last = model.base.index.rawValue + UInt64(model.entries.count)
        model.hard.commit = LogIndex(model.hard.commit.rawValue + below(last - model.hard.commit.rawValue + 1) / 2)
        lastSave += 1
        return Save(id: SaveID(rawValue: lastSave), hardState: model.hard, entries: new, snapshot: snapshot)
    }

    /// True when the disk says that it is done.
    mutating func save() -> Bool {
        var model = (entries: entries, base: base, hard: hard)
        var batch = [next(&model)]
        for _ in 0..<below(3) {
            let one = next(&model)
            if one.snapshot != nil { break }
            batch.append(one)
        }
        // A snapshot that was not taken along has changed the model.
        model = (entries, base, hard)
        for save in batch { replay(save, &model) }
        do throws(DiskError) { try log.save(batch) } catch {
            torn.formUnion(batch.flatMap(\.entries))
            return false
        }
        (entries, base, hard) = (model.entries, model.base, model.hard)
        return true
    }

    private func replay(_ save: Save, _ model: inout (entries: [Entry], base: EntryID, hard: HardState)) {
        if let snapshot = save.snapshot {
            let isHeld = model.entries.contains { $0.index == snapshot.index && $0.term == snapshot.term }
            model.entries = isHeld ? model.entries.filter { $0.index > snapshot.index } : []
            model.base = snapshot.id
        }
        if let first = save.entries.first?.index {
            model.entries = model.entries.filter { $0.index < first } + save.entries
        }
        model.hard = save.hardState
    }

    /// The process ends and begins again, its state applied as far as the log's base.
    mutating func restart() throws -> Restored {
        let opened = try LogStore.open(twin)
        log = opened.log
        let applied = opened.found.base
        let restored = try log.restored(opened.found, applied: applied, configuration: .empty)
        return restored
    }

    mutating func take(_ restored: Restored) {
        (base, entries, hard) = (restored.base, restored.entries, restored.hardState)
    }
}

extension HardState {
    /// Nothing that `other` promised is forgotten.
    fileprivate func keeps(_ other: HardState) -> Bool {
        term > other.term || (term == other.term && (other.vote == nil || vote == other.vote))
    }
}

@Test(arguments: 1...400 as ClosedRange<UInt64>)
func `a log that was never damaged is never taken for damaged`(seed: UInt64) throws {
    var lab = try Lab(seed: seed)
    for round in 1...60 {
        let point = lab.below(3) == 0 ? crashes[Int(lab.below(4))] : nil
        lab.twin.crash = point
        if lab.below(12) == 0 { lab.twin.trouble = lab.below(2) == 0 ? .write : .sync }
        let isDone = lab.save()
        (lab.twin.crash, lab.twin.trouble) = (nil, nil)
        if isDone, lab.below(6) == 0, lab.hard.commit > lab.base.index, lab.below(2) == 0 {
            try lab.log.compact(to: lab.hard.commit)
            lab.base = lab.log.base
            lab.entries.removeAll { $0.index <= lab.base.index }
        }
        guard !isDone || lab.below(4) == 0 else { continue }
        if lab.below(2) == 0 { _ = lab.twin.losePower(mayTear: true) }
        let found = try lab.restart()
        #expect(found.voteMark == nil, "seed \(seed) round \(round), crash at \(String(describing: point))")
        #expect(found.hardState.keeps(lab.hard), "seed \(seed) round \(round)")
        let isTorn = found.entries.contains(where: lab.torn.contains)
        let isSame = found.entries == lab.entries && found.base == lab.base
        #expect(isSame || isTorn || !isDone, "seed \(seed) round \(round)")
        let known = lab.torn.union(lab.entries)
        #expect(found.entries.allSatisfy(known.contains), "seed \(seed) round \(round)")
        lab.take(found)
    }
}

@Test(arguments: 1...400 as ClosedRange<UInt64>)
func `what was damaged is noticed, and no vote is lost with it`(seed: UInt64) throws {
    var lab = try Lab(seed: seed)
    for round in 1...25 {
        _ = lab.save()
        guard lab.below(5) == 0 else { continue }
        let kind = [Report.Counter.bitRot, .misdirectedWrites, .lostEnds][Int(lab.below(3))]
        guard lab.twin.rot(kind) else { continue }
        let found = try lab.restart()
        let isWhole =
            found.base.index >= lab.base.index && found.entries.last?.index ?? found.base.index >= LogIndex(lab.last)
        let isCommitted = found.hardState.commit >= LogIndex(lab.last)
        #expect(isWhole || isCommitted || found.voteMark == LogIndex(lab.last), "seed \(seed) round \(round)")
        #expect(found.hardState.keeps(lab.hard), "seed \(seed) round \(round): \(found.hardState) after \(lab.hard)")
        _ = lab.twin.losePower(mayTear: false)
        let again = try lab.restart()
        #expect(again.voteMark == found.voteMark, "seed \(seed) round \(round): forgotten by a power cut")
        #expect(again.hardState.keeps(lab.hard), "seed \(seed) round \(round): forgotten by a power cut")
        guard found.voteMark == nil else { return }
        lab.take(again)
    }
}

/// Files without faults, in which a test alters what it wants.
private final class PlainMedium: LogMedium {
    final class Segment: LogMediumSegment {
        let number: UInt64
        let capacity: Int
        var bytes: [UInt8]
        var lastOffset = 0
        init(_ number: UInt64, _ capacity: Int) {
            (self.number, self.capacity) = (number, capacity)
            bytes = [UInt8](repeating: 0, count: capacity)
        }
        func read() throws(DiskError) -> [UInt8] { bytes }
        func write(_ new: [UInt8], at offset: Int) throws(DiskError) {
            bytes.replaceSubrange(offset..<offset + new.count, with: new)
            lastOffset = offset
        }
    }
    var segments: [Segment] = []
    var mark: [UInt8]?
    var hasSpare: Bool { true }

    func open() throws(DiskError) -> [any LogMediumSegment] { segments }
    func make(_ number: UInt64, bytes: Int) throws(DiskError) -> any LogMediumSegment {
        let segment = Segment(number, max(bytes, 600))
        segments.append(segment)
        return segment
    }
    func retire(_ segment: any LogMediumSegment) throws(DiskError) {
        segments.removeAll { $0.number == segment.number }
    }
    func prepareSpare() throws(DiskError) {}
    func readMark() -> [UInt8]? { mark }
    func writeMark(_ bytes: [UInt8], isSynced: Bool) throws(DiskError) { mark = bytes }
    func setAside() throws(DiskError) { segments = [] }
}

@Test func `what lies behind the end of a segment does not hide the next one`() throws {
    let medium = PlainMedium()
    var log = try LogStore.open(medium).log
    let hard = HardState(term: Term(1), vote: nil, commit: LogIndex(1))
    var saves: UInt64 = 0
    func save(_ index: UInt64, bytes: Int) throws {
        saves += 1
        let entry = Entry(term: Term(1), index: LogIndex(index), data: [UInt8](repeating: 7, count: bytes))
        try log.save([Save(id: SaveID(rawValue: saves), hardState: hard, entries: [entry])])
    }
    for index in 1...3 as ClosedRange<UInt64> { try save(index, bytes: 10) }
    // The second entry is altered, the third behind it is whole; the second comes again, then one without room here.
    let third = try #require(medium.segments.first?.lastOffset)
    medium.segments[0].bytes[third - 10] ^= 1
    log = try LogStore.open(medium).log
    #expect(log.last.index == LogIndex(1))
    try save(2, bytes: 10)
    try save(3, bytes: 500)
    try save(4, bytes: 10)
    #expect(medium.segments.count > 1)
    let found = try LogStore.open(medium).found
    #expect(found.entries.map(\.data.count) == [10, 10, 500, 10])
}

/// The state was ahead at one start and told that nothing is missing; then power took it back.
@Test func `a log that was repaired is whole, also when the state that said so is gone`() throws {
    let twin = LogTwin(seed: 1)
    let entries = (1...10).map { Entry(term: Term(1), index: LogIndex($0), data: [UInt8](repeating: 7, count: 30)) }
    let hard = HardState(term: Term(1), vote: PeerID(1), commit: LogIndex(5))
    try LogStore.open(twin).log.save([Save(id: SaveID(rawValue: 1), hardState: hard, entries: entries)])
    #expect(twin.rot(.lostEnds))

    func start(applied: EntryID) throws -> (log: LogStore, restored: Restored) {
        let opened = try LogStore.open(twin)
        return (opened.log, try opened.log.restored(opened.found, applied: applied, configuration: .empty))
    }
    let damaged = try start(applied: .zero)
    #expect(damaged.restored.voteMark == LogIndex(10))
    let again = entries.filter { $0.index > damaged.log.last.index }
    try damaged.log.save([Save(id: SaveID(rawValue: 1), hardState: hard, entries: again)])
    #expect(try start(applied: .zero).restored.voteMark == LogIndex(10))
    #expect(try start(applied: EntryID(index: LogIndex(10), term: Term(1))).restored.voteMark == nil)
    _ = twin.losePower(mayTear: false)
    let last = try start(applied: .zero)
    #expect(last.restored.voteMark == nil)
    #expect(last.restored.entries == entries)
}
