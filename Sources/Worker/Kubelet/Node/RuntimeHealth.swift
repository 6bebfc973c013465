// Whether the runtime lets the node count as ready. A value: what was seen and when goes in, the problem in upstream's words
// comes out. A runtime that is silent for a moment (it is being restarted or updated) does not make the node unready, since
// its pods live on; what the runtime itself says is wrong counts at once.

package struct RuntimeHealth: Sendable {
    /// Silence of the runtime after which the node is not ready, as upstream.
    package static let silenceMax: Nanoseconds = .seconds(30)
    /// The same for the look at all pods.
    package static let lookSilenceMax: Nanoseconds = .seconds(180)

    private var answeredAt: Nanoseconds?
    private var refusal: String?

    package init() {}

    /// The runtime told its conditions.
    package mutating func answered(_ conditions: [RuntimeCondition], now: Nanoseconds) {
        answeredAt = now
        refusal = conditions.first { !$0.isTrue }.map { condition in
            let detail = "\(condition.type)=false reason:\(condition.reason) message:\(condition.message)"
            return condition.type == "NetworkReady"
                ? "container runtime network not ready: \(detail)" : "container runtime not ready: \(detail)"
        }
    }

    /// Why the node is not ready; nil when it is. `lookedAt`: when all pods were last seen.
    package func problem(lookedAt: Nanoseconds?, now: Nanoseconds) -> String? {
        let problems = [runtimeProblem(now), refusal, Self.lookProblem(lookedAt, now)].compactMap(\.self)
        return problems.count > 1 ? "[\(problems.joined(separator: ", "))]" : problems.first
    }

    private func runtimeProblem(_ now: Nanoseconds) -> String? {
        guard let answeredAt else { return "container runtime status check may not have completed yet" }
        return now &- answeredAt > Self.silenceMax ? "container runtime is down" : nil
    }

    private static func lookProblem(_ lookedAt: Nanoseconds?, _ now: Nanoseconds) -> String? {
        guard let lookedAt else { return "PLEG is not healthy: pleg has yet to be successful" }
        let silence = now &- lookedAt
        guard silence > lookSilenceMax else { return nil }
        let seconds = silence / .second
        return "PLEG is not healthy: pleg was last seen active \(seconds / 60)m\(seconds % 60)s ago; threshold is 3m0s"
    }
}
