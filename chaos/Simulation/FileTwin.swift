// The twin of a directory of files. What was written and not synced may be lost at a power cut, in any of its sectors;
// names come and go likewise; a write may end half done, or fail, or find no room. Every write, sync, cut and removal is
// a step, and the process can end inside any of them.

import Raft

/// The files of one process's machine.
package final class FileTwin {
    package static let sectorBytes = 512

    final class File {
        /// As every process sees it.
        fileprivate(set) var bytes: [UInt8] = []
        /// What a power cut leaves at least.
        fileprivate var synced: [UInt8] = []
        fileprivate var changes: [Change] = []
        fileprivate var isEverSynced = false
        /// The disk does not give it back, until it is written anew.
        fileprivate(set) var unreadable: Range<Int>?
    }
    fileprivate enum Change {
        case write([UInt8], at: Int)
        case cut(to: Int)
    }
    private enum NameChange {
        case made(String, File)
        case gone(String)
    }
    enum Outcome { case done, full, failed }
    package typealias Trouble = LogTwin.Trouble
    package struct Counts {
        package var writes = 0
        package var syncs = 0
        package var tears = 0
        package var lostWrites = 0
        package var refusals = 0
        package var doubts = 0
    }

    private var files: [String: File] = [:]
    private var syncedFiles: [String: File] = [:]
    private var nameChanges: [NameChange] = []
    private var random: SeededGenerator
    package private(set) var counts = Counts()
    /// Of the present process; those of an earlier one reach nothing any more.
    package private(set) var life = 0
    /// Steps since the process began.
    package private(set) var steps = 0
    /// The process ends inside the step after so many; nil: it does not.
    package var stepsLeft: Int?
    /// It has ended, at a step or by an error: nothing is done any more.
    package private(set) var isEnded = false
    /// The next write, or sync, fails.
    package var trouble: Trouble?
    package var isFull = false
    /// The mistake of a program that does not sync.
    var ignoresSyncs = false
    /// Of one that syncs again when a sync has failed, and believes what it is told then.
    var retriesSyncs = false

    package init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    func below(_ bound: Int) -> Int { bound <= 1 ? 0 : Int(random.next() % UInt64(bound)) }
    func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        for place in bytes.indices { bytes[place] = UInt8(truncatingIfNeeded: random.next()) }
    }
}

// MARK: What a process asks

extension FileTwin {
    func exists(_ name: String) -> Bool { files[name] != nil }

    func open(_ name: String, makes: Bool) -> File? {
        if let file = files[name] { return file }
        guard makes, takeStep() else { return nil }
        let file = File()
        files[name] = file
        nameChanges.append(.made(name, file))
        return file
    }

    func remove(_ name: String, isSynced: Bool) -> Outcome {
        guard takeStep() else { return .failed }
        files[name] = nil
        nameChanges.append(.gone(name))
        if isSynced { syncNames() }
        return .done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, _ file: File) -> Outcome {
        guard !isEnded else { return .failed }
        counts.writes += 1
        if !takeStep() || trouble == .write {
            trouble = nil
            isEnded = true
            tear(bytes, at: offset, file)
            return .failed
        }
        if isFull, offset + bytes.count > file.bytes.count {
            counts.refusals += 1
            let room = max(0, file.bytes.count - offset)
            put(UnsafeRawBufferPointer(rebasing: bytes.prefix(below(room + 1))), at: offset, file)
            return .full
        }
        put(bytes, at: offset, file)
        return .done
    }

    func cut(_ file: File, to count: Int) -> Outcome {
        guard takeStep() else { return .failed }
        guard count < file.bytes.count else { return .done }
        file.bytes.removeLast(file.bytes.count - count)
        file.changes.append(.cut(to: count))
        return .done
    }

    /// `withNames`: of the directory too.
    func sync(_ file: File, withNames: Bool) -> Outcome {
        guard !isEnded else { return .failed }
        counts.syncs += 1
        if !takeStep() { return .failed }
        // Not always the first one of those that belong together.
        if trouble == .sync, below(2) == 0 {
            trouble = nil
            failSync(file)
            return retriesSyncs ? .done : .failed
        }
        if ignoresSyncs { return .done }
        for change in file.changes { FileTwin.apply(change, to: &file.synced) }
        file.changes = []
        if withNames { syncNames() }
        return .done
    }

    /// Any part of what was to be synced is on the disk, and the kernel takes all of it for written: later syncs of this
    /// file say nothing of it. Everybody sees what the kernel still has, or what the disk has.
    private func failSync(_ file: File) {
        let shown = file.bytes
        losePower(file)
        guard file.bytes != shown, below(3) > 0 else { return }
        file.bytes = shown
        counts.doubts += 1
    }

    /// False: the process ends here.
    private func takeStep() -> Bool {
        guard !isEnded else { return false }
        steps += 1
        guard let left = stepsLeft else { return true }
        stepsLeft = left - 1
        if left > 0 { return true }
        stepsLeft = nil
        isEnded = true
        return false
    }

    private func syncNames() {
        for change in nameChanges { FileTwin.apply(change, to: &syncedFiles) }
        nameChanges = []
    }

    /// The front of it arrives, or any of its sectors.
    private func tear(_ bytes: UnsafeRawBufferPointer, at offset: Int, _ file: File) {
        counts.tears += 1
        if below(2) == 0 {
            return put(UnsafeRawBufferPointer(rebasing: bytes.prefix(below(bytes.count + 1))), at: offset, file)
        }
        for part in FileTwin.sectors(offset, bytes.count) where below(2) == 0 {
            let piece = bytes[(part.lowerBound - offset)..<(part.upperBound - offset)]
            put(UnsafeRawBufferPointer(rebasing: piece), at: part.lowerBound, file)
        }
    }

    private func put(_ bytes: UnsafeRawBufferPointer, at offset: Int, _ file: File) {
        guard !bytes.isEmpty else { return }
        let copy = Array(bytes)
        if let bad = file.unreadable, bad.overlaps(offset..<offset + copy.count) { file.unreadable = nil }
        FileTwin.put(copy, at: offset, &file.bytes)
        file.changes.append(.write(copy, at: offset))
    }
}

// MARK: What happens to it

extension FileTwin {
    /// Another process takes over what is there.
    package func begin() {
        life += 1
        (steps, stepsLeft, trouble, isEnded, isFull) = (0, nil, nil, false, false)
    }

    /// The process is gone; what it has open reaches nothing any more.
    package func end() { isEnded = true }

    /// Power is gone, and with it any part of what was not synced.
    package func losePower() {
        isEnded = true
        var names = syncedFiles
        for change in nameChanges.prefix(below(nameChanges.count + 1)) { FileTwin.apply(change, to: &names) }
        (files, syncedFiles, nameChanges) = (names, names, [])
        for name in files.keys.sorted() { if let file = files[name] { losePower(file) } }
    }

    /// Nothing of it, all, a beginning, or any sectors.
    private func losePower(_ file: File) {
        let changes = file.changes
        file.changes = []
        let kind = below(4), kept = below(changes.count + 1)
        for (place, change) in changes.enumerated() {
            switch kind {
            case 0: continue
            case 1 where place < kept: FileTwin.apply(change, to: &file.synced)
            case 1 where place > kept: continue
            case 3: FileTwin.apply(change, to: &file.synced)
            default: keepSome(of: change, &file.synced)
            }
        }
        if kind != 3 { counts.lostWrites += changes.count }
        file.bytes = file.synced
    }

    private func keepSome(of change: Change, _ bytes: inout [UInt8]) {
        guard case .write(let new, let offset) = change else {
            if below(2) == 0 { FileTwin.apply(change, to: &bytes) }
            return
        }
        for part in FileTwin.sectors(offset, new.count) where below(2) == 0 {
            FileTwin.put(
                Array(new[(part.lowerBound - offset)..<(part.upperBound - offset)]), at: part.lowerBound, &bytes)
        }
    }

    /// What lies in a file, to look for a place to alter.
    package func contents(of name: String) -> [UInt8] { files[name]?.bytes ?? [] }

    /// Bits of a byte are others than were written, for good.
    package func alter(_ name: String, at place: Int, mask: UInt8) {
        guard let file = files[name], place < file.bytes.count else { return }
        let byte = file.bytes[place] ^ mask
        file.bytes[place] = byte
        if place < file.synced.count { file.synced[place] ^= mask }
    }

    static let pageBytes = 4096

    /// Nor the rest of its page.
    func makeUnreadable(_ name: String, at place: Int) {
        let start = place / Self.pageBytes * Self.pageBytes
        files[name]?.unreadable = start..<start + Self.pageBytes
    }

    func makeReadable(_ name: String) { files[name]?.unreadable = nil }

    /// Under another name, which nobody asks for.
    func setAside(_ name: String) {
        guard let file = files[name], takeStep() else { return }
        files[name] = nil
        files[name + ".damaged"] = file
        nameChanges += [.made(name + ".damaged", file), .gone(name)]
    }

    /// Another file has its name now.
    func isMoved(_ name: String, _ file: File) -> Bool { files[name] !== file }

    /// All of a file is gone, for good.
    package func empty(_ name: String) {
        guard let file = files[name] else { return }
        (file.bytes, file.synced, file.changes) = ([], [], [])
        file.unreadable = nil
    }

    package var contents: [String: [UInt8]] { files.mapValues(\.bytes) }

    /// Other files are in place of all that were there.
    func replace(with contents: [String: [UInt8]]) {
        files = contents.mapValues { bytes in
            let file = File()
            (file.bytes, file.synced) = (bytes, bytes)
            return file
        }
        (syncedFiles, nameChanges) = (files, [])
    }

    /// As if all of it had been synced.
    package func syncAll() {
        syncNames()
        for file in files.values {
            file.synced = file.bytes
            file.changes = []
        }
    }
}

extension FileTwin {
    private static func apply(_ change: Change, to bytes: inout [UInt8]) {
        switch change {
        case .write(let new, let offset): put(new, at: offset, &bytes)
        case .cut(let count): if count < bytes.count { bytes.removeLast(bytes.count - count) }
        }
    }

    private static func apply(_ change: NameChange, to names: inout [String: File]) {
        switch change {
        case .made(let name, let file): names[name] = file
        case .gone(let name): names[name] = nil
        }
    }

    private static func put(_ new: [UInt8], at offset: Int, _ bytes: inout [UInt8]) {
        let end = offset + new.count
        if bytes.count < end { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
        bytes.withUnsafeMutableBytes { all in
            new.withUnsafeBytes { all[offset..<end].copyBytes(from: $0) }
        }
    }

    /// The parts of a range that lie in one sector each.
    private static func sectors(_ offset: Int, _ count: Int) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var start = offset
        while start < offset + count {
            let end = min(offset + count, (start / sectorBytes + 1) * sectorBytes)
            parts.append(start..<end)
            start = end
        }
        return parts
    }
}
