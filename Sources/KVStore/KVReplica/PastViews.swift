// The last few views of the past that were asked for: a list in pages asks for one again and again, and making it undoes what came
// since. Each keeps an old tree alive, so they are few and not kept for long; a state that was replaced takes them along.
import KVCore

package struct PastViews: Sendable {
    static let viewsMax = 4
    /// Not asked for during this time, a view goes.
    static let idleMilliseconds: Int64 = 60_000

    private struct Row: Sendable {
        var view: KVView
        var revision: Revision
        var used: Int64
    }
    private var rows: [Row] = []

    package init() {}

    package var isEmpty: Bool { rows.isEmpty }

    package mutating func find(_ revision: Revision, now: Int64) -> KVView? {
        guard let place = rows.firstIndex(where: { $0.revision == revision }) else { return nil }
        rows[place].used = now
        return rows[place].view
    }

    package mutating func add(_ revision: Revision, _ view: KVView, now: Int64) {
        rows.insert(Row(view: view, revision: revision, used: now), at: 0)
        if rows.count > Self.viewsMax { rows.removeLast() }
    }

    package mutating func letGo(now: Int64, compacted: Revision) {
        rows.removeAll { $0.revision < compacted || now - $0.used > Self.idleMilliseconds }
    }

    package mutating func removeAll() { rows = [] }
}
