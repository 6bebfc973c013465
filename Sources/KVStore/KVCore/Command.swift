// What a Raft entry asks the state machine to do, and its byte form. The proposer encodes a `ClientProposal`; the
// leader puts the format version and log time before it when it appends. Entries carry the cluster's committed version,
// which is raised when every member has said that it understands the next one; whoever meets a version that it does not
// know stops, it never guesses.
import Raft

/// One command of the log.
package enum Command: Hashable, Sendable {
    case txn(Txn)
    case compact(Revision)
    /// `id` none: the state machine picks one.
    case grantLease(LeaseID, ttlMilliseconds: Int64)
    case revokeLease(LeaseID)
    case keepAlive([LeaseID])
    /// From the leader: each is removed when its deadline has passed in log time.
    case expireLeases([LeaseID])
    case openSession
    case expireSessions([ClientID], idleMilliseconds: Int64)
    /// Only carries log time.
    case tick
    case setMember(Member)
    case removeMember(PeerID)
    /// From the leader: entries may be of this version from now on. Its own entry already is.
    case raiseVersion(UInt8)
}

/// A command with the identity that makes it execute once.
package struct ClientProposal: Hashable, Sendable {
    package var id: ProposalID
    package var command: Command

    package init(id: ProposalID, command: Command) {
        self.id = id
        self.command = command
    }
}

/// The data of an entry: version, log time, proposal.
package enum EntryFormat {
    package static let oldest: UInt8 = 1
    /// The newest one that this program understands. A new kind of command raises it, and waits for its commit.
    package static let newest: UInt8 = 1

    /// The version of an entry's data; nil where it has none.
    package static func version(of entry: Entry) -> UInt8? { entry.kind == .normal ? entry.data.first : nil }

    /// The data of an entry from an encoded proposal.
    package static func entry(
        logTime: Int64, proposal: [UInt8], version: UInt8 = EntryFormat.oldest
    ) -> [UInt8] {
        var writer = ByteWriter(capacity: proposal.count + 12)
        writer.put(byte: version)
        writer.put(logTime)
        writer.bytes.append(contentsOf: proposal)
        return writer.bytes
    }

    package static func encode(_ proposal: ClientProposal) -> [UInt8] {
        var writer = ByteWriter(capacity: 256)
        writer.put(proposal.id)
        writer.put(proposal.command)
        return writer.bytes
    }

    /// The whole proposal; bytes left over are refused.
    package static func decode(_ reader: inout ByteReader) throws(DecodeError) -> ClientProposal {
        let proposal = ClientProposal(id: try reader.proposalID(), command: try reader.command())
        guard reader.isAtEnd else { throw DecodeError() }
        return proposal
    }
}

extension ByteWriter {
    package mutating func put(_ id: ProposalID) {
        put(id.client.rawValue)
        put(id.serial)
        put(id.settledBelow)
    }

    package mutating func put(_ command: Command) {
        switch command {
        case .txn(let txn): put(byte: 1); put(txn)
        case .compact(let revision): put(byte: 2); put(revision.rawValue)
        case .grantLease(let id, let ttl): put(byte: 3); put(id.rawValue); put(ttl)
        case .revokeLease(let id): put(byte: 4); put(id.rawValue)
        case .keepAlive(let ids): put(byte: 5); put(list: ids) { $0.put($1.rawValue) }
        case .expireLeases(let ids): put(byte: 6); put(list: ids) { $0.put($1.rawValue) }
        case .openSession: put(byte: 7)
        case .expireSessions(let ids, let idle):
            put(byte: 8)
            put(list: ids) { $0.put($1.rawValue) }
            put(idle)
        case .tick: put(byte: 9)
        case .setMember(let member): put(byte: 10); put(member)
        case .removeMember(let id): put(byte: 11); put(id.rawValue)
        case .raiseVersion(let version): put(byte: 12); put(byte: version)
        }
    }
}

extension ByteReader {
    package mutating func proposalID() throws(DecodeError) -> ProposalID {
        ProposalID(client: ClientID(rawValue: try unsigned()), serial: try unsigned(), settledBelow: try unsigned())
    }

    package mutating func command() throws(DecodeError) -> Command {
        switch try byte() {
        case 1: return .txn(try txn(depth: 0))
        case 2: return .compact(Revision(try signed()))
        case 3: return .grantLease(LeaseID(rawValue: try signed()), ttlMilliseconds: try signed())
        case 4: return .revokeLease(LeaseID(rawValue: try signed()))
        case 5: return .keepAlive(try leaseIDs())
        case 6: return .expireLeases(try leaseIDs())
        case 7: return .openSession
        case 8:
            let ids = try list { (r: inout ByteReader) throws(DecodeError) in ClientID(rawValue: try r.unsigned()) }
            return .expireSessions(ids, idleMilliseconds: try signed())
        case 9: return .tick
        case 10: return .setMember(try member())
        case 11: return .removeMember(PeerID(rawValue: try unsigned()))
        case 12: return .raiseVersion(try byte())
        default: throw DecodeError()
        }
    }

    private mutating func leaseIDs() throws(DecodeError) -> [LeaseID] {
        try list { (r: inout ByteReader) throws(DecodeError) in LeaseID(rawValue: try r.signed()) }
    }
}
