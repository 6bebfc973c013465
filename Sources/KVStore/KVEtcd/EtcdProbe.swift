// What a kubelet's or a balancer's probe asks for, read from its path and query with etcd's names. Pure: it says which
// checks count and words their results; it asks nobody.
import NetHTTP

/// `/livez` and `/readyz`, whole or one check of them.
struct EtcdProbe: Sendable, Equatable {
    enum Check: String, Sendable, CaseIterable {
        /// This member's state is not doubted by the others.
        case dataCorruption = "data_corruption"
        /// The member itself answers.
        case serializableRead = "serializable_read"
        /// The member and a majority answer.
        case linearizableRead = "linearizable_read"
        case nonLearner = "non_learner"
    }

    var checks: [Check]
    /// Passed checks are listed too.
    var isVerbose: Bool

    /// nil: there is no such probe.
    init?(_ target: RequestTarget) {
        let parts = target.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        let all: [Check]
        switch parts.first {
        case "livez": all = [.serializableRead]
        case "readyz": all = Check.allCases
        default: return nil
        }
        isVerbose = target.query.contains { $0.name == "verbose" }
        switch parts.count {
        case 1:
            let excluded = Self.excluded(target)
            checks = all.filter { !excluded.contains($0.rawValue) }
        case 2:
            guard let name = parts.last, let one = all.first(where: { $0.rawValue == name }) else { return nil }
            checks = [one]
        default: return nil
        }
    }

    /// The values of `exclude=`.
    static func excluded(_ target: RequestTarget) -> Set<String> {
        Set(target.query.filter { $0.name == "exclude" && !$0.value.isEmpty }.map(\.value))
    }

    /// The answer when the checks had these results; nil is a pass. What failed is always told.
    func answer(_ failure: (Check) -> String?) -> (status: Int, body: String) {
        var lines = ""
        var isHealthy = true
        for check in checks {
            if let reason = failure(check) {
                isHealthy = false
                lines += "[-]\(check.rawValue) failed: \(reason)\n"
            } else {
                lines += "[+]\(check.rawValue) ok\n"
            }
        }
        guard isHealthy else { return (503, lines) }
        return (200, (isVerbose ? lines : "") + "ok\n")
    }
}
