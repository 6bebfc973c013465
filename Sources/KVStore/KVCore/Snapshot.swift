// The whole state as a sequence of pieces, and back. The sender walks an immutable snapshot with a cursor, so that no
// second copy of the state is ever made; the receiver builds a new state beside its old one and swaps when the last
// piece has come.
import Raft

/// Makes the pieces.
package struct SnapshotSource: Sendable {
    private let state: StateMachine
    private let pieceBytes: Int
    private var cursor: Key?
    private var leases: ArraySlice<Lease>
    private var sessions: ArraySlice<Session>
    private var history: ArraySlice<RevisionEvents>
    private var hasHead = false
    package private(set) var isDone = false

    /// `pieceBytes`: a piece is full when it has so many.
    package init(_ state: StateMachine, pieceBytes: Int = ReplicaLimits().snapshotPieceBytes) {
        self.state = state
        self.pieceBytes = pieceBytes
        cursor = Key([])
        leases = state.leases.sorted[...]
        sessions = state.sessions.sorted[...]
        history = state.history.flatMap { $0.parts(bytesMax: pieceBytes) }[...]
    }

    package mutating func next() -> [UInt8] {
        var writer = ByteWriter(capacity: pieceBytes + 4096)
        if !hasHead { putHead(&writer) }
        while writer.bytes.count < pieceBytes, let lease = leases.popFirst() { writer.put(byte: 3); writer.put(lease) }
        while writer.bytes.count < pieceBytes, let session = sessions.popFirst() {
            writer.put(byte: 4)
            writer.put(session)
        }
        putRecords(&writer)
        while cursor == nil, writer.bytes.count < pieceBytes, let item = history.popFirst() {
            writer.put(byte: 6)
            writer.put(item)
        }
        isDone = leases.isEmpty && sessions.isEmpty && cursor == nil && history.isEmpty
        return writer.bytes
    }

    private mutating func putHead(_ writer: inout ByteWriter) {
        hasHead = true
        writer.put(byte: 1)
        writer.put(state.counters)
        if state.clusterVersion != EntryFormat.oldest { writer.put(byte: 7); writer.put(byte: state.clusterVersion) }
        for member in state.sortedMembers { writer.put(byte: 5); writer.put(member) }
    }

    private mutating func putRecords(_ writer: inout ByteWriter) {
        guard let start = cursor else { return }
        var next: Key?
        state.tree.forEach(KeyRange(lower: start, upper: nil)) { record in
            guard writer.bytes.count < pieceBytes else {
                next = record.key
                return false
            }
            writer.put(byte: 2)
            writer.put(record)
            return true
        }
        cursor = next
    }
}

/// Takes the pieces.
package struct SnapshotSink: Sendable {
    private let bytesMax: Int
    private var bytes = 0
    private var counters: StateCounters?
    private var clusterVersion = EntryFormat.oldest
    private var records = OrderedTree()
    private var leases: [Lease] = []
    private var sessions: [Session] = []
    private var members: [Member] = []
    private var history: [RevisionEvents] = []

    /// `bytesMax`: of all pieces together.
    package init(bytesMax: Int = .max) { self.bytesMax = bytesMax }

    package mutating func add(_ piece: [UInt8]) throws(DecodeError) {
        guard piece.count <= bytesMax - bytes else { throw DecodeError() }
        bytes += piece.count
        var reader = ByteReader(piece)
        while !reader.isAtEnd {
            switch try reader.byte() {
            case 1: counters = try reader.stateCounters()
            case 2: records.put(try reader.record())
            case 3: leases.append(try reader.lease())
            case 4: sessions.append(try reader.session())
            case 5: members.append(try reader.member())
            case 6: history.join(try reader.revisionEvents())
            case 7: clusterVersion = try reader.byte()
            default: throw DecodeError()
            }
        }
    }

    /// nil: the head is missing, or its counters cannot be.
    package func finish() -> StateMachine? {
        guard var counters, counters.isPossible else { return nil }
        counters.clusterVersion = clusterVersion
        return StateMachine(
            counters: counters, records: records, leases: leases, sessions: sessions, members: members, history: history
        )
    }
}

extension ByteWriter {
    /// All but the cluster's version.
    package mutating func put(_ counters: StateCounters) {
        put(counters.applied)
        put(counters.revision.rawValue)
        put(counters.compactRevision.rawValue)
        put(counters.logTime)
    }

    package mutating func put(_ item: RevisionEvents) {
        put(item.revision.rawValue)
        put(list: item.events) { $0.put($1) }
    }
}

extension ByteReader {
    package mutating func stateCounters() throws(DecodeError) -> StateCounters {
        var counters = StateCounters()
        counters.applied = try entryID()
        counters.revision = Revision(try signed())
        counters.compactRevision = Revision(try signed())
        counters.logTime = try signed()
        return counters
    }

    package mutating func revisionEvents() throws(DecodeError) -> RevisionEvents {
        let revision = Revision(try signed())
        return RevisionEvents(
            revision: revision, events: try list { (r: inout ByteReader) throws(DecodeError) in try r.event() })
    }
}
