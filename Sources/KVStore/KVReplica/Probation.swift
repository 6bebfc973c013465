// A member that starts with nothing asks the others whether it ever took part, before it says or does anything. What
// their answers amount to is `Newcomer`'s to say; here they are asked until they answer.
import KVCore
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

    init(
        _ configuration: ReplicaConfiguration, _ group: any EventLoopGroup, isOver: @escaping @Sendable () -> Bool
    ) {
        self.configuration = configuration
        self.group = group
        self.isOver = isOver
        others = configuration.initialPeers.filter { $0.id != configuration.id }
    }

    /// Whether it took part before; nil when the replica ends meanwhile.
    func outcome() async -> Bool? {
        await withTaskGroup(of: (PeerID, Bool)?.self) { tasks in
            for other in others { tasks.addTask { await ask(other).map { (other.id, $0) } } }
            defer { tasks.cancelAll() }
            var newcomer = Newcomer(
                members: configuration.initialPeers.count, others: others.count, joins: configuration.joins)
            while newcomer.verdict == .open {
                guard let answer = await tasks.next() else { return nil }
                if let (peer, tookPart) = answer { newcomer.note(tookPart, by: peer) }
            }
            return newcomer.verdict == .tookPart
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
