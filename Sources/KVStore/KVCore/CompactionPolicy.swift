// How much history the leader keeps unasked. A value that a process is told at start; members may differ, the leader's
// counts.

/// When the leader proposes that history goes.
package enum CompactionPolicy: Hashable, Sendable {
    /// Only when a client asks.
    case never
    /// History of this age goes. What is kept is up to one period more, see `periodMilliseconds`.
    case age(milliseconds: Int64)
    /// All but so many of the newest revisions go.
    case revisions(Int64)

    static let hourMilliseconds: Int64 = 3_600_000
    static let revisionsPeriodMilliseconds: Int64 = 300_000
    /// Points in time that are remembered for `age`.
    static let samplesMax: Int64 = 64

    /// History is looked at once in this time: with the age itself when that is short, once an hour when it is long.
    var periodMilliseconds: Int64 {
        switch self {
        case .never: Self.hourMilliseconds
        case .age(let age): max(1, age / Self.samplesMax, min(age, Self.hourMilliseconds))
        case .revisions: Self.revisionsPeriodMilliseconds
        }
    }
}

/// Which revision was the newest at which time, as far back as the policy reaches. Forgotten with the leadership.
struct RevisionSamples: Sendable {
    private var samples: [(time: Int64, revision: Revision)] = []

    /// The newest revision that is `age` old now, and notes the present one.
    mutating func note(_ revision: Revision, now: Int64, age: Int64) -> Revision? {
        var target: Revision?
        if let due = samples.lastIndex(where: { now &- $0.time >= age }) {
            target = samples[due].revision
            samples.removeFirst(due + 1)
        }
        samples.append((now, revision))
        return target
    }
}
