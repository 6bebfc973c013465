// The seven calls of an unmodified kube-apiserver, byte for byte as its store sends them through etcd's client
// (k8s.io/apiserver storage/etcd3, go.etcd.io/etcd/client/v3 and its kubernetes client), and the whole answer, byte for
// byte. Tags and lengths stand here as they are on the wire: nothing of our own encoder is used for requests.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NetGRPC
import Raft
import Testing

/// A message as it is on the wire.
private enum Wire {
    static func varint(_ value: Int64) -> [UInt8] {
        var rest = UInt64(bitPattern: value)
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
    static func number(_ tag: UInt8, _ value: Int64) -> [UInt8] { [tag] + varint(value) }
    static func bytes(_ tag: UInt8, _ body: [UInt8]) -> [UInt8] { [tag] + varint(Int64(body.count)) + body }
    static func text(_ tag: UInt8, _ text: String) -> [UInt8] { bytes(tag, Array(text.utf8)) }
}

@Suite(.serialized) struct APIServerCallsTests {
    private static let pod = "/registry/pods/default/web"
    private static let prefix = "/registry/pods/"
    private static let prefixEnd = "/registry/pods0"

    /// A face that has answered nothing yet, at revision 1.
    private func fresh() async throws -> Face { try await Face() }

    private func header(_ face: Face, _ revision: Int64) -> [UInt8] {
        let configuration = face.replica.configuration
        return Wire.bytes(
            0x0a,
            Wire.number(0x08, Int64(bitPattern: configuration.clusterID))
                + Wire.number(0x10, Int64(bitPattern: configuration.id.rawValue)) + Wire.number(0x18, revision)
                + Wire.number(0x20, Int64(face.replica.status.term.rawValue)))
    }

    /// Of an answer within a transaction.
    private func inner(_ revision: Int64) -> [UInt8] { Wire.bytes(0x0a, Wire.number(0x18, revision)) }

    private func record(
        _ key: String, _ value: String, created: Int64, modified: Int64, version: Int64, lease: Int64 = 0
    ) -> [UInt8] {
        Wire.text(0x0a, key) + Wire.number(0x10, created) + Wire.number(0x18, modified) + Wire.number(0x20, version)
            + Wire.text(0x2a, value) + (lease == 0 ? [] : Wire.number(0x30, lease))
    }

    private func call(_ face: Face, _ method: String, _ bytes: [UInt8]) async throws -> [UInt8] {
        try await face.channel.unary("/etcdserverpb.\(method)", bytes, metadata: [("hasleader", "true")])
    }

    /// Compare ModRevision = expected, then put, else get when the caller wants to know.
    private func optimisticPut(_ value: String, expected: Int64, lease: Int64 = 0, getOnFailure: Bool) -> [UInt8] {
        let compare = Wire.number(0x10, 2) + Wire.text(0x1a, Self.pod) + Wire.number(0x30, expected)
        let put = Wire.text(0x0a, Self.pod) + Wire.text(0x12, value) + (lease == 0 ? [] : Wire.number(0x18, lease))
        return Wire.bytes(0x0a, compare) + Wire.bytes(0x12, Wire.bytes(0x12, put))
            + (getOnFailure ? Wire.bytes(0x1a, Wire.bytes(0x0a, Wire.text(0x0a, Self.pod))) : [])
    }

    private func optimisticDelete(expected: Int64) -> [UInt8] {
        let compare = Wire.number(0x10, 2) + Wire.text(0x1a, Self.pod) + Wire.number(0x30, expected)
        return Wire.bytes(0x0a, compare) + Wire.bytes(0x12, Wire.bytes(0x1a, Wire.text(0x0a, Self.pod)))
            + Wire.bytes(0x1a, Wire.bytes(0x0a, Wire.text(0x0a, Self.pod)))
    }

    @Test func `Txn: an object is created once, updated at its revision, and deleted at it`() async throws {
        let face = try await fresh()
        let created = optimisticPut("one", expected: 0, getOnFailure: false)
        // succeeded, and the put's own header.
        let put = { (revision: Int64) in
            self.header(face, revision) + [0x10, 1] + Wire.bytes(0x1a, Wire.bytes(0x12, self.inner(revision)))
        }
        #expect(try await call(face, "KV/Txn", created) == put(2))
        // Again: not succeeded, and nothing was asked for then.
        #expect(try await call(face, "KV/Txn", created) == header(face, 2))
        #expect(
            try await call(face, "KV/Txn", optimisticPut("two", expected: 2, getOnFailure: true)) == put(3))
        let now = record(Self.pod, "two", created: 2, modified: 3, version: 2)
        let found =
            header(face, 3)
            + Wire.bytes(0x1a, Wire.bytes(0x0a, inner(3) + Wire.bytes(0x12, now) + [0x20, 1]))
        #expect(try await call(face, "KV/Txn", optimisticPut("x", expected: 2, getOnFailure: true)) == found)
        #expect(try await call(face, "KV/Txn", optimisticDelete(expected: 2)) == found)
        let deleted =
            header(face, 4) + [0x10, 1] + Wire.bytes(0x1a, Wire.bytes(0x1a, inner(4) + [0x10, 1]))
        #expect(try await call(face, "KV/Txn", optimisticDelete(expected: 3)) == deleted)
        // Of what is not there the get finds nothing.
        let nothing =
            header(face, 4) + Wire.bytes(0x1a, Wire.bytes(0x0a, inner(4)))
        #expect(try await call(face, "KV/Txn", optimisticDelete(expected: 3)) == nothing)
        try await face.end()
    }

    private func fill(_ face: Face, _ count: Int) async throws {
        for i in 0..<count { try await face.put("\(Self.prefix)ns/p\(i)", "v\(i)") }
    }

    private func listed(_ range: Range<Int>) -> [UInt8] {
        range.flatMap { i in
            Wire.bytes(
                0x12,
                record("\(Self.prefix)ns/p\(i)", "v\(i)", created: Int64(2 + i), modified: Int64(2 + i), version: 1))
        }
    }

    private func list(from start: String, limit: Int64, revision: Int64) -> [UInt8] {
        Wire.text(0x0a, start) + Wire.text(0x12, Self.prefixEnd) + (limit == 0 ? [] : Wire.number(0x18, limit))
            + (revision == 0 ? [] : Wire.number(0x20, revision))
    }

    @Test func `Range: one object, a list in pages at one revision, and a count`() async throws {
        let face = try await fresh()
        try await fill(face, 5)
        // Get: limit 1.
        let one = Wire.text(0x0a, "\(Self.prefix)ns/p1") + Wire.number(0x18, 1)
        #expect(try await call(face, "KV/Range", one) == header(face, 6) + listed(1..<2) + [0x20, 1])
        let absent = Wire.text(0x0a, "\(Self.prefix)ns/none") + Wire.number(0x18, 1)
        #expect(try await call(face, "KV/Range", absent) == header(face, 6))
        #expect(
            try await call(face, "KV/Range", list(from: Self.prefix, limit: 2, revision: 0))
                == header(face, 6) + listed(0..<2) + [0x18, 1, 0x20, 5])
        try await face.put("\(Self.prefix)ns/p3", "changed later")
        // The next page begins behind the last key, and sees the revision of the first.
        let next = list(from: "\(Self.prefix)ns/p1\0", limit: 2, revision: 6)
        #expect(try await call(face, "KV/Range", next) == header(face, 7) + listed(2..<4) + [0x18, 1, 0x20, 3])
        let last = list(from: "\(Self.prefix)ns/p3\0", limit: 2, revision: 6)
        #expect(try await call(face, "KV/Range", last) == header(face, 7) + listed(4..<5) + [0x20, 1])
        // Count: the flag stands alone.
        let count = Wire.text(0x0a, Self.prefix) + Wire.text(0x12, Self.prefixEnd) + [0x48, 1]
        #expect(try await call(face, "KV/Range", count) == header(face, 7) + [0x20, 5])
        let future = list(from: Self.prefix, limit: 0, revision: 99)
        #expect(
            await face.refusal("etcdserverpb.KV/Range", future)
                == GRPCStatus(.outOfRange, "etcdserver: mvcc: required revision is a future revision"))
        try await face.end()
    }

    @Test func `RangeStream: the list in pieces, put together, is the list`() async throws {
        let face = try await fresh()
        try await fill(face, 5)
        let asked = list(from: Self.prefix, limit: 0, revision: 6)
        let stream = try await face.channel.serverStream("/etcdserverpb.KV/RangeStream", asked)
        var pieces: [[UInt8]] = []
        while let piece = try await stream.next() { pieces.append(piece) }
        // A piece is a range answer in field 1.
        #expect(pieces == [Wire.bytes(0x0a, header(face, 6) + listed(0..<5) + [0x20, 5])])
        try await face.end()
    }

    @Test func `Compact: one member of many compacts, at a revision that stands in a key`() async throws {
        let face = try await fresh()
        try await fill(face, 3)
        // Compare version = t, then put the revision, else get.
        let compact = { (time: Int64, revision: String) in
            Wire.bytes(0x0a, Wire.text(0x1a, "compact_rev_key") + Wire.number(0x20, time))
                + Wire.bytes(
                    0x12, Wire.bytes(0x12, Wire.text(0x0a, "compact_rev_key") + Wire.text(0x12, revision)))
                + Wire.bytes(0x1a, Wire.bytes(0x0a, Wire.text(0x0a, "compact_rev_key")))
        }
        let put = header(face, 5) + [0x10, 1] + Wire.bytes(0x1a, Wire.bytes(0x12, inner(5)))
        #expect(try await call(face, "KV/Txn", compact(0, "4")) == put)
        let mark = record("compact_rev_key", "4", created: 5, modified: 5, version: 1)
        let other =
            header(face, 5)
            + Wire.bytes(0x1a, Wire.bytes(0x0a, inner(5) + Wire.bytes(0x12, mark) + [0x20, 1]))
        #expect(try await call(face, "KV/Txn", compact(0, "5")) == other)
        #expect(try await call(face, "KV/Compact", Wire.number(0x08, 4)) == header(face, 5))
        let compacted = GRPCStatus(.outOfRange, "etcdserver: mvcc: required revision has been compacted")
        #expect(await face.refusal("etcdserverpb.KV/Compact", Wire.number(0x08, 4)) == compacted)
        #expect(
            await face.refusal("etcdserverpb.KV/Range", list(from: Self.prefix, limit: 0, revision: 3)) == compacted)
        #expect(
            try await call(face, "KV/Range", list(from: Self.prefix, limit: 0, revision: 4))
                == header(face, 5) + listed(0..<3) + [0x20, 3])
        try await face.end()
    }

    private func event(_ kind: UInt8, _ current: [UInt8], _ previous: [UInt8]?) -> [UInt8] {
        Wire.bytes(
            0x5a,
            (kind == 0 ? [] : [0x08, kind]) + Wire.bytes(0x12, current)
                + (previous.map { Wire.bytes(0x1a, $0) } ?? []))
    }

    @Test func `Watch: every change behind a revision with its previous value, and progress when it is asked for`()
        async throws
    {
        let face = try await fresh()
        _ = try await call(face, "KV/Txn", optimisticPut("one", expected: 0, getOnFailure: false))
        let watch = try await face.channel.open("/etcdserverpb.Watch/Watch", metadata: [("hasleader", "true")])
        // Key, end, start, progress_notify, prev_kv.
        watch.send(
            Wire.bytes(
                0x0a,
                Wire.text(0x0a, Self.prefix) + Wire.text(0x12, Self.prefixEnd) + Wire.number(0x18, 3) + [0x20, 1]
                    + [0x30, 1]))
        #expect(try await watch.next() == header(face, 2) + [0x18, 1])
        _ = try await call(face, "KV/Txn", optimisticPut("two", expected: 2, getOnFailure: true))
        _ = try await call(face, "KV/Txn", optimisticDelete(expected: 3))
        let first = record(Self.pod, "one", created: 2, modified: 2, version: 1)
        let second = record(Self.pod, "two", created: 2, modified: 3, version: 2)
        let gone = Wire.text(0x0a, Self.pod) + Wire.number(0x18, 4)
        for expected in [
            header(face, 3) + event(0, second, first), header(face, 4) + event(1, gone, second)
        ] {
            var answer = try await watch.next()
            // It may be told how far the store is at any time.
            while let told = answer, try WatchAnswer(told).isProgress { answer = try await watch.next() }
            #expect(answer == expected)
        }
        try await face.put("elsewhere", "1")
        watch.send(Wire.bytes(0x1a, []))
        var asked = try await watch.next()
        while let told = asked, try WatchAnswer(told).id != -1 { asked = try await watch.next() }
        #expect(asked == header(face, 5) + Wire.number(0x10, -1))
        // From a revision that is gone: cancelled, with the oldest that is there.
        try await face.replica.compact(to: Revision(4))
        let late = try await face.channel.open("/etcdserverpb.Watch/Watch", metadata: [("hasleader", "true")])
        late.send(Wire.bytes(0x0a, Wire.text(0x0a, Self.pod) + Wire.number(0x18, 2)))
        #expect(try await late.next() == header(face, 5) + [0x18, 1])
        let reason = "etcdserver: mvcc: required revision has been compacted"
        #expect(try await late.next() == header(face, 5) + [0x20, 1, 0x28, 4] + Wire.text(0x32, reason))
        watch.cancel()
        late.cancel()
        try await face.end()
    }

    @Test func `LeaseGrant: a lease for events, which end with it`() async throws {
        let face = try await fresh()
        let granted = try Fields(try await call(face, "Lease/LeaseGrant", Wire.number(0x08, 3600)))
        let lease = granted[2]
        #expect(lease > 0)
        #expect(
            try await call(face, "Lease/LeaseTimeToLive", Wire.number(0x08, lease)).starts(with: header(face, 1)))
        #expect(granted[3] == 3600)
        let put = optimisticPut("event", expected: 0, lease: lease, getOnFailure: false)
        _ = try await call(face, "KV/Txn", put)
        let get = Wire.text(0x0a, Self.pod) + Wire.number(0x18, 1)
        let kept = record(Self.pod, "event", created: 2, modified: 2, version: 1, lease: lease)
        #expect(try await call(face, "KV/Range", get) == header(face, 2) + Wire.bytes(0x12, kept) + [0x20, 1])
        try await face.replica.revokeLease(LeaseID(rawValue: lease))
        #expect(try await call(face, "KV/Range", get) == header(face, 3))
        try await face.end()
    }

    @Test func `Status: the version by which features are chosen, sizes, and who leads`() async throws {
        let face = try await fresh()
        try await face.put("k", "1")
        let status = try Fields(try await call(face, "Maintenance/Status", []))
        #expect(status.texts(2) == ["3.6.0"] && status.texts(11) == ["3.6.0"])
        #expect(status[3] > 0 && status[9] > 0 && status[9] <= status[3])
        #expect(status[4] == Int64(bitPattern: face.replica.configuration.id.rawValue))
        #expect(status[5] >= status[7] && status[7] > 0 && status[6] == Int64(face.replica.status.term.rawValue))
        #expect(status.texts(8).isEmpty && status[10] == 0 && status[12] == 2 << 30)
        try await face.end()
    }
}
