// What clients may see. It learns the one true history from the watches of all replicas, which must tell the same, and
// it knows what was acknowledged when. Values are unique, so a value names the write.
//
// Linearizability needs no search here: the store itself claims an order, the revision. It is enough to check that this
// order explains every answer (a read at revision r shows exactly the last write at or before r) and respects real time
// (an operation never stands before what any client had seen when it began). Both are checked for all keys together, so
// what holds is strict serializability; and a write whose answer was lost must obey it too, once it is seen.

import KVCore
import Raft

/// The order of writes, and how much of it was shown to clients.
struct Oracle {
    /// Revision of each value.
    private var places: [UInt64: Revision] = [:]
    private var previous: [UInt64: Revision] = [:]
    /// What each revision did, from revision 2 on.
    private(set) var history: [[KVEvent]] = []
    /// What a key holds now, and all it ever held; 0 for nothing.
    private var living: [Key: KeyValue] = [:]
    private var writes: [Key: [(revision: Revision, value: UInt64)]] = [:]
    /// The last revision that any client has seen.
    private(set) var top = Revision.zero
    /// `top` when a write was asked for.
    private var begun: [UInt64: Revision] = [:]
    /// Values of writes that were refused for good.
    private var impossible: Set<UInt64> = []
    /// Writes that may have an effect in one term only, those seen in the log in that term, and those seen in effect.
    private var fences: [UInt64: Term] = [:]
    private var allowed: Set<UInt64> = []
    private var fencedSeen: [UInt64] = []
    var leases = LeaseOracle()

    mutating func begin(_ request: Request) {
        guard let value = request.value else { return }
        begun[value] = top
        if case .put(_, let fence?) = request.kind { fences[value] = fence }
    }

    /// The revision at which a key was last written, as far as told.
    func lastWrite(of key: Key) -> Revision { living[key]?.modRevision ?? .zero }

    /// Events of one revision, from anybody's watch.
    mutating func tell(_ revision: Revision, _ events: [KVEvent], now: UInt64) -> String? {
        let offset = Int(clamping: revision.rawValue) - 2
        guard offset >= 0, offset <= history.count else { return "a watch tells \(revision), which nobody wrote" }
        if offset < history.count {
            return history[offset] == events ? nil : "watches tell different things about revision \(revision)"
        }
        history.append(events)
        for event in events {
            if let complaint = learn(event, revision, now: now) { return complaint }
        }
        return nil
    }

    private mutating func learn(_ event: KVEvent, _ revision: Revision, now: UInt64) -> String? {
        let key = event.current.key, old = living[key]
        guard event.current.modRevision == revision else {
            return "an event of \(revision) says \(event.current.modRevision)"
        }
        guard event.previous == old else { return "revision \(revision) tells another previous value than it replaced" }
        guard event.kind == .put else {
            living[key] = nil
            writes[key, default: []].append((revision, 0))
            return leases.end(old?.lease ?? .none, now: now)
        }
        guard event.current.version == (old?.version ?? 0) + 1,
            event.current.createRevision == old?.createRevision ?? revision
        else { return "revision \(revision) miscounts the versions of \(key.bytes)" }
        living[key] = event.current
        let value = Request.decode(event.current.value)
        writes[key, default: []].append((revision, value))
        return place(value, at: revision, after: old?.modRevision ?? .zero)
    }

    private mutating func place(_ value: UInt64, at revision: Revision, after last: Revision) -> String? {
        if let first = places[value] { return "write \(value) was executed twice, at \(first) and \(revision)" }
        if impossible.contains(value) { return "write \(value) was refused for good, and then executed" }
        guard let begun = begun[value], revision > begun else {
            return "write \(value) at \(revision) stands before what was seen when it began"
        }
        places[value] = revision
        previous[value] = last
        if fences[value] != nil { fencedSeen.append(value) }
        return nil
    }

    mutating func refuse(_ value: UInt64) -> String? {
        impossible.insert(value)
        return places[value].map { "write \(value) was refused for good, and is at \($0)" }
    }

    /// A complaint, when an acknowledged write did not happen, or not where the answer says.
    mutating func acknowledge(_ request: Request, at revision: Revision) -> String? {
        guard let value = request.value, let place = places[value] else {
            return "\(request.kind) was acknowledged and never seen"
        }
        guard place == revision else { return "\(request.kind) was acknowledged at \(revision) and is at \(place)" }
        if case .swap(_, let expected) = request.kind, previous[value] != expected {
            return "a swap of \(expected) replaced the write at \(previous[value] ?? .zero)"
        }
        top = max(top, place)
        return nil
    }

    /// A complaint, when a read shows anything but the last write before its revision, or an older revision than was
    /// seen when it began.
    mutating func observe(_ request: Request, value: UInt64, at revision: Revision, floor: Revision) -> String? {
        guard revision >= floor else {
            return "stale read of key \(request.key) at \(revision), but \(floor) was seen when it began"
        }
        let right = writes[request.storeKey]?.last { $0.revision <= revision }?.value ?? 0
        guard right == value else { return "a read of key \(request.key) at \(revision) shows \(value), not \(right)" }
        top = max(top, revision)
        return nil
    }
}

// MARK: Fences

extension Oracle {
    /// An entry was committed: a fenced write may have an effect only where its term is the fence.
    mutating func noteCommitted(_ entry: Entry) {
        guard entry.kind == .normal, !fences.isEmpty else { return }
        var reader = ByteReader(entry.data)
        do throws(DecodeError) {
            _ = try reader.byte()
            _ = try reader.signed()
            guard case .txn(let txn) = try EntryFormat.decode(&reader).command, case .put(let put)? = txn.success.first
            else { return }
            let value = Request.decode(put.value)
            if fences[value] == entry.term { allowed.insert(value) }
        } catch {
            // Not a proposal of a client.
            return
        }
    }

    mutating func checkFences() -> String? {
        defer { fencedSeen = [] }
        return fencedSeen.first { !allowed.contains($0) }.map { "write \($0) had an effect outside of its term" }
    }
}

// MARK: Watches

extension Oracle {
    /// A watcher of `range` that knows everything up to `known` is told these events: exactly the next ones.
    func checkWatch(_ range: KeyRange, after known: Revision, told revision: Revision, _ events: [KVEvent]) -> String? {
        guard revision > known else { return "a watch repeats \(revision), it was at \(known)" }
        if let complaint = checkProgress(range, after: known, through: Revision(revision.rawValue - 1)) {
            return complaint
        }
        let offset = Int(clamping: revision.rawValue) - 2
        guard offset < history.count else { return "a watch tells \(revision), which nobody wrote" }
        let right = history[offset].filter { range.contains($0.current.key) }
        return right == events ? nil : "a watch tells \(events.count) events of \(revision), not \(right.count)"
    }

    /// Nothing that the watcher should have been told is in between.
    func checkProgress(_ range: KeyRange, after known: Revision, through revision: Revision) -> String? {
        var next = max(known.rawValue + 1, 2)
        while next <= revision.rawValue {
            let offset = Int(clamping: next) - 2
            guard offset < history.count else { return "a watch is told that \(revision) is complete, nobody wrote it" }
            if history[offset].contains(where: { range.contains($0.current.key) }) {
                return "a watch at \(known) is at \(revision) next, and missed \(next)"
            }
            next += 1
        }
        return nil
    }
}
