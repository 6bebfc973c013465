// The twin of the files under a log: the log itself is the one that is shipped. Writes end half done, what was not
// synced is gone after a power cut, names come back, and what lies there is altered.

import KVDisk
import Raft

/// The segments and the mark of one host.
package final class LogTwin: LogMedium {
    final class Segment: LogMediumSegment {
        let number: UInt64
        let capacity: Int
        fileprivate(set) var bytes: [UInt8]
        /// Where the last write ended.
        fileprivate(set) var used = 0
        private unowned let twin: LogTwin

        fileprivate init(_ number: UInt64, _ capacity: Int, _ bytes: [UInt8], _ twin: LogTwin) {
            (self.number, self.capacity, self.bytes, self.twin) = (number, capacity, bytes, twin)
        }

        /// The disk does not give it back.
        fileprivate var unreadable: Range<Int>?

        func read() throws(DiskError) -> [UInt8] { try readable().bytes }

        func readable() throws(DiskError) -> (bytes: [UInt8], lost: Int) {
            guard let unreadable else { return (bytes, 0) }
            if twin.takesErrorForEnd() { return (Array(bytes.prefix(unreadable.lowerBound)), 0) }
            var found = bytes
            for place in unreadable { found[place] = 0 }
            return (found, unreadable.count)
        }

        func write(_ bytes: [UInt8], at offset: Int) throws(DiskError) { try twin.write(bytes, at: offset, self) }
    }
    package enum Trouble { case write, sync }
    private struct Doubt {
        var segment: UInt64
        var offset: Int
        var before: [UInt8]
        var end: Int { offset + before.count }
    }
    /// Small, so that segments come and go.
    static let segmentBytes = 3000
    static let sparesMax = 4

    private var segments: [Segment] = []
    private var spares: [[UInt8]] = []
    /// Taken away, perhaps not for good: names are synced when a segment is made.
    private var retired: [Segment] = []
    private var mark: [UInt8]?
    /// Written since the mark was last synced; a power cut leaves any of them, or none that can be read.
    private var writtenMarks: [[UInt8]] = []
    /// Its sync failed, and later ones do not notice: a power cut puts back what was there before.
    private var doubtful: [Doubt] = []
    /// The disk does not give the mark back.
    private(set) var isMarkUnreadable = false
    /// An error was taken for the end of the log (only for a planted bug).
    private var hidesMark = false
    private var random: SeededGenerator
    private let planted: PlantedBug?
    /// What comes next.
    package var crash: CrashPoint?
    package var trouble: Trouble?
    var isFull = false
    var isCompacting = false

    /// What it went through: segments begun, old names that came back, logs without a beginning, torn writes.
    struct Counts {
        var segments = 0
        var returns = 0
        var setAsides = 0
        var tears = 0
        var doubts = 0
        var replaced = 0
    }
    private(set) var counts = Counts()

    package init(seed: UInt64, planted: PlantedBug? = nil) {
        random = SeededGenerator(seed: seed)
        self.planted = planted
    }

    func below(_ bound: Int) -> Int { bound <= 1 ? 0 : Int(random.next() % UInt64(bound)) }
}

// MARK: What the log asks

extension LogTwin {
    package func open() throws(DiskError) -> [any LogMediumSegment] {
        spares = []
        return segments
    }

    package func make(_ number: UInt64, bytes: Int) throws(DiskError) -> any LogMediumSegment {
        if bytes <= LogTwin.segmentBytes, spares.isEmpty { try prepareSpare() }
        if bytes > LogTwin.segmentBytes, isFull { throw .full("twin") }
        let old = bytes > LogTwin.segmentBytes ? [] : spares.popLast() ?? []
        let segment = Segment(number, max(bytes, LogTwin.segmentBytes), old, self)
        segments.removeAll { $0.number == number }
        segments.append(segment)
        doubtful.removeAll { $0.segment == number }
        retired = []
        counts.segments += 1
        return segment
    }

    package func retire(_ segment: any LogMediumSegment) throws(DiskError) {
        guard let place = segments.firstIndex(where: { $0.number == segment.number }) else { return }
        let segment = segments.remove(at: place)
        if spares.count < LogTwin.sparesMax, segment.capacity == LogTwin.segmentBytes { spares.append(segment.bytes) }
        retired.append(segment)
    }

    package func replace(
        _ segment: any LogMediumSegment, with bytes: [UInt8]
    ) throws(DiskError) -> any LogMediumSegment {
        guard let place = segments.firstIndex(where: { $0.number == segment.number }) else { return segment }
        let old = segments[place]
        let new = Segment(old.number, old.capacity, bytes, self)
        new.used = old.used
        segments[place] = new
        doubtful.removeAll { $0.segment == old.number }
        counts.replaced += 1
        return new
    }

    /// The mistake: no more of the log is there than what can be read, and never was.
    fileprivate func takesErrorForEnd() -> Bool {
        hidesMark = planted == .takesReadErrorForEnd
        return hidesMark
    }

    /// A new one takes the place of a mark that cannot be read.
    func replaceMark() {
        (mark, writtenMarks) = (nil, [])
        isMarkUnreadable = false
    }

    package var hasSpare: Bool { !spares.isEmpty }

    package func prepareSpare() throws(DiskError) {
        guard !isFull else { throw .full("twin") }
        spares.append([])
    }

    package func readMark() -> [UInt8]? { hidesMark || isMarkUnreadable ? nil : writtenMarks.last ?? mark }

    /// What was written of it is on the disk.
    func settleMark() {
        if let last = writtenMarks.last { (mark, writtenMarks) = (last, []) }
    }

    package func writeMark(_ bytes: [UInt8], isSynced: Bool) throws(DiskError) {
        hidesMark = false
        guard isSynced else {
            if crash == .beforeMark { throw .failed("crash") }
            return writtenMarks.append(bytes)
        }
        if planted == .truncatesBelowMark { return }
        mark = bytes
        writtenMarks = []
        if crash == .afterLowering { throw .failed("crash") }
    }

    package func setAside() throws(DiskError) {
        (segments, spares, retired, doubtful) = ([], [], [], [])
        counts.setAsides += 1
    }

    fileprivate func write(_ bytes: [UInt8], at offset: Int, _ segment: Segment) throws(DiskError) {
        let point: CrashPoint = isCompacting ? .tornCompaction : offset == 0 ? .tornHead : .tornSave
        if crash == point {
            tear(bytes, at: offset, segment)
            throw .failed("crash")
        }
        switch trouble {
        case .write?: tear(bytes, at: offset, segment)
        case .sync?: failSync(bytes, at: offset, segment)
        case nil:
            put(bytes, at: offset, segment)
            return forgetDoubt(offset, bytes.count, segment)
        }
        trouble = nil
        throw .failed("input/output error")
    }

    /// The disk has it or a part of it, or none, and everybody sees it until the power is cut.
    private func failSync(_ bytes: [UInt8], at offset: Int, _ segment: Segment) {
        switch below(3) {
        case 0: put(bytes, at: offset, segment)
        case 1: tear(bytes, at: offset, segment)
        default:
            let before = segment.bytes.dropFirst(offset).prefix(bytes.count)
            let rest = [UInt8](repeating: 0, count: bytes.count - before.count)
            doubtful.append(Doubt(segment: segment.number, offset: offset, before: Array(before) + rest))
            put(bytes, at: offset, segment)
            counts.doubts += 1
        }
    }

    /// What of it was written again was synced then.
    private func forgetDoubt(_ offset: Int, _ count: Int, _ segment: Segment) {
        let end = offset + count
        doubtful = doubtful.flatMap { one -> [Doubt] in
            guard one.segment == segment.number, offset < one.end, one.offset < end else { return [one] }
            let front = Doubt(
                segment: one.segment, offset: one.offset, before: Array(one.before.prefix(max(0, offset - one.offset))))
            let back = Doubt(
                segment: one.segment, offset: end, before: Array(one.before.suffix(max(0, one.end - end))))
            return [front, back].filter { !$0.before.isEmpty }
        }
    }

    private func put(_ bytes: [UInt8], at offset: Int, _ segment: Segment) {
        let end = offset + bytes.count
        if segment.bytes.count < end {
            segment.bytes += [UInt8](repeating: 0, count: end - segment.bytes.count)
        }
        segment.bytes.replaceSubrange(offset..<end, with: bytes)
        segment.used = end
    }

    /// The front of it reaches the disk, or any of its parts.
    private func tear(_ bytes: [UInt8], at offset: Int, _ segment: Segment) {
        let used = segment.used
        counts.tears += 1
        defer { segment.used = used }
        if below(2) == 0 { return put(Array(bytes.prefix(below(bytes.count + 1))), at: offset, segment) }
        for start in stride(from: 0, to: bytes.count, by: 64) where below(2) == 0 {
            put(Array(bytes[start..<min(start + 64, bytes.count)]), at: offset + start, segment)
        }
    }
}

// MARK: What happens to it

extension LogTwin {
    /// A copy of the files.
    package struct Image {
        fileprivate var segments: [(number: UInt64, capacity: Int, bytes: [UInt8], used: Int)]
        fileprivate var mark: [UInt8]?
    }

    package var image: Image {
        Image(segments: segments.map { ($0.number, $0.capacity, $0.bytes, $0.used) }, mark: readMark())
    }

    /// The copy is in place of all that was there.
    package func restore(_ image: Image) {
        (spares, retired, writtenMarks, doubtful) = ([], [], [], [])
        isMarkUnreadable = false
        mark = image.mark
        segments = image.segments.map { old in
            let segment = Segment(old.number, old.capacity, old.bytes, self)
            segment.used = old.used
            return segment
        }
    }

    /// Power is gone. `mayTear`: the mark may be lost with it, since nothing hangs on it. Answers whether it was.
    package func losePower(mayTear: Bool) -> Bool {
        if !retired.isEmpty {
            // The last ones to go may be there again, under their old names.
            let back = retired.suffix(below(retired.count + 1))
            counts.returns += back.count
            segments = (back + segments).sorted { $0.number < $1.number }
            retired = []
        }
        for one in doubtful.reversed() {
            guard let segment = segments.first(where: { $0.number == one.segment }) else { continue }
            segment.bytes.replaceSubrange(one.offset..<one.end, with: one.before)
        }
        doubtful = []
        guard !writtenMarks.isEmpty else { return false }
        defer { writtenMarks = [] }
        let pick = below(writtenMarks.count + 2)
        if pick == writtenMarks.count + 1, mayTear {
            mark = nil
            return true
        }
        if pick < writtenMarks.count { mark = writtenMarks[pick] }
        return false
    }

    /// Altered bytes, mostly near the end; false when there is nothing.
    package func rot(_ kind: Report.Counter) -> Bool {
        guard let segment = below(5) == 0 ? segments.first : segments.last(where: { $0.used > 0 }),
            segment.used > 0, segment.bytes.count >= segment.used
        else { return false }
        let reach = below(4) == 0 ? segment.used : min(segment.used, 400)
        let start = segment.used - 1 - below(reach)
        let before = segment.bytes
        switch kind {
        case .unreadableLogs:
            let sector = start / FileTwin.sectorBytes * FileTwin.sectorBytes
            segment.unreadable = sector..<min(sector + FileTwin.sectorBytes, segment.bytes.count)
            return true
        case .unreadableMarks:
            isMarkUnreadable = true
            return true
        case .bitRot: segment.bytes[start] ^= 1 << UInt8(below(8))
        case .misdirectedWrites:
            let from = below(segment.used)
            for place in 0..<min(64, segment.used - max(start, from)) {
                segment.bytes[start + place] = before[from + place]
            }
        default: for place in start..<segment.bytes.count { segment.bytes[place] = 0 }
        }
        return segment.bytes != before
    }
}
