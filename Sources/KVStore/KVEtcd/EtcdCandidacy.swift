// What locks and elections are made of, as etcd's own clients make them: everybody who wants something puts a key of his
// own below its name, kept by his lease; it belongs to the key that was created first, and whoever comes later waits
// until all older keys are gone. So a lock taken here and one taken by a client's own recipe exclude each other.
import KVCore
import KVReplica
import NetGRPC
import Raft
import Synchronization

/// A key below a name.
struct EtcdCandidacy: Sendable {
    /// Everybody's keys begin with this.
    var prefix: Key
    var key: Key
    /// At which it was created: the older one owns.
    var revision: Revision
    var lease: LeaseID

    /// Of a lease without a number.
    static let leaseSeconds: Int64 = 60

    static func prefix(_ name: [UInt8]) -> Key { Key(name + Array("/".utf8)) }

    static func key(_ prefix: Key, _ lease: LeaseID) -> Key {
        Key(prefix.bytes + Array(String(lease.rawValue, radix: 16).utf8))
    }

    /// Still the one that was created at this revision.
    var isCurrent: Compare { Compare(range: KeyRange(key), .equal, .createRevision(revision)) }
}

/// Waits for changes, on behalf of one call, until it is closed.
final class ChangeGate: Sendable {
    private struct State {
        var waiting: UnsafeContinuation<[KVEvent]?, Never>?
        /// Of the wait: a watch of an earlier one may still be told something.
        var serial: UInt64 = 0
        var isClosed = false
    }
    private let replica: Replica
    private let state = Mutex(State())

    init(_ replica: Replica, _ call: GRPCServerCall) {
        self.replica = replica
        call.onClose { [weak self] in self?.close() }
    }

    /// The first changes in the range after the revision; none: it must be looked at anew; nil: the call is closed.
    func next(_ range: KeyRange, after revision: Revision) async -> [KVEvent]? {
        var watch: WatchID?
        let events = await withUnsafeContinuation { (waiting: UnsafeContinuation<[KVEvent]?, Never>) in
            let serial = state.withLock { state -> UInt64? in
                guard !state.isClosed else { return nil }
                state.serial += 1
                state.waiting = waiting
                return state.serial
            }
            guard let serial else { return waiting.resume(returning: nil) }
            watch = replica.watch(range, after: revision) { [weak self] delivery in
                switch delivery {
                case .events(_, let events): self?.resume(events, of: serial)
                case .compacted, .tooMany, .reset, .ended: self?.resume([], of: serial)
                case .progress: return
                }
            }
        }
        if let watch { replica.cancel(watch) }
        return events
    }

    private func resume(_ events: [KVEvent], of serial: UInt64) {
        let waiting = state.withLock { state -> UnsafeContinuation<[KVEvent]?, Never>? in
            guard state.serial == serial else { return nil }
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume(returning: events)
    }

    private func close() {
        let waiting = state.withLock { state in
            state.isClosed = true
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume(returning: nil)
    }
}

extension EtcdService {
    /// As in etcd, which asks itself as a client would: what the store refuses keeps its text and loses its code.
    func recipe(_ call: GRPCServerCall, _ body: @escaping @Sendable () async throws(GRPCStatus) -> [UInt8]) {
        task(call) { () async throws(GRPCStatus) in
            do throws(GRPCStatus) { return try await body() } catch {
                let isRefusal = [.notFound, .invalidArgument].contains(error.code)
                throw isRefusal ? EtcdStatus.withoutCode(error) : error
            }
        }
    }

    /// A transaction that a client asked for by other words.
    func transact(_ txn: Txn) async throws(GRPCStatus) -> TxnResult {
        try refuseReadOnly(txn)
        return try await asking { () async throws(ProposeError) in try await replica.propose(txn) }
    }

    /// Puts the candidate's key, or finds the one that it has.
    func enter(
        _ name: [UInt8], lease wanted: Int64, value: [UInt8]
    ) async throws(GRPCStatus) -> (
        candidacy: EtcdCandidacy, entered: TxnResult, present: KeyValue?
    ) {
        let lease = try await leaseOrNew(wanted)
        let prefix = EtcdCandidacy.prefix(name)
        var candidacy = EtcdCandidacy(
            prefix: prefix, key: EtcdCandidacy.key(prefix, lease), revision: .zero, lease: lease)
        let result = try await transact(
            Txn(
                compares: [candidacy.isCurrent], success: [.put(candidacy.key, value, lease: lease)],
                failure: [.range(RangeRequest(KeyRange(candidacy.key)))]))
        candidacy.revision = result.revision
        var present: KeyValue?
        if !result.succeeded, case .range(let found)? = result.results.first {
            present = found.items.first
            candidacy.revision = present?.createRevision ?? result.revision
        }
        return (candidacy, result, present)
    }

    private static let withdrawalsMax = 60

    /// Takes the candidate's key back, as its client was told that it has nothing: not until the lease ends, which the
    /// client may go on renewing for other things. Where that cannot be done now, it is tried again for a while.
    func withdraw(_ candidacy: EtcdCandidacy) {
        Task { [self] in
            for _ in 0..<Self.withdrawalsMax {
                let withdrawal = Txn(compares: [candidacy.isCurrent], success: [.delete(candidacy.key)])
                do throws(ProposeError) {
                    _ = try await replica.propose(withdrawal)
                    return
                } catch {
                    switch error {
                    case .stopped, .refused: return
                    default: break
                    }
                }
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
            }
        }
    }

    func leaseOrNew(_ wanted: Int64) async throws(GRPCStatus) -> LeaseID {
        if wanted != 0 { return LeaseID(rawValue: wanted) }
        return try await asking { () async throws(ProposeError) in
            try await replica.grantLease(.none, ttlSeconds: EtcdCandidacy.leaseSeconds)
        }.id
    }

    /// Returns when nobody is before this one; false: the call was closed before.
    func waitForTurn(_ candidacy: EtcdCandidacy, _ gate: ChangeGate) async -> Bool {
        while true {
            // It holds this candidate's key already, and what is gone from it never comes back older.
            let view = replica.view()
            guard let before = EtcdService.last(candidacy.prefix, before: candidacy.revision, view) else { return true }
            guard await gate.next(KeyRange(before.key), after: view.revision) != nil else { return false }
        }
    }

    /// The youngest of those that are older.
    private static func last(_ prefix: Key, before revision: Revision, _ view: KVView) -> KeyValue? {
        var found: KeyValue?
        view.forEach(.prefix(prefix)) { record in
            if record.createRevision < revision, record.createRevision > found?.createRevision ?? .zero {
                found = record
            }
            return true
        }
        return found
    }

    /// The one that owns; nil: nobody does.
    static func first(_ prefix: Key, _ view: KVView) -> KeyValue? {
        var found: KeyValue?
        view.forEach(.prefix(prefix)) { record in
            if found.map({ record.createRevision < $0.createRevision }) ?? true { found = record }
            return true
        }
        return found
    }
}
