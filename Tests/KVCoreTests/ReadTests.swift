// What is read without the log: sorted ranges with a limit, transactions that only read.
import KVCore
import Testing

struct ReadTests {
    /// A few hundred keys whose values, versions and revisions are in other orders than their keys.
    private func filled() -> Driver {
        var driver = Driver()
        var seed: UInt64 = 7
        for _ in 0..<600 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let key = Key("k\(seed >> 40 & 255)")
            driver.txn(Txn(success: [.put(key, [UInt8(seed >> 33 & 7), UInt8(seed >> 50 & 255)])]))
        }
        return driver
    }

    @Test(arguments: [1, 2, 7, 100, 1000])
    func `a sorted range with a limit is the beginning of the whole one`(limit: Int64) {
        let view = filled().machine.view
        for target in [RangeRequest.SortTarget.key, .version, .createRevision, .modRevision, .value] {
            for order in [RangeRequest.SortOrder.none, .ascending, .descending] {
                for bounds in [nil, Int64(100)...400] {
                    var request = RangeRequest(.all)
                    (request.sortTarget, request.sortOrder, request.modRevisions) = (target, order, bounds)
                    let whole = view.range(request)
                    request.limit = limit
                    let some = view.range(request)
                    #expect(some.items == Array(whole.items.prefix(Int(limit))))
                    #expect(some.more == (whole.items.count > limit) && some.count == whole.count)
                }
            }
        }
    }

    @Test func `what a request looks at is known before`() {
        let view = filled().machine.view
        var request = RangeRequest(.all)
        #expect(view.visits(request) == view.keyCount)
        request.limit = 3
        #expect(view.visits(request) == 3)
        request.sortOrder = .descending
        #expect(view.visits(request) == view.keyCount)
        request.countOnly = true
        #expect(view.visits(request) == 1)
        #expect(view.visits(RangeRequest(KeyRange(Key("k1")))) == 1)
    }

    @Test func `a transaction that only reads is answered from a view as from the log`() throws {
        var driver = filled()
        let compares: [Compare] = [.absent(Key("k1")), .absent(Key("none"))]
        let ranges: [Op] = [.range(RangeRequest(.prefix(Key("k2")))), .range(RangeRequest(KeyRange(Key("k5"))))]
        for compare in compares {
            for inner in compares {
                let txn = Txn(
                    compares: [compare], success: ranges,
                    failure: [.txn(Txn(compares: [inner], success: [ranges[1]], failure: ranges)), ranges[0]])
                #expect(txn.readsPresentOnly)
                let read = try ReadTxn(txn, in: driver.machine.view).run()
                #expect(driver.txn(txn).result == read)
            }
        }
        #expect(!Txn(success: [.txn(Txn(success: [], failure: [.delete(Key("a"))]))]).readsPresentOnly)
        #expect(!Txn(success: [], failure: [.range(RangeRequest(.all, revision: Revision(5)))]).readsPresentOnly)
    }

    @Test func `a transaction that would look at too much is refused before anything is written`() {
        var driver = Driver()
        for i in 0..<1200 { driver.txn(Txn(success: [.put(Key("k\(i)"), [1])])) }
        let before = driver.machine.revision
        let ranges = Txn(success: Array(repeating: Op.range(RangeRequest(.all)), count: 100))
        let large = Txn(success: Array(repeating: Op.txn(ranges), count: 10))
        var writing = large
        writing.success.append(.put(Key("x"), [1]))
        #expect(driver.txn(writing) == .refused(.tooManyOperations))
        #expect(throws: Refusal.tooManyOperations) { try ReadTxn(large, in: driver.machine.view) }
        #expect(driver.machine.revision == before)
        writing.success = [.txn(ranges), .put(Key("x"), [1])]
        #expect(driver.txn(writing).result != nil)
    }
}
