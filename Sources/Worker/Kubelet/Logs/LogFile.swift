// Reading the end of a log file backwards, in blocks, so that `--tail` does not read gigabytes. Blocking.
// Used by the log server and for termination messages. It must never hold more of the file than it was asked for.
import Glibc

package enum LogFile {
    private static let blockBytes = 16384

    /// The offset at which the last `count` lines begin.
    package static func offset(ofLast count: Int, _ path: String, size: Int64) throws(FileError) -> Int64 {
        guard count > 0 else { return size }
        var found = 0
        let newline = try lastNewline(path, size) { position in
            if position != size - 1 { found += 1 }
            return found == count
        }
        return newline.map { $0 + 1 } ?? 0
    }

    /// Where the last line that is whole ends: a size that was asked for during a write may lie within a line.
    package static func endOfLines(_ path: String, size: Int64) throws(FileError) -> Int64 {
        try lastNewline(path, size) { _ in true }.map { $0 + 1 } ?? 0
    }

    /// The last newline below `size` that is wanted, searched backwards.
    private static func lastNewline(
        _ path: String, _ size: Int64, where isWanted: (Int64) -> Bool
    ) throws(FileError) -> Int64? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw FileError("open", path) }
        defer { close(file) }
        var block = [UInt8](repeating: 0, count: blockBytes)
        var end = size
        while end > 0 {
            let start = max(0, end - Int64(blockBytes))
            let read = pread(file, &block, Int(end - start), off_t(start))
            guard read >= 0 else { throw FileError("read", path) }
            for i in (0..<read).reversed() where block[i] == UInt8(ascii: "\n") {
                if isWanted(start + Int64(i)) { return start + Int64(i) }
            }
            end = start
        }
        return nil
    }

    /// The last lines without their newlines, at most `bytesMax` bytes of the file.
    package static func lastLines(
        _ path: String, size: Int64, count: Int, bytesMax: Int
    ) throws(FileError)
        -> [ArraySlice<UInt8>]
    {
        let offset = max(try offset(ofLast: count, path, size: size), size - Int64(bytesMax))
        let bytes = try read(path, from: offset, count: Int(min(size - offset, Int64(bytesMax))))
        return bytes.split(separator: UInt8(ascii: "\n"))
    }

    package static func read(_ path: String, from offset: Int64, count: Int) throws(FileError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw FileError("open", path) }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: max(0, count))
        let read = pread(file, &bytes, bytes.count, off_t(offset))
        guard read >= 0 else { throw FileError("read", path) }
        return Array(bytes[..<read])
    }
}
