// The state database at start: everything is read, and compared with what was written. Whatever is not as it was written
// is told, and another state is fetched; only what is another cluster's, or of a newer program, is refused.
import KVCore
import Raft
import Synchronization

extension StateStore {
    /// What a start finds in it.
    enum Found {
        /// Nothing was ever written.
        case nothing
        case whole(StateMachine, Configuration)
        /// How far it is and who takes part is known; the rest is not what was written.
        case damaged(String, StateMachine, Configuration)
        /// Nothing that it says can be believed.
        case unknown(String)
    }

    func load() throws(DiskError) -> Found {
        let found: Found
        do throws(DiskError) { found = try read() } catch {
            guard case .damaged(let text) = error else { throw error }
            found = .unknown(text)
        }
        let copied = copiedMembers()
        guarded.withLock { guarded in
            switch found {
            case .nothing: break
            case .whole(let state, let configuration):
                guarded.present = copy(configuration, state.sortedMembers)
                guarded.copied = copied
            case .damaged(let text, let state, _): guarded = Guarded(applied: state.appliedIndex, damage: text)
            case .unknown(let text): guarded = Guarded(damage: text)
            }
        }
        return found
    }

    private func read() throws(DiskError) -> Found {
        let (damage, schema) = guarded.withLock { ($0.damage, $0.schema) }
        if let damage { return .unknown(damage) }
        // First of all: a file that cannot be read says so in many ways.
        let verdict = try verdict()
        if verdict == Self.isUnreadable { database.isUnreadable = true }
        if let name = schema.altered { return .unknown("state.sqlite: its table \(name) is not as it was made") }
        guard !schema.missing.contains("meta") || schema.isNew else { return .unknown("state.sqlite: a table is gone") }
        let meta = try database.prepare("SELECT format, counters, configuration, members FROM meta WHERE id = 0")
        defer { meta.reset() }
        guard try meta.step() else {
            return try isEmpty() ? .nothing : .unknown("state.sqlite: how far it is applied is missing")
        }
        let format = meta.integer(0)
        guard format <= Self.formats.upperBound else {
            throw .failed("state.sqlite has format \(format), this program knows \(Self.formats)")
        }
        guard Self.formats.contains(format) else { throw .damaged("state.sqlite has no format") }
        // Before, there were fewer tables.
        if format > 3, let name = schema.missing.first { return .unknown("state.sqlite: its table \(name) is gone") }
        if !schema.missing.isEmpty { try Self.makeTables(database) }
        let head = try head(of: meta, format)
        do throws(DiskError) {
            let state = try loadState(head.counters, head.members, isFolded: format == 1)
            guard verdict == 0 || verdict == Self.isDoubted else {
                return .damaged("state.sqlite: damage was met", state, head.configuration)
            }
            guard head.hash.map({ $0 == state.stateHash }) ?? true else {
                return .damaged("state.sqlite: its keys are not what was written", state, head.configuration)
            }
            if verdict == Self.isDoubted { try lookAtPast(head.counters) }
            return .whole(state, head.configuration)
        } catch {
            guard case .damaged(let text) = error else { throw error }
            return .damaged(text, StateMachine(head.counters, head.members), head.configuration)
        }
    }

    /// How far it is, and by whom.
    private struct Head {
        var counters: StateCounters
        var hash: UInt64?
        var members: [Member]
        var configuration: Configuration
    }

    private func head(of meta: Statement, _ format: Int64) throws(DiskError) -> Head {
        let numbers = try numbers(of: meta, isSummed: format > 2)
        let (counters, hash, owner) = try decode(numbers) { (r: inout ByteReader) throws(DecodeError) in
            try r.countersHashAndCluster()
        }
        if let cluster, let owner, owner != cluster {
            throw .failed(
                "state.sqlite belongs to cluster \(String(owner, radix: 16)), this member to "
                    + "\(String(cluster, radix: 16)): put back its own, or remove the member and let it join anew")
        }
        let members = try decode(meta.bytes(3)) { (r: inout ByteReader) throws(DecodeError) in
            try r.list { (r: inout ByteReader) throws(DecodeError) in try r.member() }
        }
        let configuration = meta.bytes(2).isEmpty ? Configuration.empty : Configuration(decoding: meta.bytes(2))
        guard let configuration, counters.isPossible else { throw .damaged("state.sqlite: configuration") }
        return Head(counters: counters, hash: hash, members: members, configuration: configuration)
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
    /// The hash, and whose it is, are missing where an earlier program wrote.
    fileprivate mutating func countersHashAndCluster() throws(DecodeError) -> (StateCounters, UInt64?, UInt64?) {
        var counters = try stateCounters()
        guard !isAtEnd else { return (counters, nil, nil) }
        counters.clusterVersion = try byte()
        let hash = try optional { (r: inout ByteReader) throws(DecodeError) in try r.fixed() }
        guard !isAtEnd else { return (counters, hash, nil) }
        return (counters, hash, try optional { (r: inout ByteReader) throws(DecodeError) in try r.fixed() })
    }
}

extension StateMachine {
    /// Nothing but how far it is and who takes part.
    init(_ counters: StateCounters, _ members: [Member]) {
        self.init(
            counters: counters, records: OrderedTree(), leases: [], sessions: [], members: members, history: [])
    }
}
