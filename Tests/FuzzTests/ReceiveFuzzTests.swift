// Changed messages of peers, received: beyond decoding, by a leader, a follower and a witness, one after the other, with
// the time that passes behind them. Whatever a member says, nobody traps, nobody talks without end, and who is none ends
// nobody.
import KVCore
import Raft
import Testing

/// A leader, a follower and a witness with some state, as values.
private struct Table {
    static let ids = (1...3).map { PeerID($0) }
    var cores: [ReplicaCore] = []
    private var now: Int64 = 0
    private var sent = 0

    init() {
        let members = Self.ids.map { Member(id: $0, name: "m\($0)", host: "10.0.0.1", port: 2380) }
        for id in Self.ids {
            var settings = RaftSettings()
            settings.isWitness = id == PeerID(3)
            var limits = ReplicaLimits()
            limits.snapshotPieceBytes = 64
            cores.append(
                ReplicaCore(
                    id: id, settings: settings, limits: limits,
                    restored: .fresh(Configuration(voters: Self.ids, witness: PeerID(3))), state: StateMachine(),
                    initialMembers: members, seed: id.rawValue, now: 0))
        }
        for _ in 0..<200 where !cores.contains(where: \.raft.isLeader) { pass(10) }
        for (number, command) in StoreCorpus.commands.enumerated() {
            cores[0].propose(Ticket(rawValue: UInt64(number + 1)), command)
            pass(10)
        }
        pass(50)
    }

    /// Ten milliseconds at a time, for all.
    mutating func pass(_ milliseconds: Int64) {
        for _ in 0..<milliseconds / 10 {
            now += 10
            for i in cores.indices { cores[i].advance(to: now) }
            settle()
        }
    }

    mutating func settle() {
        sent = 0
        var isQuiet = false
        while !isQuiet {
            isQuiet = true
            for i in cores.indices {
                while let output = cores[i].takeOutput() {
                    isQuiet = false
                    obey(output, i)
                }
            }
        }
    }

    private mutating func obey(_ output: ReplicaOutput, _ i: Int) {
        if let save = output.save { cores[i].saved(save.raft.id) }
        if let execution = output.execution { cores[i].executed(execution.run()) }
        sent += output.messages.count
        // A word that is answered by the same word again would never end.
        guard sent < 100_000 else {
            Issue.record("they do not stop talking")
            return
        }
        for envelope in output.messages {
            let to = Int(clamping: envelope.to.rawValue) - 1
            if cores.indices.contains(to) { cores[to].receive(envelope.message, from: cores[i].id) }
        }
    }

    /// To one of them, in the name of another or of somebody who is no member.
    mutating func receive(_ message: PeerMessage, from peer: PeerID, at i: Int, in term: Term?) {
        func addressed(_ message: Message) -> Message {
            Message(from: peer, to: cores[i].id, term: term ?? message.term, message.body)
        }
        var message = message
        switch message {
        case .raft(let inner): message = .raft(addressed(inner))
        case .snapshotChunk(var chunk):
            chunk.message = chunk.message.map(addressed)
            message = .snapshotChunk(chunk)
        default: break
        }
        cores[i].receive(message, from: peer)
        settle()
    }
}

@Suite struct ReceiveFuzzTests {
    /// The corpus, and a whole snapshot in pieces.
    private static func corpus(_ table: Table) -> [[UInt8]] {
        var messages = StoreCorpus.messages
        var source = SnapshotSource(table.cores[0].state, pieceBytes: 256)
        let state = table.cores[0].state
        var sequence: UInt64 = 0
        while !source.isDone {
            let data = source.next()
            let metadata = SnapshotMetadata(
                index: state.appliedIndex, term: state.appliedTerm, configuration: table.cores[0].raft.configuration)
            let last = Message(from: PeerID(1), to: PeerID(2), term: Term(4), .installSnapshot(metadata))
            messages.append(
                .snapshotChunk(
                    SnapshotChunk(
                        transfer: 3, sequence: sequence, data: data, message: source.isDone ? last : nil,
                        isRepair: sequence % 2 == 1)))
            sequence += 1
        }
        return messages.map { $0.encode() }
    }

    @Test func `messages that were changed, received by a leader, a follower and a witness`() {
        let start = Table()
        let isLed = start.cores.contains { $0.raft.isLeader }
        #expect(isLed)
        let corpus = Self.corpus(start)
        var heard: Set<MessageKind> = []
        for seed in seeds(count: 3_000) {
            var mutator = Mutator(seed: UInt64(seed))
            var table = start
            for _ in 0..<Int.random(in: 1...5, using: &mutator) {
                let bytes = mutator.changed(corpus)
                let i = Int.random(in: 0..<3, using: &mutator)
                let others = (Table.ids + [PeerID(9)]).filter { $0 != table.cores[i].id }
                let terms = [nil, table.cores[i].raft.term, table.cores[i].raft.term.next]
                guard let peer = others.randomElement(using: &mutator),
                    let term = terms.randomElement(using: &mutator)
                else { continue }
                do throws(DecodeError) {
                    let message = try PeerMessage(decoding: bytes)
                    heard.insert(MessageKind(message))
                    let before = table.cores[i].raft.fault
                    table.receive(message, from: peer, at: i, in: term)
                    if peer == PeerID(9) { #expect(table.cores[i].raft.fault == before, "SEED=\(seed)") }
                } catch { continue }
            }
            table.pass(Int64.random(in: 0...60, using: &mutator))
        }
        #expect(heard == Set(MessageKind.allCases))
    }
}
