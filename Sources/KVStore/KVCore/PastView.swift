// The store as it was at a revision that the window does not reach: older revisions are handed in, oldest first, and
// the first change of a key after the wished revision says what the key held then. Only one range of keys is looked at,
// so that a small read of the far past holds little. It must never answer when a revision is missing.

/// Collects what changed since a revision, then answers the view.
package struct PastView: Sendable {
    package let revision: Revision
    private let snapshot: StoreSnapshot
    private let range: KeyRange
    /// What keys held at `revision`, for those that changed later.
    private var before: [Key: KeyValue?] = [:]
    /// Everything up to here was seen.
    package private(set) var seen: Revision

    /// Throws what the revision itself forbids.
    package init(_ snapshot: StoreSnapshot, at revision: Revision, _ range: KeyRange) throws(ReadError) {
        if revision > snapshot.view.revision { throw .future(snapshot.view.revision) }
        if revision < snapshot.view.compactRevision { throw .compacted(snapshot.view.compactRevision) }
        self.snapshot = snapshot
        self.revision = revision
        self.range = range
        seen = revision
    }

    /// The last revision that must be handed in; nil when nothing is missing any more.
    package var needsThrough: Revision? { seen < snapshot.window.floor ? snapshot.window.floor : nil }

    /// False: it is not the next revision.
    package mutating func add(_ item: RevisionEvents) -> Bool {
        guard item.revision == seen.next else { return false }
        seen = item.revision
        note(item)
        return true
    }

    private mutating func note(_ item: RevisionEvents) {
        for event in item.events where range.contains(event.current.key) && before[event.current.key] == nil {
            before[event.current.key] = .some(event.previous)
        }
    }

    /// The view, right within the range; nil while something is missing.
    package func finish() -> KVView? {
        guard let recent = snapshot.window.after(seen) else { return nil }
        var all = self
        for item in recent { all.note(item) }
        var tree = snapshot.view.tree
        for (key, record) in all.before.sorted(by: { $0.key < $1.key }) {
            if let record { tree.put(record) } else { tree.remove(key) }
        }
        return KVView(revision: revision, compactRevision: snapshot.view.compactRevision, tree: tree)
    }
}

extension StoreSnapshot {
    /// Changes after this revision are in memory.
    package var windowFloor: Revision { window.floor }
    /// Every revision after `revision`, oldest first; nil when the window does not reach so far.
    package func recent(after revision: Revision) -> [RevisionEvents]? { window.after(revision) }
}
