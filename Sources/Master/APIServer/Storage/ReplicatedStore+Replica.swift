// `Replica` as the API server's store.
import KVCore
import KVReplica

extension Replica: ReplicatedStore {
    package var isLeaderless: Bool {
        guard let since = status.leaderlessSince else { return false }
        return ContinuousClock.now - since > .milliseconds(configuration.holdMilliseconds)
    }

    package func grantLease(ttlSeconds: Int64) async throws(ProposeError) -> LeaseID {
        try await grantLease(.none, ttlSeconds: ttlSeconds).id
    }

    package var isBehind: Bool { status.isBehind }
}
