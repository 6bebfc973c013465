// How much room is left on the disk that holds the data, and from when on that is too little. The file of the state database
// does not shrink: what is free within it counts too, but for no more than half of the mark, since the log cannot use it.
// Room is enough again only a quarter above the mark, so that nobody is told now this and now that.
import Glibc

/// What a file system says of itself.
package struct DiskSpace: Hashable, Sendable {
    package var freeBytes: Int
    package var totalBytes: Int

    package init(freeBytes: Int, totalBytes: Int) {
        self.freeBytes = freeBytes
        self.totalBytes = totalBytes
    }

    /// nil: it cannot be asked. May take as long as the disk hangs.
    package init?(of path: String) {
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 else { return nil }
        func bytes(_ blocks: UInt) -> Int {
            Int(clamping: blocks.multipliedReportingOverflow(by: facts.f_frsize).partialValue)
        }
        self.init(freeBytes: bytes(facts.f_bavail), totalBytes: bytes(facts.f_blocks))
    }
}

/// The mark, and on which side of it the disk is.
package struct DiskRoom: Sendable {
    /// Of a file system so large that a twentieth of it is more.
    static let bytesMinDefault = 256 << 20
    private static let partDefault = 20
    /// In bytes; 0: the default, below 0: none.
    let wish: Int
    package private(set) var isLow = false

    package init(_ wish: Int) { self.wish = wish }

    package func bytesMin(of space: DiskSpace) -> Int {
        if wish != 0 { return max(0, wish) }
        return min(Self.bytesMinDefault, space.totalBytes / Self.partDefault)
    }

    /// `reusableBytes`: within the database. True: the answer is another one.
    package mutating func note(_ space: DiskSpace, reusableBytes: Int) -> Bool {
        let mark = bytesMin(of: space)
        let (room, isMuch) = space.freeBytes.addingReportingOverflow(min(max(0, reusableBytes), mark / 2))
        let wasLow = isLow
        isLow = !isMuch && mark > 0 && (wasLow ? room < mark &+ mark / 4 : room < mark)
        return isLow != wasLow
    }
}
