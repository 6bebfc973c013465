// The state database at start: everything is read, and compared with what was written. A database that cannot say how far
// it is and who takes part is refused; any other damage is told, and another state is fetched.
import KVCore
import Raft
import Synchronization

extension StateStore {
    /// What was read, and whether it is what was written.
    struct Found {
        var state: StateMachine
        var configuration: Configuration
        var isDamaged = false
    }

    /// nil: nothing was ever written.
    func load() throws(DiskError) -> Found? {
        let meta = try database.prepare("SELECT format, counters, configuration, members FROM meta WHERE id = 0")
        defer { meta.reset() }
        guard try meta.step() else { return nil }
        let format = meta.integer(0)
        guard Self.formats.contains(format) else {
            throw .failed("state.sqlite has format \(format), this program knows \(Self.formats)")
        }
        let numbers = try numbers(of: meta, isSummed: format > 2)
        let (counters, hash) = try decode(numbers) { (r: inout ByteReader) throws(DecodeError) in
            try r.countersAndHash()
        }
        let members = try decode(meta.bytes(3)) { (r: inout ByteReader) throws(DecodeError) in
            try r.list { (r: inout ByteReader) throws(DecodeError) in try r.member() }
        }
        let configuration = meta.bytes(2).isEmpty ? Configuration.empty : Configuration(decoding: meta.bytes(2))
        guard let configuration else { throw .damaged("state.sqlite: configuration") }
        do throws(DiskError) {
            let state = try loadState(counters, members, isFolded: format == 1)
            let isOther = hash.map { $0 != state.stateHash } ?? false
            let isNoted = try isCondemned()
            let isDamaged = isOther || isNoted
            guarded.withLock { $0.isDamaged = isDamaged }
            return Found(state: state, configuration: configuration, isDamaged: isDamaged)
        } catch {
            guard case .damaged = error else { throw error }
            guarded.withLock { $0 = Guarded(applied: counters.applied.index, isDamaged: true) }
            let nothing = StateMachine(
                counters: counters, records: OrderedTree(), leases: [], sessions: [], members: members, history: [])
            return Found(state: nothing, configuration: configuration, isDamaged: true)
        }
    }

    private func loadState(
        _ counters: StateCounters, _ members: [Member], isFolded: Bool
    ) throws(DiskError) -> StateMachine {
        var builder = OrderedTreeBuilder()
        try rows(
            "SELECT record FROM current ORDER BY key", { (r: inout ByteReader) throws(DecodeError) in try r.record() }
        ) {
            builder.append($0)
        }
        guard var records = builder.finish() else { throw .damaged("state.sqlite: keys out of order") }
        let folding = try replay(onto: &records, through: counters.revision, isFolded: isFolded)
        var leases: [Lease] = []
        try rows("SELECT lease FROM leases ORDER BY id", { (r: inout ByteReader) throws(DecodeError) in try r.lease() })
        {
            leases.append($0)
        }
        var sessions: [Session] = []
        try rows("SELECT session FROM sessions", { (r: inout ByteReader) throws(DecodeError) in try r.session() }) {
            sessions.append($0)
        }
        let history = try loadHistory(counters)
        guarded.withLock { $0 = Guarded(applied: counters.applied.index, folding: folding) }
        return StateMachine(
            counters: counters, records: records, leases: leases, sessions: sessions, members: members, history: history
        )
    }

    private func loadHistory(_ counters: StateCounters) throws(DiskError) -> [RevisionEvents] {
        let first = max(
            counters.compactRevision.rawValue, counters.revision.rawValue &- Int64(EventWindow.revisionsMaxDefault))
        let newest = try database.prepare("SELECT events FROM history WHERE revision >= ?1 ORDER BY revision DESC")
            .bind(1, first)
        defer { newest.reset() }
        var history: [RevisionEvents] = []
        var bytes = 0
        let parts = try HistoryParts(self)
        // What the window cannot hold is not read.
        while bytes <= EventWindow.bytesMaxDefault, try newest.step() {
            let item = try parts.whole(try revisionEvents(newest.bytes(0)))
            bytes += item.bytes
            history.append(item)
        }
        return history.reversed()
    }

    /// The counters with what belongs to them; checked against the whole row where it has a checksum.
    private func numbers(of meta: Statement, isSummed: Bool) throws(DiskError) -> [UInt8] {
        let bytes = meta.bytes(1)
        guard isSummed else { return bytes }
        let numbers = Array(bytes.dropLast(8))
        var sum = ByteWriter()
        sum.put(fixed: Self.sum([numbers, meta.bytes(2), meta.bytes(3)]))
        guard sum.bytes == Array(bytes.suffix(8)) else {
            throw .damaged("state.sqlite: how far it is applied, or by whom, is not what was written")
        }
        return numbers
    }

    private func rows<T>(
        _ sql: String, _ decoded: (inout ByteReader) throws(DecodeError) -> T, _ take: (T) -> Void
    ) throws(DiskError) {
        let statement = try database.prepare(sql)
        defer { statement.reset() }
        while try statement.step() { take(try decode(statement.bytes(0), decoded)) }
    }

    func decode<T>(
        _ bytes: [UInt8], _ decoded: (inout ByteReader) throws(DecodeError) -> T
    ) throws(DiskError) -> T {
        var reader = ByteReader(bytes)
        do throws(DecodeError) {
            let value = try decoded(&reader)
            guard reader.isAtEnd else { throw DecodeError() }
            return value
        } catch { throw .damaged("state.sqlite: a row cannot be read") }
    }
}

extension ByteReader {
    /// The hash is missing where an earlier program wrote.
    fileprivate mutating func countersAndHash() throws(DecodeError) -> (StateCounters, UInt64?) {
        var counters = try stateCounters()
        guard !isAtEnd else { return (counters, nil) }
        counters.clusterVersion = try byte()
        return (counters, try optional { (r: inout ByteReader) throws(DecodeError) in try r.fixed() })
    }
}
