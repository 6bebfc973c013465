// The end of a member whose cluster was given up (`Superseded.swift`).
import Logging
import Raft

extension ReplicaLoop {
    /// It stops serving, and remembers that it must not start again.
    func superseded(by cluster: UInt64, _ peer: PeerID) {
        guard !isEnded else { return }
        do throws(ConfigurationError) {
            try SupersededMark.write(configuration.dataDirectory, by: cluster)
        } catch {
            configuration.logger.error("it may start again by mistake", metadata: ["error": "\(error)"])
        }
        fatal(
            """
            this cluster was given up: its member \(peer) was recovered as cluster \(String(cluster, radix: 16)). Empty \
            this member's data directory and add it to that one
            """)
    }
}
