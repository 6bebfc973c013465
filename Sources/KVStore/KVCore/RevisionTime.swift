// Revisions and the times of people: which revision the store had reached when. Known to each member by its own wall
// clock, written down for snapshots; it never decides anything.

/// When this member wrote a revision down, by its own wall clock: for people who think in times. Nothing else depends
/// on it.
package struct RevisionTime: Hashable, Sendable {
    package var revision: Revision
    package var unixMilliseconds: Int64

    package init(revision: Revision, unixMilliseconds: Int64) {
        self.revision = revision
        self.unixMilliseconds = unixMilliseconds
    }
}
