// Locks and elections: one script of requests, answered by tern, and by a real etcd where the machine has one. What both
// answer is written down as words and must be the same.
import Dispatch
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NIOPosix
import NetGRPC
import Raft
import Synchronization
import TestSupport
import Testing

/// A client that says what it is answered.
private final class Scribe: Sendable {
    let channel: GRPCChannel
    private let lines = Mutex<[String]>([])
    var text: [String] { lines.withLock { $0 } }

    init(_ channel: GRPCChannel) { self.channel = channel }

    func say(_ line: String) { lines.withLock { $0.append(line) } }

    func grant(_ id: Int64, seconds: Int64 = 60) async throws {
        var request = ProtobufWriter()
        request.int64(1, seconds)
        request.int64(2, id)
        _ = try await channel.unary("/etcdserverpb.Lease/LeaseGrant", request.bytes)
    }

    func revoke(_ id: Int64) async throws {
        var request = ProtobufWriter()
        request.int64(1, id)
        _ = try await channel.unary("/etcdserverpb.Lease/LeaseRevoke", request.bytes)
    }

    func put(_ key: String, _ value: String) async throws {
        var request = ProtobufWriter()
        request.string(1, key)
        request.string(2, value)
        _ = try await channel.unary("/etcdserverpb.KV/Put", request.bytes)
    }

    @discardableResult
    func ask(_ what: String, _ method: String, _ request: [UInt8]) async throws -> [UInt8] {
        do {
            let answer = try await channel.unary("/\(method)", request)
            say("\(what): \(try Scribe.words(answer))")
            return answer
        } catch let error as GRPCStatus {
            say("\(what): \(error.code) \(error.message)")
            return []
        }
    }

    /// Field numbers with what they hold; the header is its revision.
    static func words(_ message: [UInt8], depth: Int = 0) throws -> String {
        var reader = ProtobufReader(message)
        var words: [String] = []
        while try reader.next() {
            let field = reader.field
            guard reader.wireType == .bytes else { words.append("\(field)=\(try reader.int64())"); continue }
            if depth == 0, field == 1 {
                var header = try reader.message()
                while try header.next() { if header.field == 3 { words.append("revision \(try header.int64())") } }
            } else if depth == 0 {
                words.append("\(field)=\(Scribe.plain(try reader.byteArray()))")
            } else {
                words.append("\(field)=\(String(decoding: try reader.byteArray(), as: UTF8.self))")
            }
        }
        return words.joined(separator: " ")
    }

    /// A lock's key is text, a leader or a record is a message.
    private static func plain(_ bytes: [UInt8]) -> String {
        do { return "{\(try words(bytes, depth: 1))}" } catch { return String(decoding: bytes, as: UTF8.self) }
    }

    private func isThere(_ key: String) async throws -> Bool {
        try Fields(try await channel.unary("/etcdserverpb.KV/Range", text(key)))[4] > 0
    }

    func lock(_ name: String, _ lease: Int64) -> [UInt8] {
        var request = ProtobufWriter()
        request.string(1, name)
        request.int64(2, lease)
        return request.bytes
    }

    func text(_ value: String) -> [UInt8] {
        var request = ProtobufWriter()
        request.string(1, value)
        return request.bytes
    }

    func campaign(_ name: String, _ lease: Int64, _ value: String) -> [UInt8] {
        var request = ProtobufWriter()
        request.string(1, name)
        request.int64(2, lease)
        request.string(3, value)
        return request.bytes
    }

    func leader(_ name: String, _ key: String, _ revision: Int64, _ lease: Int64, value: String? = nil) -> [UInt8] {
        var request = ProtobufWriter()
        request.message(1) { leader in
            leader.string(1, name)
            leader.string(2, key)
            leader.int64(3, revision)
            leader.int64(4, lease)
        }
        if let value { request.string(2, value) }
        return request.bytes
    }

    /// A request that waits, as its key shows, while something else is done; returns when it has an answer.
    func waiting(
        _ what: String, _ method: String, _ request: [UInt8], key: String,
        meanwhile: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { _ = try await self.ask(what, method, request) }
            group.addTask {
                try await eventually("it waits") { try await self.isThere(key) }
                try await Task.sleep(for: .milliseconds(150))
                try await meanwhile()
            }
            try await group.waitForAll()
        }
    }
}

private func locks(_ scribe: Scribe) async throws {
    for id in [0x11, 0x22, 0x33] as [Int64] { try await scribe.grant(id) }
    try await scribe.ask("first", "v3lockpb.Lock/Lock", scribe.lock("l", 0x11))
    try await scribe.ask("again", "v3lockpb.Lock/Lock", scribe.lock("l", 0x11))
    try await scribe.waiting("second waits", "v3lockpb.Lock/Lock", scribe.lock("l", 0x22), key: "l/22") {
        scribe.say("unlocks")
        _ = try await scribe.channel.unary("/v3lockpb.Lock/Unlock", scribe.text("l/11"))
    }
    try await scribe.waiting("third waits", "v3lockpb.Lock/Lock", scribe.lock("l", 0x33), key: "l/33") {
        try await scribe.revoke(0x22)
    }
    try await scribe.ask("no such lease", "v3lockpb.Lock/Lock", scribe.lock("l", 0x77))
    try await scribe.ask("no key", "v3lockpb.Lock/Unlock", [])
    try await scribe.ask("unknown key", "v3lockpb.Lock/Unlock", scribe.text("nothing"))
}

private func elections(_ scribe: Scribe) async throws {
    for id in [0x11, 0x22, 0x33] as [Int64] { try await scribe.grant(id) }
    try await scribe.ask("nobody", "v3electionpb.Election/Leader", scribe.text("e"))
    try await scribe.ask("first", "v3electionpb.Election/Campaign", scribe.campaign("e", 0x11, "one"))
    try await scribe.ask(
        "again with another value", "v3electionpb.Election/Campaign", scribe.campaign("e", 0x11, "uno"))
    try await scribe.ask("who", "v3electionpb.Election/Leader", scribe.text("e"))
    let own = scribe.leader("e", "e/11", 2, 0x11, value: "eins")
    try await scribe.ask("proclaims", "v3electionpb.Election/Proclaim", own)
    try await scribe.ask(
        "not the leader", "v3electionpb.Election/Proclaim", scribe.leader("e", "e/11", 99, 0x11, value: "x"))
    try await scribe.ask("no leader field", "v3electionpb.Election/Proclaim", [])
    try await scribe.ask("no leader field", "v3electionpb.Election/Resign", [])
    try await scribe.waiting(
        "second waits", "v3electionpb.Election/Campaign", scribe.campaign("e", 0x22, "two"), key: "e/22"
    ) {
        _ = try await scribe.channel.unary(
            "/v3electionpb.Election/Resign", scribe.leader("e", "e/11", 2, 0x11))
    }
    try await scribe.ask("resigns twice", "v3electionpb.Election/Resign", scribe.leader("e", "e/11", 2, 0x11))
    try await scribe.waiting(
        "third waits", "v3electionpb.Election/Campaign", scribe.campaign("e", 0x33, "three"), key: "e/33"
    ) {
        try await scribe.revoke(0x22)
    }
    try await scribe.ask("who", "v3electionpb.Election/Leader", scribe.text("e"))
    try await scribe.ask("no such lease", "v3electionpb.Election/Campaign", scribe.campaign("e", 0x77, "x"))
}

private func observed(_ scribe: Scribe) async throws {
    for id in [0x11, 0x22] as [Int64] { try await scribe.grant(id) }
    let call = try await scribe.channel.serverStream("/v3electionpb.Election/Observe", scribe.text("o"))
    // Nobody yet: it waits.
    try await Task.sleep(for: .milliseconds(150))
    try await scribe.put("other", "x")
    try await scribe.ask("first", "v3electionpb.Election/Campaign", scribe.campaign("o", 0x11, "one"))
    let own = scribe.leader("o", "o/11", 3, 0x11, value: "eins")
    for step in ["elected", "proclaimed"] {
        let message = try #require(try await call.next())
        scribe.say("\(step): \(try Scribe.words(message))")
        if step == "elected" { try await scribe.ask("proclaims", "v3electionpb.Election/Proclaim", own) }
    }
    try await scribe.waiting(
        "second waits", "v3electionpb.Election/Campaign", scribe.campaign("o", 0x22, "two"), key: "o/22"
    ) {
        _ = try await scribe.channel.unary(
            "/v3electionpb.Election/Resign", scribe.leader("o", "o/11", 3, 0x11))
    }
    let message = try #require(try await call.next())
    scribe.say("followed: \(try Scribe.words(message))")
    call.cancel()
}

@Suite(.serialized) struct ConcurrencyTests {
    private func compare(_ script: @Sendable (Scribe) async throws -> Void) async throws -> [String] {
        let face = try await Face()
        let own = Scribe(face.channel)
        try await script(own)
        let answers = own.text
        try await face.end()
        guard Shell.has("etcd") else { return answers }
        let etcd = try RealEtcd()
        defer { etcd.end() }
        let port = try #require(etcd.endpoint.split(separator: ":").last.flatMap { Int($0) })
        let channel = GRPCChannel(
            target: .tcp(host: "127.0.0.1", port: port, tls: nil), group: MultiThreadedEventLoopGroup.singleton)
        let theirs = Scribe(channel)
        try await script(theirs)
        await channel.close()
        #expect(answers == theirs.text)
        return answers
    }

    @Test func `a lock is held by one at a time, and goes to who waited longest`() async throws {
        let answers = try await compare(locks)
        #expect(answers.first == "first: revision 2 2=l/11")
        #expect(answers.contains { $0.hasPrefix("second waits: revision") && $0.hasSuffix("2=l/22") })
    }

    @Test func `an election is won by one at a time, who proclaims and resigns`() async throws {
        let answers = try await compare(elections)
        #expect(answers.first == "nobody: unknown election: no leader")
        #expect(answers.contains("not the leader: unknown election: not leader"))
    }

    @Test func `whoever observes an election is told each leader and what it proclaims`() async throws {
        let answers = try await compare(observed)
        #expect(answers.contains { $0.hasPrefix("proclaimed:") && $0.contains("eins") })
        #expect(answers.last?.contains("two") == true)
    }

    @Test func `who gives up waiting for a lock stands in nobody's way`() async throws {
        let face = try await Face()
        let scribe = Scribe(face.channel)
        for id in [0x11, 0x22, 0x33] as [Int64] { try await scribe.grant(id) }
        try await scribe.ask("first", "v3lockpb.Lock/Lock", scribe.lock("l", 0x11))
        let call = try await face.channel.serverStream("/v3lockpb.Lock/Lock", scribe.lock("l", 0x22))
        try await eventually { !(try await face.range("l/", "l0").count < 2) }
        call.cancel()
        try await eventually { !(try await face.range("l/", "l0").count > 1) }
        try await scribe.waiting("third", "v3lockpb.Lock/Lock", scribe.lock("l", 0x33), key: "l/33") {
            _ = try await face.channel.unary("/v3lockpb.Lock/Unlock", scribe.text("l/11"))
        }
        #expect(scribe.text.last?.hasSuffix("2=l/33") == true)
        // etcdctl's own recipe sees the same lock.
        if Shell.has("etcdctl") {
            let answer = Shell.run(
                "timeout 2 etcdctl --endpoints \(face.endpoint) lock l echo got-it", environment: ["ETCDCTL_API": "3"])
            #expect(!answer.contains("got-it"))
        }
        try await face.end()
    }

    @Test func `who observes an election is told of nobody who does not lead`() async throws {
        let face = try await Face()
        let replica = face.replica
        for name in ["e/1", "e/2"] { try await face.put(name, "candidate \(name)") }
        let call = try await face.channel.serverStream("/v3electionpb.Election/Observe", Scribe(face.channel).text("e"))
        #expect(try Scribe.words(try #require(try await call.next())).contains("candidate e/1"))
        try await eventually { !(replica.status.watchCount == 0) }
        // Told of the same changes behind the observer: it goes on while the next change waits here.
        _ = replica.watch(KeyRange(Key("e/1")), after: replica.view().revision) { delivery in
            if case .events(_, let events) = delivery, events.contains(where: { $0.kind == .delete }) {
                usleep(300_000)
            }
        }
        let gate = DispatchSemaphore(value: 0)
        replica.afterInputs { gate.wait() }
        replica.propose(Txn(success: [.delete(Key("e/1"))]), fence: nil) { _ in }
        replica.propose(Txn(success: [.put(Key("e/1"), Array("again e/1".utf8))]), fence: nil) { _ in }
        gate.signal()
        #expect(try Scribe.words(try #require(try await call.next())).contains("candidate e/2"))
        try await replica.barrier()
        try await face.put("e/2", "proclaimed e/2")
        #expect(try Scribe.words(try #require(try await call.next())).contains("proclaimed e/2"))
        call.cancel()
        try await face.end()
    }

    @Test func `who is refused a lock does not keep it`() async throws {
        let (face, first) = try await Face.ofThree()
        var others = first
        let replica = face.replica
        let scribe = Scribe(face.channel)
        for id in [0x11, 0x22] as [Int64] { try await scribe.grant(id) }
        try await scribe.ask("first", "v3lockpb.Lock/Lock", scribe.lock("l", 0x11))
        let waiting = try await face.channel.serverStream("/v3lockpb.Lock/Lock", scribe.lock("l", 0x22))
        try await eventually { !(replica.status.watchCount == 0) }
        // When its turn comes the others are gone before it can be sure.
        let isFree = Mutex(false)
        let areGone = DispatchSemaphore(value: 0)
        _ = replica.watch(KeyRange(Key("l/11")), after: replica.view().revision) { delivery in
            guard case .events = delivery else { return }
            isFree.withLock { $0 = true }
            areGone.wait()
        }
        _ = try await others[0].propose(Txn(success: [.delete(Key("l/11"))]))
        try await eventually { !(!isFree.withLock({ $0 })) }
        let configurations = others.map(\.configuration)
        for other in others { await other.halt() }
        areGone.signal()
        await #expect(throws: GRPCStatus.self) { _ = try await waiting.next() }
        others = []
        for configuration in configurations {
            let replica = try Replica(configuration)
            try await replica.start()
            others.append(replica)
        }
        try await eventually("it does not keep it") { replica.view().get(Key("l/22")) == nil }
        for other in others { await other.halt() }
        try await face.end()
        for configuration in configurations { Shell.remove(configuration.dataDirectory) }
    }

    /// etcd 3.4 says that it has the lock; later ones see that its lease is gone.
    @Test func `who loses its lease while it waits for a lock does not get it`() async throws {
        let face = try await Face()
        let scribe = Scribe(face.channel)
        for id in [0x11, 0x22] as [Int64] { try await scribe.grant(id) }
        try await scribe.ask("first", "v3lockpb.Lock/Lock", scribe.lock("l", 0x11))
        try await scribe.waiting("second", "v3lockpb.Lock/Lock", scribe.lock("l", 0x22), key: "l/22") {
            try await scribe.revoke(0x22)
            try await scribe.revoke(0x11)
        }
        #expect(scribe.text.last == "second: unknown mutex: session is expired")
        try await face.end()
    }

    @Test func `locks and elections below a read-only prefix are refused`() async throws {
        let face = try await Face(readOnly: Key("/registry/"))
        let scribe = Scribe(face.channel)
        try await scribe.grant(0x11)
        try await scribe.ask("lock", "v3lockpb.Lock/Lock", scribe.lock("/registry/x", 0x11))
        try await scribe.ask("unlock", "v3lockpb.Lock/Unlock", scribe.text("/registry/x"))
        try await scribe.ask(
            "campaign", "v3electionpb.Election/Campaign", scribe.campaign("/registry/x", 0x11, "v"))
        #expect(scribe.text.allSatisfy { $0.hasSuffix("permissionDenied etcdserver: permission denied") })
        try await face.end()
    }
}
