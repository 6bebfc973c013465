// A member that starts with nothing may be new, or may have lost its disk. In the second case it has forgotten what it
// voted for and which entries it acknowledged, and must not do either again under the same number (Raft §5.1: votes and
// the log survive). It cannot tell by itself, so it asks the others before it says or does anything: whoever has heard
// it keep an entry has it in the replicated directory. Those that are new themselves know nobody.
import Logging
import NIOCore
import Raft

struct Probation: Sendable {
    private static let retryMilliseconds: Int64 = 25
    private static let answerSeconds: Int64 = 1
    private static let reportSeconds: Int64 = 10
    private let configuration: ReplicaConfiguration
    private let group: any EventLoopGroup
    private let isOver: @Sendable () -> Bool
    private let others: [PeerAddress]
    /// With itself a quorum of a new cluster; who joins was told its number by somebody who runs.
    private let answersNeeded: Int

    init(
        _ configuration: ReplicaConfiguration, _ group: any EventLoopGroup, isOver: @escaping @Sendable () -> Bool
    ) {
        self.configuration = configuration
        self.group = group
        self.isOver = isOver
        others = configuration.initialPeers.filter { $0.id != configuration.id }
        answersNeeded = configuration.joins ? min(1, others.count) : configuration.initialPeers.count / 2
    }

    /// Whether it took part before; nil when the replica ends meanwhile.
    func outcome() async -> Bool? {
        await withTaskGroup(of: Bool?.self) { tasks in
            for other in others { tasks.addTask { await ask(other) } }
            defer { tasks.cancelAll() }
            var answers = 0
            while answers < answersNeeded {
                guard let answer = await tasks.next() else { return nil }
                if answer == true { return true }
                if answer == false { answers += 1 }
            }
            return false
        }
    }

    /// Until it answers.
    private func ask(_ other: PeerAddress) async -> Bool? {
        let inquiry = PeerInquiry(cluster: configuration.clusterID, member: configuration.id)
        var reported = ContinuousClock.now
        var isNews = true
        while !isOver(), !Task.isCancelled {
            do {
                return try await inquiry.ask(
                    host: other.host, port: other.port, tls: configuration.tls, group: group,
                    seconds: Self.answerSeconds)
            } catch {
                // Others may start later; who does not accept this one's certificate will not.
                let isHopeless = isNews && PeerLink.isRefusedByTLS(error)
                if isHopeless || ContinuousClock.now - reported >= .seconds(Self.reportSeconds) {
                    (reported, isNews) = (.now, false)
                    configuration.logger.warning(
                        "this member has no data and waits for others to say whether it is new",
                        metadata: ["peer": "\(other.name)", "error": "\(error)"])
                }
            }
            do { try await Task.sleep(for: .milliseconds(Self.retryMilliseconds)) } catch { return nil }
        }
        return nil
    }
}
