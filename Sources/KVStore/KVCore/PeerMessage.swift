// What replicas say to each other: Raft's messages, proposals on their way to the leader, and snapshots in chunks. All
// of it may be lost, repeated or reordered by the transport. The byte form is our own; decoding hostile bytes throws,
// it never traps.
import Raft

/// A proposal that another peer should append.
package struct ForwardedProposal: Hashable, Sendable {
    package var serial: UInt64
    package var fence: Term?
    /// An encoded `ClientProposal`.
    package var data: [UInt8]
    package init(serial: UInt64, fence: Term?, data: [UInt8]) {
        self.serial = serial
        self.fence = fence
        self.data = data
    }
}

/// A piece of a snapshot; `message` is there on the last one: what Raft is told when all pieces have come.
package struct SnapshotChunk: Hashable, Sendable {
    package var transfer: UInt64
    package var sequence: UInt64
    package var data: [UInt8]
    package var message: Message?
    /// Of a state for a replica whose own is wrong: its log stays.
    package var isRepair = false

    package init(
        transfer: UInt64, sequence: UInt64, data: [UInt8], message: Message? = nil, isRepair: Bool = false
    ) {
        self.transfer = transfer
        self.sequence = sequence
        self.data = data
        self.message = message
        self.isRepair = isRepair
    }
}

/// The body of one message between replicas.
package enum PeerMessage: Hashable, Sendable {
    case raft(Message)
    case propose([ForwardedProposal])
    /// These were not appended: the sender does not lead, or has no room.
    case proposeRefused([UInt64])
    case snapshotChunk(SnapshotChunk)
    /// `next`: the piece that is wanted; nil: give up.
    case snapshotAnswer(transfer: UInt64, next: UInt64?)
    /// To the leader; whether it was done is seen in the configuration.
    case change(MemberChange)
    /// To the leader: the hash of the sender's state after this entry.
    case stateReport(LogIndex, hash: UInt64)
    /// From the leader: a majority has this hash.
    case stateVerdict(LogIndex, hash: UInt64)
    /// The sender's state is wrong.
    case stateWanted
    /// To the leader: the newest version of entries that the sender understands.
    case understands(UInt8)
    /// To a witness, which does not keep the commands that say it: who is reached where, as of this entry.
    case directory(LogIndex, [Member])
    /// To the leader: whether little room is left on the sender's disk. Said while it is so, and once when it is not.
    case diskLow(Bool)
    /// From the leader: whether what makes the state grow is to be refused; likewise.
    case growthRefused(Bool)
    /// To the leader: whether the sender's own state is wrong. From the leader: what is known of all. Likewise.
    case stateTroubles(StateTroubles)
}

/// A wish about members or leadership.
package enum MemberChange: Hashable, Sendable {
    case addLearner(PeerID)
    /// A learner that is a witness.
    case addWitness(PeerID)
    case promote(PeerID)
    case remove(PeerID)
    /// nil: to whoever is best caught up.
    case transfer(PeerID?)
}

/// A message with its receiver.
package struct Envelope: Hashable, Sendable {
    package var to: PeerID
    package var message: PeerMessage
    package init(to: PeerID, _ message: PeerMessage) {
        self.to = to
        self.message = message
    }
}

extension PeerMessage {
    package func encode() -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        encode(into: &writer)
        return writer.bytes
    }

    package func encode(into writer: inout ByteWriter) {
        switch self {
        case .raft(let message): writer.put(byte: 1); writer.put(message)
        case .propose(let list):
            writer.put(byte: 2)
            writer.put(list: list) { writer, one in
                writer.put(one.serial)
                writer.put(optional: one.fence) { $0.put($1.rawValue) }
                writer.put(one.data)
            }
        case .proposeRefused(let serials): writer.put(byte: 3); writer.put(list: serials) { $0.put($1) }
        case .snapshotChunk(let chunk):
            writer.put(byte: 4)
            writer.put(chunk.transfer)
            writer.put(chunk.sequence)
            writer.put(chunk.data)
            writer.put(optional: chunk.message) { $0.put($1) }
            writer.put(flag: chunk.isRepair)
        case .snapshotAnswer(let transfer, let next):
            writer.put(byte: 5)
            writer.put(transfer)
            writer.put(optional: next) { $0.put($1) }
        case .change(let change): writer.put(byte: 6); writer.put(change)
        case .stateReport(let index, let hash): writer.put(byte: 7); writer.put(index.rawValue); writer.put(hash)
        case .stateVerdict(let index, let hash): writer.put(byte: 8); writer.put(index.rawValue); writer.put(hash)
        case .stateWanted: writer.put(byte: 9)
        case .understands(let version): writer.put(byte: 10); writer.put(byte: version)
        case .directory(let index, let members):
            writer.put(byte: 11)
            writer.put(index.rawValue)
            writer.put(list: members) { $0.put($1) }
        case .diskLow(let isLow): writer.put(byte: 12); writer.put(flag: isLow)
        case .growthRefused(let isRefused): writer.put(byte: 13); writer.put(flag: isRefused)
        case .stateTroubles(let troubles):
            writer.put(byte: 14)
            writer.put(list: troubles.wrong) { $0.put($1.rawValue) }
            writer.put(flag: troubles.isUndecided)
        }
    }

    package init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        self = try PeerMessage.decode(&reader)
        guard reader.isAtEnd else { throw DecodeError() }
    }

    private static func decode(_ reader: inout ByteReader) throws(DecodeError) -> PeerMessage {
        switch try reader.byte() {
        case 1: return .raft(try reader.message())
        case 2:
            let list = try reader.list { (r: inout ByteReader) throws(DecodeError) in
                let serial = try r.unsigned()
                let fence = try r.optional { (r: inout ByteReader) throws(DecodeError) in Term(try r.unsigned()) }
                return ForwardedProposal(serial: serial, fence: fence, data: try r.data())
            }
            return .propose(list)
        case 3:
            return .proposeRefused(try reader.list { (r: inout ByteReader) throws(DecodeError) in try r.unsigned() })
        case 4:
            let transfer = try reader.unsigned()
            let sequence = try reader.unsigned()
            let data = try reader.data()
            let message = try reader.optional { (r: inout ByteReader) throws(DecodeError) in try r.message() }
            let isRepair = try reader.flag()
            return .snapshotChunk(
                SnapshotChunk(
                    transfer: transfer, sequence: sequence, data: data, message: message, isRepair: isRepair))
        case 5:
            let transfer = try reader.unsigned()
            let next = try reader.optional { (r: inout ByteReader) throws(DecodeError) in try r.unsigned() }
            return .snapshotAnswer(transfer: transfer, next: next)
        case 6: return .change(try reader.memberChange())
        case 7: return .stateReport(LogIndex(try reader.unsigned()), hash: try reader.unsigned())
        case 8: return .stateVerdict(LogIndex(try reader.unsigned()), hash: try reader.unsigned())
        case 9: return .stateWanted
        case 10: return .understands(try reader.byte())
        case 11:
            let index = LogIndex(try reader.unsigned())
            let members = try reader.list { (r: inout ByteReader) throws(DecodeError) in try r.member() }
            return .directory(index, members)
        case 12: return .diskLow(try reader.flag())
        case 13: return .growthRefused(try reader.flag())
        case 14:
            let wrong = try reader.list { (r: inout ByteReader) throws(DecodeError) in PeerID(try r.unsigned()) }
            return .stateTroubles(StateTroubles(wrong: wrong, isUndecided: try reader.flag()))
        default: throw DecodeError()
        }
    }
}

extension ByteWriter {
    mutating func put(_ change: MemberChange) {
        switch change {
        case .addLearner(let peer): put(byte: 1); put(peer.rawValue)
        case .promote(let peer): put(byte: 2); put(peer.rawValue)
        case .remove(let peer): put(byte: 3); put(peer.rawValue)
        case .transfer(let peer): put(byte: 4); put(optional: peer) { $0.put($1.rawValue) }
        case .addWitness(let peer): put(byte: 5); put(peer.rawValue)
        }
    }
}

extension ByteReader {
    mutating func memberChange() throws(DecodeError) -> MemberChange {
        switch try byte() {
        case 1: return .addLearner(PeerID(try unsigned()))
        case 2: return .promote(PeerID(try unsigned()))
        case 3: return .remove(PeerID(try unsigned()))
        case 5: return .addWitness(PeerID(try unsigned()))
        case 4: return .transfer(try optional { (r: inout ByteReader) throws(DecodeError) in PeerID(try r.unsigned()) })
        default: throw DecodeError()
        }
    }
}
