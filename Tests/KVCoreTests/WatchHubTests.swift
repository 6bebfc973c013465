// The hub: backlog, order, prefixes, single keys, what lies ahead, and explicit ends.
import KVCore
import Raft
import Testing

@Suite struct WatchHubTests {
    private func revisions(_ notices: [WatchNotice], _ watch: UInt64) -> [Int64] {
        notices.compactMap { notice in
            guard notice.watch.rawValue == watch, case .events(let revision, _) = notice.delivery else { return nil }
            return revision.rawValue
        }
    }

    private func apply(_ driver: inout Driver, _ hub: WatchHub, _ txn: Txn) -> [WatchNotice] {
        let applied = driver.apply(.txn(txn))
        return applied.events.isEmpty ? [] : hub.notices(driver.machine.revision, applied.events)
    }

    @Test func `the backlog comes first, then what is new, only what is in range`() {
        var driver = Driver()
        var hub = WatchHub()
        for i in 0..<10 { driver.put(i % 2 == 0 ? "a/\(i)" : "b/\(i)") }
        var notices = hub.add(WatchID(rawValue: 1), .prefix(Key("a/")), after: Revision(3), driver.machine)
        #expect(revisions(notices, 1) == [4, 6, 8, 10])
        #expect(notices.last?.delivery == .progress(Revision(11)))
        _ = hub.add(WatchID(rawValue: 2), KeyRange(Key("b/1")), after: nil, driver.machine)
        notices = apply(
            &driver, hub, Txn(success: [.put(Key("a/x"), [1]), .put(Key("b/1"), [2]), .put(Key("c"), [3])]))
        #expect(revisions(notices, 1) == [12] && revisions(notices, 2) == [12])
        #expect(notices.count == 2)
        hub.cancel(WatchID(rawValue: 1))
        hub.cancel(WatchID(rawValue: 2))
        #expect(apply(&driver, hub, Txn(success: [.put(Key("a/x"), [1])])).isEmpty)
    }

    @Test(arguments: [KeyRange.all, KeyRange(Key("a"))])
    func `of many watches of the same those that were cancelled are told nothing, the others once`(_ range: KeyRange) {
        var driver = Driver()
        var hub = WatchHub()
        let ids = (1...100).map { UInt64($0 * 37 % 101) }
        for id in ids { _ = hub.add(WatchID(rawValue: id), range, after: nil, driver.machine) }
        var left = Set(ids)
        for id in ids.reversed() {
            hub.cancel(WatchID(rawValue: id))
            hub.cancel(WatchID(rawValue: id))
            left.remove(id)
            let notices = apply(&driver, hub, Txn(success: [.put(Key("a"), [1])]))
            #expect(notices.map(\.watch.rawValue).sorted() == left.sorted())
            if range.single == nil { #expect(notices.map(\.watch.rawValue) == left.sorted()) }
            #expect(hub.count == left.count)
        }
        _ = hub.add(WatchID(rawValue: 200), range, after: nil, driver.machine)
        #expect(apply(&driver, hub, Txn(success: [.put(Key("a"), [1])])).count == 1)
    }

    @Test func `a watch from a revision that this peer has not reached is told nothing twice`() {
        var driver = Driver()
        var hub = WatchHub()
        driver.put("a")
        #expect(hub.add(WatchID(rawValue: 1), .all, after: Revision(4), driver.machine).isEmpty)
        #expect(apply(&driver, hub, Txn(success: [.put(Key("a"), [1])])).isEmpty)
        #expect(apply(&driver, hub, Txn(success: [.put(Key("a"), [2])])).isEmpty)
        #expect(hub.progress(driver.machine.revision).count == 1)
        #expect(revisions(apply(&driver, hub, Txn(success: [.put(Key("a"), [3])])), 1) == [5])
    }

    @Test func `who watches the same range is told one and the same array, others what is theirs`() throws {
        var driver = Driver()
        var hub = WatchHub()
        for id in 1...3 { _ = hub.add(WatchID(rawValue: UInt64(id)), .prefix(Key("a/")), after: nil, driver.machine) }
        _ = hub.add(WatchID(rawValue: 4), .all, after: nil, driver.machine)
        for id in 5...6 { _ = hub.add(WatchID(rawValue: UInt64(id)), KeyRange(Key("a/1")), after: nil, driver.machine) }
        let notices = apply(&driver, hub, Txn(success: [.put(Key("a/1"), [1]), .put(Key("b/1"), [2])]))
        let told = notices.compactMap { notice -> (UInt64, [String], UnsafePointer<KVEvent>?)? in
            guard case .events(_, let events) = notice.delivery else { return nil }
            let keys = events.map { String(decoding: $0.current.key.bytes, as: UTF8.self) }
            return (notice.watch.rawValue, keys, events.withUnsafeBufferPointer { $0.baseAddress })
        }
        #expect(told.map(\.0) == [1, 2, 3, 4, 5, 6])
        #expect(told.map(\.1) == [["a/1"], ["a/1"], ["a/1"], ["a/1", "b/1"], ["a/1"], ["a/1"]])
        #expect(Set(told[0..<3].map(\.2)).count == 1 && Set(told[4...].map(\.2)).count == 1)
    }

    @Test func `what one revision does twice to a key is one delivery, to a watch of the key too`() {
        var driver = Driver()
        var hub = WatchHub()
        let key = Key("a")
        _ = hub.add(WatchID(rawValue: 1), KeyRange(key), after: nil, driver.machine)
        _ = hub.add(WatchID(rawValue: 2), .all, after: nil, driver.machine)
        let notices = apply(
            &driver, hub,
            Txn(success: [
                .txn(Txn(success: [.put(key, [1])])), .put(Key("b"), [1]), .txn(Txn(success: [.delete(key)]))
            ]))
        #expect(revisions(notices, 1) == [2] && revisions(notices, 2) == [2])
        let kinds = notices.filter { $0.watch.rawValue == 1 }.map { notice -> [KVEvent.Kind] in
            if case .events(_, let events) = notice.delivery { events.map(\.kind) } else { [] }
        }
        #expect(kinds == [[.put, .delete]])
    }

    @Test func `above the limit a watch ends at once`() {
        let driver = Driver()
        var hub = WatchHub()
        for id in 1...WatchHub.watchesMax {
            _ = hub.add(WatchID(rawValue: UInt64(id)), KeyRange(Key("\(id)")), after: nil, driver.machine)
        }
        let last = WatchID(rawValue: 0)
        #expect(hub.add(last, .all, after: nil, driver.machine).map(\.delivery) == [.tooMany])
        #expect(hub.count == WatchHub.watchesMax)
        hub.cancel(WatchID(rawValue: 7))
        #expect(hub.add(last, .all, after: nil, driver.machine).allSatisfy { $0.delivery != .tooMany })
    }

    @Test func `the previous value comes with the change`() throws {
        var driver = Driver()
        driver.put("a", "1")
        let applied = driver.apply(.txn(Txn(success: [.delete(Key("a"))])))
        let event = try #require(applied.events.first)
        #expect(event.kind == .delete && event.current.modRevision == Revision(3))
        #expect(event.previous?.value == Array("1".utf8))
    }

    @Test func `a backlog that is gone ends the watch`() {
        var hub = WatchHub()
        var other = Driver()
        for i in 0..<10 { other.put("k\(i)") }
        _ = other.apply(.compact(Revision(8)))
        let notices = hub.add(WatchID(rawValue: 1), .all, after: Revision(3), other.machine)
        #expect(notices.map(\.delivery) == [.compacted(Revision(8))])
        #expect(hub.count == 0)
    }
}
