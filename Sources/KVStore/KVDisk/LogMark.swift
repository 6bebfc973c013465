// The mark: how far the log was once durably saved, kept in a file apart from the log. It is written after a save, so
// it may lag but never lead; a log that ends below it was damaged, not short, and its owner must not vote until it has
// fetched what it lost.
import Glibc
import KVCore
import Raft

/// What was durable when the mark was written.
package struct LogMark: Hashable, Sendable {
    package var term = Term.zero
    package var vote: PeerID?
    package var index = LogIndex.zero
    var chain: UInt64 = 0
}

extension LogMark {
    package static let bytes = 48

    /// nil: torn, altered, or never written.
    package init?(decoding bytes: [UInt8]) {
        guard bytes.count == Self.bytes else { return nil }
        var reader = ByteReader(bytes)
        do throws(DecodeError) {
            let words = [
                try reader.fixed(), try reader.fixed(), try reader.fixed(), try reader.fixed(), try reader.fixed(),
                try reader.fixed()
            ]
            guard words[5] == LogMark.sum(words[0..<5]), words[0] == 1 else { return nil }
            let vote = words[2] == 0 ? nil : PeerID(words[2] &- 1)
            self.init(term: Term(words[1]), vote: vote, index: LogIndex(words[3]), chain: words[4])
        } catch { return nil }
    }

    func encode() -> [UInt8] {
        let words: [UInt64] = [1, term.rawValue, vote.map { $0.rawValue &+ 1 } ?? 0, index.rawValue, chain]
        var writer = ByteWriter(capacity: Self.bytes)
        for word in words { writer.put(fixed: word) }
        writer.put(fixed: LogMark.sum(words[...]))
        return writer.bytes
    }

    private static func sum(_ words: ArraySlice<UInt64>) -> UInt64 {
        var hash = Hash64()
        for word in words { hash.add(word) }
        return hash.value
    }
}

/// The file that holds it: two slots would not help, since a torn write fails its checksum and then counts as absent.
final class LogMarkFile: Sendable {
    private let descriptor: Int32
    private let path: String
    private let call: ReadCall

    init(path: String, read: @escaping ReadCall = FileReading.real) throws(DiskError) {
        self.path = path
        call = read
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .failed("\(path): errno \(errno)") }
    }

    deinit { close(descriptor) }

    func read() -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: LogMark.bytes)
        return call(descriptor, &bytes, bytes.count, 0) == bytes.count ? bytes : nil
    }

    /// The disk does not give it back: nobody knows how far the log was, and a short log is not told from a whole one.
    func isLost() throws(DiskError) -> Bool {
        var byte: UInt8 = 0
        while call(descriptor, &byte, 1, 0) < 0 {
            if FileReading.isLoss(errno) { return true }
            guard errno == EINTR else { throw .errno("\(path): read") }
        }
        return false
    }

    /// `isSynced`: before a truncation it must be durable.
    func write(_ bytes: [UInt8], isSynced: Bool) throws(DiskError) {
        guard pwrite(descriptor, bytes, bytes.count, 0) == bytes.count else { throw LogSegment.error(path) }
        if isSynced, fdatasync(descriptor) != 0 { throw .failed("\(path): fdatasync: errno \(errno)") }
    }
}
