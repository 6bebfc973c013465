// A few replicas on a table: messages arrive at once and in order, every save is done at once, and each has a clock of
// its own that moves only when it is told. For tests of what replicas do together.
import KVCore
import Raft

struct ReplicaLab {
    var cores: [ReplicaCore] = []
    var clocks: [Int64] = []
    /// What proposals came to, by ticket.
    var outcomes: [Ticket: Result<Outcome, ReplicaFailure>] = [:]
    var alarms: [StateAlarm] = []
    var grantedReads: Set<Ticket> = []
    /// Nothing is sent to or taken from these.
    var cut: Set<Int> = []
    /// What these say is lost; they hear.
    var mute: Set<Int> = []
    /// Pieces of snapshots wait in `pieces`, each until it is delivered by hand.
    var holdsPieces = false
    var pieces: [(from: Int, to: Int, chunk: SnapshotChunk)] = []
    /// The disks of these are slow: what they save is durable when `save` says so.
    var slow: Set<Int> = []
    private var unsaved: [Int: SaveID] = [:]
    /// What these execute aside takes until `execute` says that it is done.
    var busy: Set<Int> = []
    var executions: [Int: Execution] = [:]
    private var lastTicket: UInt64 = 0

    init(_ count: Int, limits: ReplicaLimits = ReplicaLimits(), witness: PeerID? = nil, understanding: [UInt8] = []) {
        let ids = (1...UInt64(count)).map { PeerID($0) }
        let members = ids.map { Member(id: $0, name: "m\($0)", host: "host", port: 2380) }
        for id in ids {
            var settings = RaftSettings()
            settings.isWitness = id == witness
            clocks.append(Int64(id.rawValue) * 100_000)
            cores.append(
                ReplicaCore(
                    id: id, settings: settings, limits: limits,
                    restored: .fresh(Configuration(voters: ids, witness: witness)),
                    state: StateMachine(), initialMembers: members, seed: id.rawValue, now: clocks[clocks.count - 1],
                    understands: understanding.isEmpty ? EntryFormat.newest : understanding[cores.count]))
        }
    }

    /// One more, with nothing; it hears when it is added.
    mutating func join(isWitness: Bool = false) {
        let id = PeerID(UInt64(cores.count) + 1)
        var settings = RaftSettings()
        settings.isWitness = isWitness
        clocks.append(Int64(id.rawValue) * 100_000)
        cores.append(
            ReplicaCore(
                id: id, settings: settings, limits: cores[0].limits, restored: .fresh(.empty), state: StateMachine(),
                initialMembers: [], seed: id.rawValue, now: clocks[clocks.count - 1]))
    }

    var leader: Int? { cores.indices.first { cores[$0].raft.isLeader && !cut.contains($0) } }

    /// Time passes for all, ten milliseconds at a time; with everything that is said meanwhile.
    mutating func pass(_ milliseconds: Int64) {
        for _ in 0..<(milliseconds / 10) {
            for i in cores.indices where !cut.contains(i) { tell(i, 10) }
            settle()
        }
    }

    /// Only this one's clock moves.
    mutating func tell(_ i: Int, _ milliseconds: Int64) {
        clocks[i] += milliseconds
        cores[i].advance(to: clocks[i])
    }

    mutating func settle() {
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

    /// One alone does what it has to do.
    mutating func act(_ i: Int) {
        while let output = cores[i].takeOutput() { obey(output, i) }
    }

    private mutating func obey(_ output: ReplicaOutput, _ i: Int) {
        if let save = output.save {
            if slow.contains(i) { unsaved[i] = save.raft.id } else { cores[i].saved(save.raft.id) }
        }
        if let execution = output.execution {
            if busy.contains(i) { executions[i] = execution } else { cores[i].executed(execution.run()) }
        }
        for (ticket, result) in output.outcomes { outcomes[ticket] = result }
        for (ticket, failure) in output.reads where failure == nil { grantedReads.insert(ticket) }
        alarms += output.alarms
        for envelope in output.messages {
            let to = Int(envelope.to.rawValue) - 1
            guard cores.indices.contains(to), !cut.contains(to), !cut.contains(i), !mute.contains(i) else { continue }
            if holdsPieces, case .snapshotChunk(let chunk) = envelope.message {
                pieces.append((i, to, chunk))
            } else {
                cores[to].receive(envelope.message, from: cores[i].id)
            }
        }
    }

    /// The oldest piece that waits arrives.
    mutating func deliverPiece() {
        guard !pieces.isEmpty else { return }
        let piece = pieces.removeFirst()
        cores[piece.to].receive(.snapshotChunk(piece.chunk), from: cores[piece.from].id)
        settle()
    }

    /// What was executed aside is done.
    mutating func execute(_ i: Int) {
        busy.remove(i)
        if let execution = executions.removeValue(forKey: i) { cores[i].executed(execution.run()) }
        settle()
    }

    /// The slow disk is done, and is slow no more.
    mutating func save(_ i: Int) {
        slow.remove(i)
        if let id = unsaved.removeValue(forKey: i) { cores[i].saved(id) }
        settle()
    }

    mutating func elect() -> Int {
        for _ in 0..<1000 where leader == nil { pass(10) }
        pass(100)
        return leader ?? 0
    }

    mutating func propose(_ command: Command, at i: Int) -> Ticket {
        lastTicket += 1
        cores[i].propose(Ticket(rawValue: lastTicket), command)
        return Ticket(rawValue: lastTicket)
    }

    mutating func read(at i: Int) -> Ticket {
        lastTicket += 1
        cores[i].read(Ticket(rawValue: lastTicket))
        return Ticket(rawValue: lastTicket)
    }

    /// Proposes and waits.
    @discardableResult
    mutating func run(_ command: Command, at i: Int) -> Outcome? {
        let ticket = propose(command, at: i)
        settle()
        for _ in 0..<100 where outcomes[ticket] == nil { pass(10) }
        if case .success(let outcome)? = outcomes[ticket] { return outcome }
        return nil
    }

    @discardableResult
    mutating func put(_ key: String, at i: Int) -> Outcome? {
        run(.txn(Txn(success: [.put(Key(key), [1])])), at: i)
    }
}

extension ReplicaLab {
    /// Agreement on the state is asked for often.
    static func agreeing(_ count: Int) -> ReplicaLab {
        var limits = ReplicaLimits()
        limits.hashEntries = 8
        return ReplicaLab(count, limits: limits)
    }

    /// Some keys, the same each time.
    mutating func write(_ count: Int, at i: Int) {
        for number in 0..<count { put("key\(number)", at: i) }
    }
}
