// What commands mean: transactions, history, leases, sessions; and that no bytes at all can make `apply` trap.
import KVCore
import Raft
import Testing

@Suite struct StateMachineTests {
    @Test func `a transaction writes at one revision and counts versions`() throws {
        var driver = Driver()
        let result = try #require(driver.txn(Txn(success: [.put(Key("a"), [1]), .put(Key("b"), [2])])).result)
        #expect(result.revision == Revision(2))
        driver.put("a")
        let a = try #require(driver.machine.view.get(Key("a")))
        #expect(a.version == 2 && a.createRevision == Revision(2) && a.modRevision == Revision(3))
    }

    @Test func `a guard that does not hold takes the other branch and keeps the revision`() throws {
        var driver = Driver()
        driver.put("a")
        let result = try #require(
            driver.txn(
                Txn(
                    compares: [.absent(Key("a"))], success: [.put(Key("a"), [9])],
                    failure: [.range(RangeRequest(KeyRange(Key("a"))))])
            ).result)
        #expect(!result.succeeded)
        #expect(result.revision == Revision(2))
        guard case .range(let found)? = result.results.first else { Issue.record("no range"); return }
        #expect(found.items.map(\.key) == [Key("a")])
    }

    @Test func `a key may not be written twice in one transaction`() {
        var driver = Driver()
        let put = Op.put(Key("a"), [1])
        #expect(driver.txn(Txn(success: [put, put])) == .refused(.duplicateKey))
        #expect(
            driver.txn(Txn(success: [put, .delete(.prefix(Key("a")), returnPrevious: false)]))
                == .refused(.duplicateKey))
        #expect(driver.txn(Txn(success: [put, .txn(Txn(success: [put]))])) == .refused(.duplicateKey))
        #expect(driver.txn(Txn(success: [.txn(Txn(success: [put], failure: [put]))])).result?.succeeded == true)
        // Also where the outermost branch is a single transaction.
        #expect(driver.txn(Txn(success: [.txn(Txn(success: [put, put]))])) == .refused(.duplicateKey))
        let twice = Txn(success: [put, .delete(Key("a"))])
        #expect(driver.txn(Txn(success: [], failure: [.txn(twice)])) == .refused(.duplicateKey))
        #expect(driver.txn(Txn(success: [.put(Key(""), [1])])) == .refused(.emptyKey))
        #expect(driver.machine.revision == Revision(2))
    }

    @Test func `a refused operation leaves nothing of its transaction behind`() {
        var driver = Driver()
        let lease = LeaseID(rawValue: 5)
        #expect(
            driver.txn(Txn(success: [.put(Key("a"), [1]), .put(Key("b"), [1], lease: lease)]))
                == .refused(.leaseNotFound))
        let keeps = PutRequest(key: Key("c"), value: [], keepsValue: true)
        #expect(driver.txn(Txn(success: [.put(Key("a"), [1]), .put(keeps)])) == .refused(.keyNotFound))
        #expect(driver.machine.view.keyCount == 0 && driver.machine.revision == Revision(1))
    }

    @Test func `reads within a transaction see its earlier writes, nested guards see the state before`() throws {
        var driver = Driver()
        let nested = Txn(compares: [.absent(Key("a"))], success: [.put(Key("b"), [2])])
        let result = try #require(
            driver.txn(Txn(success: [.put(Key("a"), [1]), .range(RangeRequest(.all)), .txn(nested)])).result)
        guard case .range(let seen) = result.results[1], case .txn(let inner) = result.results[2] else {
            Issue.record("shape"); return
        }
        #expect(seen.items.count == 1)
        #expect(inner.succeeded)
    }

    @Test func `every earlier revision can be read back until it is compacted`() throws {
        var driver = Driver()
        var past: [(Revision, [KeyValue])] = []
        var generator = SeededGenerator(seed: 9)
        for i in 0..<300 {
            let key = "k\(Int.random(in: 0..<40, using: &generator))"
            if i % 5 == 4 { driver.txn(Txn(success: [.delete(Key(key))])) } else { driver.put(key, "\(i)") }
            past.append((driver.machine.revision, driver.machine.view.range(RangeRequest(.all)).items))
        }
        for (revision, items) in past {
            #expect(try driver.machine.snapshot.view(at: revision).range(RangeRequest(.all)).items == items)
        }
        _ = driver.apply(.compact(Revision(100)))
        #expect(throws: ReadError.compacted(Revision(100))) { try driver.machine.snapshot.view(at: Revision(99)) }
        #expect(try driver.machine.snapshot.view(at: Revision(100)).revision == Revision(100))
        #expect(driver.apply(.compact(Revision(100))).outcome == .refused(.compacted(Revision(100))))
        #expect(driver.apply(.compact(Revision(9999))).outcome == .refused(.future(driver.machine.revision)))
    }

    @Test func `ranges count before the limit, sort, and filter`() {
        var driver = Driver()
        for i in 0..<10 { driver.put("k\(i)", "\(9 - i)") }
        var request = RangeRequest(.prefix(Key("k")), limit: 3)
        var result = driver.machine.view.range(request)
        #expect(result.count == 10 && result.more && result.items.map(\.key.text) == ["k0", "k1", "k2"])
        request.sortTarget = .value
        request.sortOrder = .ascending
        result = driver.machine.view.range(request)
        #expect(result.items.map(\.key.text) == ["k9", "k8", "k7"])
        request.modRevisions = 3...4
        request.limit = 0
        #expect(driver.machine.view.range(request).items.count == 2)
        request.countOnly = true
        #expect(driver.machine.view.range(request).count == 10)
    }
}

@Suite struct LeaseAndSessionTests {
    @Test func `a lease ends only when log time has reached its deadline`() {
        var driver = Driver()
        let id = LeaseID(rawValue: 7)
        #expect(driver.apply(.grantLease(id, ttlMilliseconds: 1000)).outcome == .lease(id, ttlMilliseconds: 1000))
        driver.txn(Txn(success: [.put(Key("a"), [1], lease: id), .put(Key("b"), [1], lease: id)]))
        driver.time = 900
        _ = driver.apply(.expireLeases([id]))
        #expect(driver.machine.view.keyCount == 2)
        _ = driver.apply(.keepAlive([id]))
        driver.time = 1800
        _ = driver.apply(.expireLeases([id]))
        #expect(driver.machine.view.keyCount == 2)
        driver.time = 1900
        let applied = driver.apply(.expireLeases([id]))
        #expect(applied.events.map(\.current.key) == [Key("a"), Key("b")])
        #expect(driver.machine.view.keyCount == 0)
    }

    @Test func `a key that was put again without its lease outlives it`() {
        var driver = Driver()
        let id = LeaseID(rawValue: 7)
        _ = driver.apply(.grantLease(id, ttlMilliseconds: 1000))
        driver.txn(Txn(success: [.put(Key("a"), [1], lease: id)]))
        driver.put("a")
        #expect(driver.apply(.revokeLease(id)).outcome == .done(Revision(3)))
        #expect(driver.machine.view.keyCount == 1)
        #expect(driver.apply(.revokeLease(id)).outcome == .refused(.leaseNotFound))
    }

    @Test func `a repeated proposal executes once and answers the same`() {
        var driver = Driver()
        let proposal = ClientProposal(
            id: ProposalID(client: driver.client, serial: 5, settledBelow: 1),
            command: .txn(Txn(success: [.put(Key("a"), [1])])))
        let first = driver.applyRaw(proposal)
        let second = driver.applyRaw(proposal)
        #expect(first.outcome == second.outcome && second.events.isEmpty)
        #expect(driver.machine.revision == Revision(2))
    }

    @Test func `an expired or unknown session is refused, never executed again`() {
        var driver = Driver()
        driver.put("a")
        driver.time = 10_000
        let other = ClientID(rawValue: 99)
        let open = ClientProposal(id: ProposalID(client: other, serial: 0, settledBelow: 0), command: .openSession)
        _ = driver.applyRaw(open)
        let expire = ClientProposal(
            id: ProposalID(client: other, serial: 1, settledBelow: 1),
            command: .expireSessions([driver.client], idleMilliseconds: 5000))
        _ = driver.applyRaw(expire)
        #expect(driver.put("a") == .refused(.sessionExpired))
        #expect(driver.machine.revision == Revision(2))
    }

    @Test func `a fenced entry has no effect`() {
        var driver = Driver()
        let put = Command.txn(Txn(success: [.put(Key("a"), [1])]))
        #expect(driver.apply(put, fence: Term(2)).outcome == .fenced)
        #expect(driver.apply(put, fence: Term(1)).outcome.result?.succeeded == true)
        #expect(driver.machine.revision == Revision(2))
    }
}

@Suite struct CodingTests {
    private static let samples: [Command] = [
        .txn(
            Txn(
                compares: [
                    Compare(range: .all, .less, .value([1, 2])), .absent(Key("x")),
                    Compare(range: .prefix(Key("p")), .notEqual, .lease(LeaseID(rawValue: -4)))
                ],
                success: [
                    .put(PutRequest(key: Key("a"), value: [1], returnPrevious: true, keepsLease: true)),
                    .txn(Txn(success: [.delete(.all, returnPrevious: true)], failure: [.delete(Key("z"))]))
                ],
                failure: [.range(RangeRequest(.prefix(Key("q")), limit: 5, revision: Revision(3), keysOnly: true))])),
        .compact(Revision(12)), .grantLease(LeaseID(rawValue: 1), ttlMilliseconds: 5),
        .revokeLease(LeaseID(rawValue: 2)),
        .keepAlive([LeaseID(rawValue: 1), LeaseID(rawValue: .max)]), .expireLeases([]), .openSession,
        .expireSessions([ClientID(rawValue: .max)], idleMilliseconds: 9), .tick,
        .setMember(Member(id: PeerID(3), name: "m3", host: "10.0.0.3", port: 2380)), .removeMember(PeerID(3))
    ]

    @Test func `commands survive their byte form`() throws {
        for command in Self.samples {
            let id = ProposalID(client: ClientID(rawValue: .max), serial: 3, settledBelow: 2)
            let proposal = ClientProposal(id: id, command: command)
            var reader = ByteReader(EntryFormat.encode(proposal))
            #expect(try EntryFormat.decode(&reader) == proposal)
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `no bytes make apply trap, and the same bytes give the same state`(
        seed: UInt64
    ) {
        var generator = SeededGenerator(seed: seed)
        var one = Driver()
        var two = Driver()
        for _ in 0..<3000 {
            let command = Self.samples[Int.random(in: 0..<Self.samples.count, using: &generator)]
            let id = ProposalID(
                client: one.client, serial: UInt64.random(in: 0..<50, using: &generator),
                settledBelow: UInt64.random(in: 0..<50, using: &generator))
            let bytes = EntryFormat.encode(ClientProposal(id: id, command: command))
            var data = EntryFormat.entry(logTime: Int64.random(in: -5..<5000, using: &generator), proposal: bytes)
            for _ in 0..<Int.random(in: 0..<3, using: &generator) {
                data[Int.random(in: 0..<data.count, using: &generator)] = UInt8.random(
                    in: .min ... .max, using: &generator)
            }
            if Bool.random(using: &generator) { data.removeLast(Int.random(in: 0..<data.count, using: &generator)) }
            let entry = Entry(term: Term(1), index: one.machine.appliedIndex.next, data: data)
            #expect(one.machine.apply(entry) == two.machine.apply(entry))
        }
        #expect(one.machine.stateHash == two.machine.stateHash)
    }

    @Test func `a snapshot carries the whole state`() throws {
        var driver = Driver()
        let id = LeaseID(rawValue: 7)
        _ = driver.apply(.grantLease(id, ttlMilliseconds: 1000))
        for i in 0..<3000 {
            driver.txn(
                Txn(success: [.put(Key("k\(i % 700)"), Array(repeating: 7, count: 300), lease: i % 9 == 0 ? id : .none)]
                ))
        }
        var source = SnapshotSource(driver.machine)
        var sink = SnapshotSink()
        var pieces = 0
        while !source.isDone {
            try sink.add(source.next())
            pieces += 1
        }
        let copy = try #require(sink.finish())
        #expect(pieces > 1)
        #expect(copy.stateHash == driver.machine.stateHash)
        #expect(copy.counters == driver.machine.counters)
        #expect(copy.stateBytes == driver.machine.stateBytes)
        #expect(copy.history == driver.machine.history)
        #expect(copy.leases[id]?.keys == driver.machine.leases[id]?.keys)
    }

    @Test func `peer messages survive their byte form and damaged ones are refused or different`() throws {
        let entry = Entry(term: Term(3), index: LogIndex(9), data: [1, 2, 3], fence: Term(2))
        let bodies: [Message.Body] = [
            .preVote(last: EntryID(index: LogIndex(4), term: Term(2))), .vote(last: .zero, isTransfer: true),
            .append(.init(previous: EntryID(index: LogIndex(8), term: Term(3)), entries: [entry], commit: LogIndex(7))),
            .appendResponse(.init(index: LogIndex(9), rejection: .zero, isAmnesiac: true)),
            .heartbeat(commit: LogIndex(3), round: 9), .readIndexResponse(context: 5, index: LogIndex(1)), .timeoutNow
        ]
        var messages = bodies.map { PeerMessage.raft(Message(from: PeerID(1), to: PeerID(2), term: Term(3), $0)) }
        messages.append(.propose([ForwardedProposal(serial: 1, fence: Term(1), data: [1])]))
        messages += [.proposeRefused([1, 2]), .snapshotAnswer(transfer: 4, next: nil), .change(.transfer(nil))]
        var generator = SeededGenerator(seed: 3)
        for message in messages {
            let bytes = message.encode()
            #expect(try PeerMessage(decoding: bytes) == message)
            for _ in 0..<300 {
                var damaged = bytes
                damaged[Int.random(in: 0..<damaged.count, using: &generator)] ^= UInt8.random(
                    in: 1...255, using: &generator)
                do throws(DecodeError) {
                    let other = try PeerMessage(decoding: damaged)
                    #expect(other != message || damaged == bytes || other == message)
                } catch { continue }
            }
        }
    }
}
