// What peers, logs and proposals hold when all is well: at least one of every kind. The kinds are named by switches
// without a default, so that a new one does not compile until it is named here, and fails until it is among the seeds.
import KVCore
import Raft
import Testing

enum StoreCorpus {
    static let id = ProposalID(client: ClientID(rawValue: 77), serial: 3, settledBelow: 2)
    static let key = Key("/registry/pods/default/web")

    static let commands: [Command] = [
        .txn(
            Txn(
                compares: [
                    Compare(range: KeyRange(key), .equal, .modRevision(Revision(7))),
                    Compare(range: .all, .less, .value([1])), Compare(range: KeyRange(key), .notEqual, .version(1)),
                    Compare(range: KeyRange(key), .greater, .lease(LeaseID(rawValue: 9)))
                ],
                success: [
                    .put(key, [1, 2, 3], lease: LeaseID(rawValue: 9)), .delete(.prefix(key), returnPrevious: true)
                ],
                failure: [.range(RangeRequest(.all, limit: 10, revision: Revision(3))), .txn(Txn(success: []))])),
        .compact(Revision(5)), .grantLease(LeaseID(rawValue: 4), ttlMilliseconds: 5_000),
        .revokeLease(LeaseID(rawValue: 4)), .keepAlive([LeaseID(rawValue: 4), LeaseID(rawValue: 5)]),
        .expireLeases([LeaseID(rawValue: 4)]), .openSession,
        .expireSessions([ClientID(rawValue: 8)], idleMilliseconds: 9), .tick,
        .setMember(
            Member(id: PeerID(3), name: "m3", host: "10.0.0.3", port: 2380, clientURLs: ["https://10.0.0.3:2379"])),
        .removeMember(PeerID(3)), .raiseVersion(1)
    ]

    static let proposals = commands.map { EntryFormat.encode(ClientProposal(id: id, command: $0)) }

    /// As `Configuration.encode` writes them: the oldest version without more than the three lists, one with members
    /// that left, one with a witness.
    static let configurations: [[UInt8]] = {
        let plain = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)], learners: [PeerID(4)])
        let joint = Configuration(voters: [PeerID(1), PeerID(2)], outgoing: [PeerID(1), PeerID(3)])
        let witnessed = Configuration(voters: [PeerID(1), PeerID(2), PeerID(3)], witness: PeerID(3))
        // Nobody outside takes a member out of a configuration: one list more, with one that left.
        let left: [UInt8] = [2] + plain.encode().dropFirst() + [1, 9, 0, 0, 0, 0, 0, 0, 0]
        return [plain.encode(), joint.encode(), left, witnessed.encode()]
    }()

    /// Commands, configurations, and what a leader begins its term with.
    static let entries: [Entry] = {
        var entries = [Entry(term: Term(2), index: LogIndex(1), kind: .empty)]
        for data in configurations {
            entries.append(Entry(term: Term(2), index: next(entries), kind: .configuration, data: data))
        }
        for (number, proposal) in proposals.enumerated() {
            let data = EntryFormat.entry(logTime: 5, proposal: proposal)
            let fence = number % 3 == 0 ? Term(2) : nil
            entries.append(Entry(term: Term(2), index: next(entries), data: data, fence: fence))
        }
        return entries
    }()

    private static func next(_ entries: [Entry]) -> LogIndex { LogIndex(UInt64(entries.count + 1)) }

    private static func raft(_ body: Message.Body) -> PeerMessage {
        .raft(Message(from: PeerID(1), to: PeerID(2), term: Term(4), body))
    }

    private static let last = EntryID(index: LogIndex(9), term: Term(3))
    private static let snapshots: [SnapshotMetadata] = configurations.compactMap { Configuration(decoding: $0) }.map {
        SnapshotMetadata(index: LogIndex(9), term: Term(3), configuration: $0)
    }

    static let messages: [PeerMessage] = {
        var all = [
            raft(.preVote(last: last)), raft(.preVoteResponse(granted: false)),
            raft(.vote(last: last, isTransfer: true)), raft(.voteResponse(granted: true)),
            raft(.append(Message.Append(previous: .zero, entries: entries, commit: LogIndex(2)))),
            // To a witness.
            raft(.append(Message.Append(previous: .zero, entries: entries.map(\.stripped), commit: LogIndex(2)))),
            raft(.appendResponse(Message.AppendResponse(index: LogIndex(4), rejection: .zero))),
            raft(.appendResponse(Message.AppendResponse(index: LogIndex(4), rejection: nil, isAmnesiac: true))),
            raft(.heartbeat(commit: LogIndex(3), round: 7)), raft(.heartbeatResponse(round: 7)),
            raft(.commit(LogIndex(3))), raft(.readIndex(context: 4)),
            raft(.readIndexResponse(context: 4, index: LogIndex(8))), raft(.timeoutNow)
        ]
        all += snapshots.map { raft(.installSnapshot($0)) }
        all += [
            .propose(proposals.map { ForwardedProposal(serial: 4, fence: Term(2), data: $0) }),
            .proposeRefused([1, 2, 3]),
            .snapshotChunk(SnapshotChunk(transfer: 3, sequence: 0, data: [1, 2, 3])),
            .snapshotAnswer(transfer: 3, next: 4), .snapshotAnswer(transfer: 3, next: nil),
            .stateReport(LogIndex(4), hash: 5), .stateVerdict(LogIndex(4), hash: 5), .stateWanted, .understands(2),
            .directory(
                LogIndex(7), [Member(id: PeerID(3), name: "m3", host: "10.0.0.3", port: 2380, staysLearner: true)]),
            .diskLow(true), .growthRefused(false),
            .stateTroubles(StateTroubles(wrong: [PeerID(2), PeerID(3)], isUndecided: true))
        ]
        for snapshot in snapshots {
            let message = Message(from: PeerID(1), to: PeerID(2), term: Term(4), .installSnapshot(snapshot))
            all.append(
                .snapshotChunk(
                    SnapshotChunk(transfer: 3, sequence: 9, data: [], message: message, isRepair: true)))
        }
        let changes: [MemberChange] = [
            .addLearner(PeerID(4)), .addWitness(PeerID(4)), .promote(PeerID(4)), .remove(PeerID(4)),
            .transfer(PeerID(2)), .transfer(nil)
        ]
        return all + changes.map { .change($0) }
    }()
}

/// The names of what may come.
enum MessageKind: CaseIterable {
    case preVote, preVoteResponse, vote, voteResponse, append, appendResponse, heartbeat, heartbeatResponse, commit
    case readIndex, readIndexResponse, installSnapshot, timeoutNow
    case propose, proposeRefused, snapshotChunk, snapshotAnswer, stateReport, stateVerdict, stateWanted, understands
    case directory, diskLow, growthRefused, stateTroubles
    case addLearner, addWitness, promote, remove, transfer

    init(_ message: PeerMessage) {
        switch message {
        case .raft(let message): self.init(message.body)
        case .propose: self = .propose
        case .proposeRefused: self = .proposeRefused
        case .snapshotChunk: self = .snapshotChunk
        case .snapshotAnswer: self = .snapshotAnswer
        case .change(let change): self.init(change)
        case .stateReport: self = .stateReport
        case .stateVerdict: self = .stateVerdict
        case .stateWanted: self = .stateWanted
        case .understands: self = .understands
        case .directory: self = .directory
        case .diskLow: self = .diskLow
        case .growthRefused: self = .growthRefused
        case .stateTroubles: self = .stateTroubles
        }
    }

    private init(_ body: Message.Body) {
        switch body {
        case .preVote: self = .preVote
        case .preVoteResponse: self = .preVoteResponse
        case .vote: self = .vote
        case .voteResponse: self = .voteResponse
        case .append: self = .append
        case .appendResponse: self = .appendResponse
        case .heartbeat: self = .heartbeat
        case .heartbeatResponse: self = .heartbeatResponse
        case .commit: self = .commit
        case .readIndex: self = .readIndex
        case .readIndexResponse: self = .readIndexResponse
        case .installSnapshot: self = .installSnapshot
        case .timeoutNow: self = .timeoutNow
        }
    }

    private init(_ change: MemberChange) {
        switch change {
        case .addLearner: self = .addLearner
        case .addWitness: self = .addWitness
        case .promote: self = .promote
        case .remove: self = .remove
        case .transfer: self = .transfer
        }
    }
}

enum CommandKind: CaseIterable {
    case txn, compact, grantLease, revokeLease, keepAlive, expireLeases, openSession, expireSessions, tick, setMember
    case removeMember, raiseVersion

    init(_ command: Command) {
        switch command {
        case .txn: self = .txn
        case .compact: self = .compact
        case .grantLease: self = .grantLease
        case .revokeLease: self = .revokeLease
        case .keepAlive: self = .keepAlive
        case .expireLeases: self = .expireLeases
        case .openSession: self = .openSession
        case .expireSessions: self = .expireSessions
        case .tick: self = .tick
        case .setMember: self = .setMember
        case .removeMember: self = .removeMember
        case .raiseVersion: self = .raiseVersion
        }
    }
}

@Suite struct CorpusTests {
    @Test func `every kind of message, change, command, entry and configuration is among the seeds`() throws {
        #expect(Set(StoreCorpus.messages.map { MessageKind($0) }) == Set(MessageKind.allCases))
        #expect(Set(StoreCorpus.commands.map { CommandKind($0) }) == Set(CommandKind.allCases))
        let kinds = Set((StoreCorpus.entries + StoreCorpus.entries.map(\.stripped)).map(\.kind))
        #expect(kinds == [.normal, .configuration, .empty, .stripped])
        #expect(Set(StoreCorpus.configurations.map(\.first)) == [1, 2, 3])
        for bytes in StoreCorpus.configurations {
            #expect(try #require(Configuration(decoding: bytes)).encode() == bytes)
        }
        // Each seed is whole: what is refused unchanged tries nothing.
        for message in StoreCorpus.messages { #expect(try PeerMessage(decoding: message.encode()) == message) }
    }
}
