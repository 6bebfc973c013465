// The byte form of Raft's messages and entries, for the wire; the records of the log hold entries in the same form.
// Decoding checks form only; whether the content is sane is checked by Raft before it looks at anything.
import Raft

extension ByteWriter {
    package mutating func put(_ message: Message) {
        put(message.from.rawValue)
        put(message.to.rawValue)
        put(message.term.rawValue)
        switch message.body {
        case .preVote(let last): put(byte: 1); put(last)
        case .preVoteResponse(let granted): put(byte: 2); put(flag: granted)
        case .vote(let last, let isTransfer): put(byte: 3); put(last); put(flag: isTransfer)
        case .voteResponse(let granted): put(byte: 4); put(flag: granted)
        case .append(let append):
            put(byte: 5)
            put(append.previous)
            put(append.commit.rawValue)
            put(list: append.entries) { $0.put($1) }
        case .appendResponse(let response):
            put(byte: 6)
            put(response.index.rawValue)
            put(optional: response.rejection) { $0.put($1) }
            put(flag: response.isAmnesiac)
        case .heartbeat(let commit, let round): put(byte: 7); put(commit.rawValue); put(round)
        case .heartbeatResponse(let round): put(byte: 8); put(round)
        case .commit(let index): put(byte: 9); put(index.rawValue)
        case .readIndex(let context): put(byte: 10); put(context)
        case .readIndexResponse(let context, let index): put(byte: 11); put(context); put(index.rawValue)
        case .installSnapshot(let metadata): put(byte: 12); put(metadata)
        case .timeoutNow: put(byte: 13)
        }
    }

    package mutating func put(_ id: EntryID) {
        put(id.index.rawValue)
        put(id.term.rawValue)
    }

    package mutating func put(_ metadata: SnapshotMetadata) {
        put(metadata.id)
        put(metadata.configuration.encode())
    }

    package mutating func put(_ entry: Entry) {
        put(entry.term.rawValue)
        put(entry.index.rawValue)
        put(byte: entry.kind.rawValue)
        put(entry.data)
        put(optional: entry.fence) { $0.put($1.rawValue) }
    }
}

extension ByteReader {
    package mutating func message() throws(DecodeError) -> Message {
        let from = PeerID(try unsigned())
        let to = PeerID(try unsigned())
        let term = Term(try unsigned())
        return Message(from: from, to: to, term: term, try body())
    }

    private mutating func body() throws(DecodeError) -> Message.Body {
        switch try byte() {
        case 1: return .preVote(last: try entryID())
        case 2: return .preVoteResponse(granted: try flag())
        case 3: return .vote(last: try entryID(), isTransfer: try flag())
        case 4: return .voteResponse(granted: try flag())
        case 5:
            let previous = try entryID()
            let commit = LogIndex(try unsigned())
            let entries = try list { (r: inout ByteReader) throws(DecodeError) in try r.entry() }
            return .append(.init(previous: previous, entries: entries, commit: commit))
        case 6:
            let index = LogIndex(try unsigned())
            let rejection = try optional { (r: inout ByteReader) throws(DecodeError) in try r.entryID() }
            return .appendResponse(.init(index: index, rejection: rejection, isAmnesiac: try flag()))
        case 7: return .heartbeat(commit: LogIndex(try unsigned()), round: try unsigned())
        case 8: return .heartbeatResponse(round: try unsigned())
        case 9: return .commit(LogIndex(try unsigned()))
        case 10: return .readIndex(context: try unsigned())
        case 11: return .readIndexResponse(context: try unsigned(), index: LogIndex(try unsigned()))
        case 12: return .installSnapshot(try snapshotMetadata())
        case 13: return .timeoutNow
        default: throw DecodeError()
        }
    }

    package mutating func entryID() throws(DecodeError) -> EntryID {
        EntryID(index: LogIndex(try unsigned()), term: Term(try unsigned()))
    }

    package mutating func snapshotMetadata() throws(DecodeError) -> SnapshotMetadata {
        let id = try entryID()
        guard let configuration = Configuration(decoding: try data()) else { throw DecodeError() }
        return SnapshotMetadata(index: id.index, term: id.term, configuration: configuration)
    }

    package mutating func entry() throws(DecodeError) -> Entry {
        let term = Term(try unsigned())
        let index = LogIndex(try unsigned())
        guard let kind = Entry.Kind(rawValue: try byte()) else { throw DecodeError() }
        let data = try data()
        let fence = try optional { (r: inout ByteReader) throws(DecodeError) in Term(try r.unsigned()) }
        return Entry(term: term, index: index, kind: kind, data: data, fence: fence)
    }
}
