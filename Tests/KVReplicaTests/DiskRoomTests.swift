// From when on a disk is nearly full.
import KVReplica
import Testing

private let mega = 1 << 20

@Test(arguments: [(64, 3), (1_000, 50), (5_120, 256), (1_000_000, 256)])
func `the mark is a twentieth of the file system, at most 256 MiB`(total: Int, mark: Int) {
    let space = DiskSpace(freeBytes: 0, totalBytes: total * mega)
    #expect(DiskRoom(0).bytesMin(of: space) / mega == mark)
    #expect(DiskRoom(7 * mega).bytesMin(of: space) == 7 * mega)
}

@Test func `little room is told once, and room again only a quarter above the mark`() {
    var room = DiskRoom(100)
    var told: [Int] = []
    for free in [101, 100, 99, 100, 50, 101, 124, 125, 101, 100, 99, 99] {
        if room.note(DiskSpace(freeBytes: free, totalBytes: 1000), reusableBytes: 0) { told.append(free) }
    }
    #expect(told == [99, 125, 99])
}

@Test func `what the database can use again counts, for no more than half of the mark`() {
    var room = DiskRoom(100)
    var changes: [Int] = []
    for (free, reusable) in [(60, 45), (49, 1000), (74, 1000), (75, 50)] {
        if room.note(DiskSpace(freeBytes: free, totalBytes: 1000), reusableBytes: reusable) { changes.append(free) }
    }
    #expect(changes == [49, 75])
}

@Test func `below zero there is no mark, and extreme numbers are numbers`() {
    var none = DiskRoom(-1), most = DiskRoom(.max)
    let isNoneChanged = none.note(DiskSpace(freeBytes: 0, totalBytes: 0), reusableBytes: 0)
    #expect(!isNoneChanged)
    let isChanged = most.note(DiskSpace(freeBytes: .max - 1, totalBytes: .max), reusableBytes: 0)
    #expect(isChanged && most.isLow)
    let isChangedAgain = most.note(DiskSpace(freeBytes: .max, totalBytes: .max), reusableBytes: .max)
    #expect(!isChangedAgain || !most.isLow)
}
