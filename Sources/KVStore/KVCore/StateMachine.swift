// The replicated state: keys with history counters, leases and sessions, changed only by applying entries in log order.
// `apply` is a total function of (state, entry): the same on every peer, without clock, chance or dictionary order. A
// command that is wrong in any way is a committed refusal; nothing that arrives in an entry may trap, or every master
// would crash on it for ever.
import Raft

/// What applying one entry did.
package struct Applied: Hashable, Sendable {
    package var index: LogIndex
    /// Who waits for it; nil for entries that nobody proposed.
    package var id: ProposalID?
    package var outcome: Outcome
    /// The changes of its revision; empty when it changed nothing.
    package var events: [KVEvent]
}

/// The store as a value.
package struct StateMachine: Sendable {
    package static let operationsMax = 4096

    package internal(set) var tree = OrderedTree()
    package internal(set) var revision = Revision(1)
    package internal(set) var compactRevision = Revision.zero
    /// The version that entries have: every member has said that it understands it.
    package internal(set) var clusterVersion = EntryFormat.oldest
    /// Milliseconds that leaders counted.
    package internal(set) var logTime: Int64 = 0
    package internal(set) var leases = LeaseTable()
    package internal(set) var sessions = SessionTable()
    package internal(set) var members: [PeerID: Member] = [:]
    package internal(set) var window = EventWindow(floor: Revision(1))
    package internal(set) var appliedIndex = LogIndex.zero
    package internal(set) var appliedTerm = Term.zero
    /// Keys and values, with overhead.
    package internal(set) var stateBytes = 0
    /// The sum of the hashes of all records: kept as they change.
    var recordsHash: UInt64 = 0
    /// Of all members.
    var membersHash: UInt64 = 0
    /// What the disk has not been told.
    var unsaved = StateChanges()
    package internal(set) var unsavedBytes = 0

    package init() {}

    package var view: KVView { KVView(revision: revision, compactRevision: compactRevision, tree: tree) }

    /// Applies the next entry of the log; indexes must follow each other.
    package mutating func apply(_ entry: Entry) -> Applied {
        apply(ReadEntry(entry))
    }

    mutating func apply(_ read: ReadEntry) -> Applied {
        let entry = read.entry
        precondition(entry.index == appliedIndex.next, "applied \(appliedIndex), given \(entry.index)")
        appliedIndex = entry.index
        appliedTerm = entry.term
        if let time = read.logTime { logTime = max(logTime, time) }
        switch read.content {
        case .nothing: return Applied(index: entry.index, id: nil, outcome: .done(revision), events: [])
        case .refused(let refusal):
            return Applied(index: entry.index, id: nil, outcome: .refused(refusal), events: [])
        case .proposal(let proposal): return apply(proposal, of: entry)
        }
    }

    private mutating func apply(_ proposal: ClientProposal, of entry: Entry) -> Applied {
        if entry.isFenced { return Applied(index: entry.index, id: proposal.id, outcome: .fenced, events: []) }
        if case .expireSessions = proposal.command, entry.fence != nil {
            return expireUnasked(proposal, at: entry.index)
        }
        return execute(proposal, at: entry.index)
    }

    /// Once per (client, serial): what was executed before is answered from the session.
    private mutating func execute(_ proposal: ClientProposal, at index: LogIndex) -> Applied {
        let id = proposal.id
        if case .openSession = proposal.command {
            return Applied(index: index, id: id, outcome: openSession(id.client), events: [])
        }
        if let known = sessions.known(id) { return Applied(index: index, id: id, outcome: known, events: []) }
        var change = Change(at: revision.next)
        let outcome = perform(proposal.command, &change, seed: index)
        publish(change)
        let now = logTime
        sessions.update(id.client) { session in
            session.lastUsed = now
            session.remember(id.serial, outcome)
            session.settle(below: min(id.settledBelow, id.serial))
        }
        return Applied(index: index, id: id, outcome: outcome, events: change.events)
    }

    private mutating func perform(_ command: Command, _ change: inout Change, seed: LogIndex) -> Outcome {
        switch command {
        case .txn(let txn): return transact(txn, &change)
        case .compact(let target): return compact(to: target)
        case .grantLease(let lease, let ttl): return grant(lease, ttl, seed: seed.rawValue)
        case .revokeLease(let lease): return revoke(lease, &change)
        case .keepAlive(let ids): return keepAlive(ids)
        case .expireLeases(let ids): return expire(ids, &change)
        case .openSession, .tick: return .done(revision)
        case .setMember(let member): return set(member)
        case .removeMember(let id): return removeMember(id)
        case .raiseVersion(let version):
            clusterVersion = max(clusterVersion, version)
            return .done(revision)
        case .expireSessions(let clients, let idle): return expire(clients, idle: idle)
        }
    }

    /// A change with events becomes the next revision.
    private mutating func publish(_ change: Change) {
        guard !change.events.isEmpty else { return }
        revision = change.revision
        let item = RevisionEvents(revision: revision, events: change.events)
        let bytes = item.bytes
        window.append(item, bytes: bytes)
        unsaved.events.append(item)
        unsavedBytes += bytes
    }

    private mutating func compact(to target: Revision) -> Outcome {
        guard target > compactRevision else { return .refused(.compacted(compactRevision)) }
        guard target <= revision else { return .refused(.future(revision)) }
        compactRevision = target
        window.drop(through: Revision(target.rawValue - 1))
        return .done(revision)
    }
}

// MARK: Sessions

extension StateMachine {
    private mutating func openSession(_ client: ClientID) -> Outcome {
        if sessions[client] != nil { return .done(revision) }
        guard !sessions.isFull else { return .refused(.tooManySessions) }
        sessions.set(Session(client: client, lastUsed: logTime))
        return .done(revision)
    }

    /// A leader's duty: it changes nothing when it is repeated, and needs no session, or a full table would stay full.
    private mutating func expireUnasked(_ proposal: ClientProposal, at index: LogIndex) -> Applied {
        var change = Change(at: revision.next)
        let outcome = perform(proposal.command, &change, seed: index)
        return Applied(index: index, id: proposal.id, outcome: outcome, events: [])
    }

    private mutating func expire(_ clients: [ClientID], idle: Int64) -> Outcome {
        for client in clients {
            guard let session = sessions[client], session.lastUsed &+ max(0, idle) < logTime else { continue }
            sessions.remove(client)
        }
        return .done(revision)
    }
}

// MARK: Records

/// The changes that one command makes, all at one revision.
struct Change {
    var revision: Revision
    var events: [KVEvent] = []
    init(at revision: Revision) { self.revision = revision }
}

extension StateMachine {
    /// `complete`: what the record takes over from what the key held.
    mutating func put(
        _ wanted: KeyValue, _ change: inout Change, _ complete: (inout KeyValue, KeyValue) -> Void
    ) -> KeyValue? {
        var record = wanted
        let previous = tree.put(&record, complete)
        account(added: record, removed: previous)
        if let previous { leases.detach(previous.key, from: previous.lease) }
        leases.attach(record.key, to: record.lease)
        change.events.append(KVEvent(kind: .put, current: record, previous: previous))
        return previous
    }

    mutating func remove(_ key: Key, _ change: inout Change) -> KeyValue? {
        guard let previous = tree.remove(key) else { return nil }
        account(added: nil, removed: previous)
        leases.detach(key, from: previous.lease)
        let tombstone = KeyValue(
            key: key, value: [], createRevision: .zero, modRevision: change.revision, version: 0)
        change.events.append(KVEvent(kind: .delete, current: tombstone, previous: previous))
        return previous
    }

    mutating func account(added: KeyValue?, removed: KeyValue?) {
        if let added {
            stateBytes += added.bytes
            recordsHash &+= added.hash64
        }
        if let removed {
            stateBytes -= removed.bytes
            recordsHash &-= removed.hash64
        }
    }
}
