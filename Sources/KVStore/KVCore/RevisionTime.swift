// Revisions and the times of people: which revision the store had reached when. Known to each member by its own wall
// clock, written down for snapshots; it never decides anything.

/// The first revision that this member applied in a second of its own wall clock: for people who think in times.
/// Nothing else depends on it.
package struct RevisionTime: Hashable, Sendable {
    package var revision: Revision
    package var unixMilliseconds: Int64

    package init(revision: Revision, unixMilliseconds: Int64) {
        self.revision = revision
        self.unixMilliseconds = unixMilliseconds
    }
}

/// Notes one mark a second in which something changed: what held at the end of a second is what was before the first
/// revision of a later one.
package struct RevisionTimes: Sendable {
    /// Of marks that are kept here, whether or not they are on disk.
    package static let keptMax = 64
    package private(set) var kept: [RevisionTime] = []
    private var last: Revision
    private var lastSecond: Int64?
    private var taken = Revision.zero

    /// `revision`: what the state has already, from before.
    package init(after revision: Revision) { last = revision }

    /// The state has come to a revision. `clock`: the wall clock, in milliseconds since 1970.
    package mutating func note(_ revision: Revision, at clock: @autoclosure () -> Int64) {
        guard revision > last else { return }
        let now = clock()
        defer { last = revision }
        let second = now / 1000
        guard second != lastSecond else { return }
        lastSecond = second
        if kept.count >= Self.keptMax { kept.removeFirst() }
        kept.append(RevisionTime(revision: last.next, unixMilliseconds: now))
    }

    /// Those that were not taken yet, once.
    package mutating func take() -> [RevisionTime] {
        let marks = kept.filter { $0.revision > taken }
        taken = marks.last?.revision ?? taken
        return marks
    }
}
