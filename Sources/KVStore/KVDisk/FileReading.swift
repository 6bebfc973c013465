// Files read whole where the disk may fail: a place that it does not give back is as bad as one that it gives back altered,
// and no worse. It reads as zeros, a page at a time, and whoever asked is told how much that was.
import Glibc

/// Reads as `pread` does; tests let it fail.
package typealias ReadCall =
    @Sendable (_ descriptor: Int32, _ into: UnsafeMutableRawPointer, _ count: Int, _ offset: Int) -> Int

enum FileReading {
    static let pageBytes = 4096
    static let real: ReadCall = { pread($0, $1, $2, off_t($3)) }

    /// What a place says that is lost: to the device, or to the file system's own checksums.
    static func isLoss(_ code: Int32) -> Bool { code == EIO || code == EUCLEAN || code == EBADMSG }

    /// Up to `count` bytes from the front, zeros behind the end of the file; and how many of them could not be read.
    static func bytes(
        of descriptor: Int32, _ path: String, count: Int, _ read: ReadCall
    ) throws(DiskError) -> (bytes: [UInt8], lost: Int) {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0, lost = 0
        // A long read may fail for a page that is far behind its beginning.
        var isByPage = false
        while done < count {
            let end = isByPage ? min(count, (done / pageBytes + 1) * pageBytes) : count
            let got = bytes.withUnsafeMutableBytes { raw in
                raw.baseAddress.map { read(descriptor, $0 + done, end - done, done) } ?? 0
            }
            if got > 0 {
                done += min(got, end - done)
            } else if got == 0 {
                break
            } else if errno != EINTR {
                guard isLoss(errno) else { throw .failed("\(path): read: errno \(errno)") }
                if isByPage {
                    for place in done..<end { bytes[place] = 0 }
                    lost += end - done
                    done = end
                }
                isByPage = true
            }
        }
        return (bytes, lost)
    }
}
