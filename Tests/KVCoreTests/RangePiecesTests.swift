// Ranges in pieces: put together they are the range, and no piece is larger than it may be.
import KVCore
import Testing

struct RangePiecesTests {
    private func filled(_ count: Int) -> Driver {
        var driver = Driver()
        for i in 0..<count {
            driver.put("k\(i * 7919 % 1000)", String(repeating: "v", count: i % 90))
            if i % 11 == 0 { driver.txn(Txn(success: [.delete(Key("k\(i % 1000)"))])) }
        }
        return driver
    }

    private func requests(_ range: KeyRange) -> [RangeRequest] {
        var all: [RangeRequest] = []
        for limit: Int64 in [0, 1, 9, 600, 5000] {
            for (mod, create) in [(nil, nil), (300...900, nil), (nil, 1...500), (5000...6000, nil)]
                as [(ClosedRange<Int64>?, ClosedRange<Int64>?)]
            {
                for order in [RangeRequest.SortOrder.none, .ascending, .descending] {
                    for keysOnly in [false, true] {
                        var request = RangeRequest(range, limit: limit, keysOnly: keysOnly)
                        (request.modRevisions, request.createRevisions, request.sortOrder) = (mod, create, order)
                        all.append(request)
                    }
                }
            }
        }
        return all + [RangeRequest(range, countOnly: true)]
    }

    @Test(arguments: [1, 300, 20_000, .max])
    func `put together they are the range, whatever was asked for`(bytesMax: Int) {
        let view = filled(1500).machine.view
        for range in [.all, .prefix(Key("k5")), KeyRange(Key("k77")), KeyRange(Key("none"))] as [KeyRange] {
            for request in requests(range) {
                var pieces = RangePieces(request, in: view, bytesMax: bytesMax)
                var found = RangeResult(items: [], more: false, count: 0)
                while true {
                    let piece = pieces.take()
                    #expect(piece.items.dropLast().reduce(0) { $0 + $1.bytes } < bytesMax, "\(request)")
                    found.items += piece.items
                    guard piece.isLast else { continue }
                    (found.more, found.count) = (piece.more, piece.count)
                    break
                }
                #expect(found == view.range(request), "\(request)")
            }
        }
    }

    @Test func `what is written meanwhile is not in them`() {
        var driver = filled(1500)
        let view = driver.machine.view, whole = view.range(RangeRequest(.all))
        var pieces = RangePieces(RangeRequest(.all), in: view, bytesMax: 5000)
        var found: [KeyValue] = [], count = 0
        while true {
            let piece = pieces.take()
            found += piece.items
            count += 1
            if piece.isLast { break }
            for i in 0..<50 { driver.put("k\(i * 20 + count % 20)", "later") }
            driver.txn(Txn(success: [.delete(.prefix(Key("k9")), returnPrevious: false)]))
        }
        #expect(found == whole.items && count > 10)
        #expect(driver.machine.view.range(RangeRequest(.all)).items != whole.items)
    }

    @Test func `a piece looks at no more than so many records, found or not`() {
        var driver = Driver()
        for i in 0..<25_000 { driver.put("k\(i)") }
        var request = RangeRequest(.all)
        request.modRevisions = 24_990...24_995
        var pieces = RangePieces(request, in: driver.machine.view, bytesMax: 1000)
        var visits: [Int] = [], items = 0
        while true {
            visits.append(pieces.visits)
            let piece = pieces.take()
            items += piece.items.count
            if piece.isLast { break }
        }
        #expect(visits == [10_000, 10_000, 5000] && items == 6)
    }
}
