// The suffix of the log in memory: everything after the compaction point, saved or not. It knows which part was handed
// to storage and which part is durable, so that nobody counts an entry that a power cut would take away.

/// The log of one peer after `base`.
struct Log: Sendable {
    /// The last compacted entry.
    private(set) var base: EntryID
    private var entries: [Entry]
    /// Everything up to here survives a crash.
    private(set) var durable: LogIndex
    /// Everything up to here was put into some `Save`.
    private(set) var handed: LogIndex
    /// The cost of all entries.
    private(set) var bytes: Int

    init(base: EntryID, entries: [Entry]) {
        self.base = base
        self.entries = entries
        durable = entries.last?.index ?? base.index
        handed = durable
        bytes = entries.reduce(0) { $0 + $1.cost }
    }

    var last: EntryID { entries.last.map { EntryID(index: $0.index, term: $0.term) } ?? base }
    var hasUnsaved: Bool { handed < last.index }

    /// The term of the entry at an index; nil outside `base...last`.
    func term(at index: LogIndex) -> Term? {
        if index == base.index { return base.term }
        return offset(of: index).map { entries[$0].term }
    }

    func holds(_ id: EntryID) -> Bool { term(at: id.index) == id.term }

    func entry(at index: LogIndex) -> Entry? { offset(of: index).map { entries[$0] } }

    /// Entries from `first` on, up to `last`, within limits, but at least one where there is one.
    func slice(
        from first: LogIndex, through last: LogIndex? = nil, countMax: Int = .max, bytesMax: Int = .max
    ) -> [Entry] {
        let bound = min(last ?? self.last.index, self.last.index)
        guard let start = offset(of: first), let end = offset(of: bound), start <= end else { return [] }
        var bytes = 0
        var stop = start
        while stop <= end && stop - start < countMax {
            bytes += entries[stop].cost
            if bytes > bytesMax && stop > start { break }
            stop += 1
        }
        return Array(entries[start..<stop])
    }

    /// The cost of the entries after `low` up to `high`.
    func cost(after low: LogIndex, through high: LogIndex) -> Int {
        guard let start = offset(of: low.next), let end = offset(of: high), start <= end else { return 0 }
        return entries[start...end].reduce(0) { $0 + $1.cost }
    }

    func forEach(after low: LogIndex, _ body: (Entry) -> Void) {
        guard let start = offset(of: max(low, base.index).next) else { return }
        for entry in entries[start...] { body(entry) }
    }

    private func offset(of index: LogIndex) -> Int? {
        guard index > base.index, index <= last.index else { return nil }
        return Int(index.distance(after: base.index)) - 1
    }
}

extension Log {
    mutating func append(_ entry: Entry) {
        precondition(entry.index == last.index.next, "append of \(entry.index) after \(last.index)")
        entries.append(entry)
        bytes += entry.cost
    }

    /// Drops the entries from `index` on.
    mutating func truncate(from index: LogIndex) {
        guard let start = offset(of: index) else { return }
        for entry in entries[start...] { bytes -= entry.cost }
        entries.removeSubrange(start...)
        durable = min(durable, index.previous)
        handed = min(handed, index.previous)
    }

    /// Drops the entries up to `index`, which must be held.
    mutating func compact(to index: LogIndex) {
        guard let term = term(at: index), index > base.index else { return }
        let count = Int(index.distance(after: base.index))
        for entry in entries[..<count] { bytes -= entry.cost }
        entries.removeFirst(count)
        base = EntryID(index: index, term: term)
    }

    /// Begins anew after a snapshot that is not durable yet.
    mutating func reset(to snapshot: EntryID) {
        self = Log(base: snapshot, entries: [])
    }

    /// Drops the entries up to `id`, which is held and safe elsewhere.
    mutating func rebase(to id: EntryID) {
        compact(to: id.index)
        handed = max(handed, id.index)
        durable = max(durable, id.index)
    }

    /// The entries that no `Save` has carried yet.
    mutating func takeUnsaved() -> [Entry] {
        defer { handed = last.index }
        return slice(from: handed.next)
    }

    mutating func markDurable(through index: LogIndex) {
        durable = max(durable, min(index, handed))
    }
}
