// The past: a view at an earlier revision is the current tree with the window's changes undone, newest first. And the
// hash of the logical state, by which peers notice that they disagree: it depends on nothing local (no window, no
// disk).

extension StateMachine {
    /// The recent revisions that are kept in memory, oldest first.
    package var history: [RevisionEvents] { window.after(window.floor) ?? [] }

    /// The present with the recent past.
    package var snapshot: StoreSnapshot { StoreSnapshot(view: view, window: window) }

    /// Keys, leases, sessions, members, revisions and log time as one number, from parts that are kept as they change:
    /// it costs the same whatever the state holds.
    package var stateHash: UInt64 {
        var hash = Hash64()
        for word in [recordsHash, leases.hash, sessions.hash, membersHash] { hash.add(word) }
        for word in [revision.rawValue, compactRevision.rawValue, logTime] { hash.add(UInt64(bitPattern: word)) }
        if clusterVersion != EntryFormat.oldest { hash.add(UInt64(clusterVersion)) }
        return hash.value
    }
}

/// A view together with what is needed to look back from it; immutable, for readers on any thread.
package struct StoreSnapshot: Sendable {
    package var view: KVView
    var window: EventWindow

    package init(view: KVView = KVView()) {
        self.view = view
        window = EventWindow(floor: view.revision)
    }

    init(view: KVView, window: EventWindow) {
        self.view = view
        self.window = window
    }

    /// The store as it was at `target`.
    package func view(at target: Revision) throws(ReadError) -> KVView {
        if target == view.revision { return view }
        if target > view.revision { throw .future(view.revision) }
        if target < view.compactRevision { throw .compacted(view.compactRevision) }
        guard let past = past(target) else { throw .compacted(max(window.floor, view.compactRevision)) }
        return past
    }

    /// nil: the window does not reach so far back.
    func past(_ target: Revision) -> KVView? {
        guard let undone = window.after(target) else { return nil }
        var tree = view.tree
        for item in undone.reversed() {
            for event in item.events.reversed() {
                if let previous = event.previous { tree.put(previous) } else { tree.remove(event.current.key) }
            }
        }
        return KVView(revision: target, compactRevision: view.compactRevision, tree: tree)
    }
}

extension KeyValue {
    var hash64: UInt64 {
        var hash = Hash64()
        hash.add(key.bytes)
        hash.add(value)
        for word in [createRevision.rawValue, modRevision.rawValue, version, lease.rawValue] {
            hash.add(UInt64(bitPattern: word))
        }
        return hash.value
    }
}
