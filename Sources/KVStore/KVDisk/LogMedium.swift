// What the log needs of a disk. The same log runs on files and, in simulations, on a twin of them that tears writes,
// loses what was not synced, and alters what lies there.

/// A part of the log that is written from front to back.
package protocol LogMediumSegment: AnyObject {
    var number: UInt64 { get }
    /// In bytes.
    var capacity: Int { get }
    /// Durable when it returns. A failed sync is never tried again: what it left on disk is not known.
    func write(_ bytes: [UInt8], at offset: Int) throws(DiskError)
    /// All bytes from the first on; the end may be missing where it was never written.
    func read() throws(DiskError) -> [UInt8]
    /// The same, with zeros for what the disk does not give back, and how many bytes those are.
    func readable() throws(DiskError) -> (bytes: [UInt8], lost: Int)
}

extension LogMediumSegment {
    package func readable() throws(DiskError) -> (bytes: [UInt8], lost: Int) { (try read(), 0) }
}

/// Segments by number, and a mark apart from them.
package protocol LogMedium: AnyObject {
    /// The segments that are there, by number.
    func open() throws(DiskError) -> [any LogMediumSegment]
    /// A segment with room for so many bytes, which may hold old ones. Its name is durable when this returns.
    func make(_ number: UInt64, bytes: Int) throws(DiskError) -> any LogMediumSegment
    /// Nothing in it is needed; it may be written again.
    func retire(_ segment: any LogMediumSegment) throws(DiskError)
    /// A segment of which something cannot be read: another one with these bytes takes its place, and its name.
    func replace(_ segment: any LogMediumSegment, with bytes: [UInt8]) throws(DiskError) -> any LogMediumSegment
    /// A segment can be made without delay.
    var hasSpare: Bool { get }
    func prepareSpare() throws(DiskError)
    /// nil: there is none.
    func readMark() -> [UInt8]?
    /// One write of all bytes, durable when it returns if `isSynced`, else some time later.
    func writeMark(_ bytes: [UInt8], isSynced: Bool) throws(DiskError)
    /// The segments are useless: none is there any more. The mark stays.
    func setAside() throws(DiskError)
}

extension LogMedium {
    /// For those of which everything can be read.
    package func replace(
        _ segment: any LogMediumSegment, with bytes: [UInt8]
    ) throws(DiskError) -> any LogMediumSegment { segment }
}
