// Exponential back-off as a value: 10 s, doubled at each failure up to 5 min, forgotten after 10 quiet minutes.
// (Upstream's figures for restarts of containers and pulls of images.)

package struct BackOff: Sendable, Equatable {
    package static let first: Nanoseconds = .seconds(10)
    package static let longest: Nanoseconds = .seconds(300)
    package static let forgottenAfter: Nanoseconds = .seconds(600)

    /// How long the present pause is; 0 before the first failure.
    package private(set) var delay: Nanoseconds = 0
    private var steppedAt: Nanoseconds = 0

    package init() {}

    /// What remains forgotten: a long success starts from zero.
    package mutating func forgetIfOld(now: Nanoseconds) {
        if delay > 0 && now &- steppedAt > Self.forgottenAfter { delay = 0 }
    }

    /// Another attempt is being made: the pause after it is twice as long.
    package mutating func step(now: Nanoseconds) {
        delay = delay == 0 ? Self.first : min(delay &* 2, Self.longest)
        steppedAt = now
    }

    /// `10s`, `1m20s`, `5m0s`: a duration as Go prints it.
    package var text: String {
        let seconds = delay / .second
        return seconds < 60 ? "\(seconds)s" : "\(seconds / 60)m\(seconds % 60)s"
    }
}
