// Deletions of many keys, executed beside the loop of each member.
import KVCore
import KVReplica
import Raft
import Testing

@Test func `a deletion of many keys is executed beside the loop, and everybody ends with the same`() async throws {
    let cluster = Cluster(3) {
        $0.applyKeysMax = 50
        $0.applyWorkMax = 3
        $0.roundMilliseconds = 0
    }
    try await cluster.startAll()
    let leader = try await cluster.leader()
    let pods = KeyRange(lower: Key("pod"), upper: Key("poe"))
    for round in 0..<3 {
        let puts = (0..<1000).map { Op.put(Key("pod\($0)"), [UInt8(round)]) }
        _ = try await leader.propose(Txn(success: puts))
        let deletion = Txn(success: [.delete(pods, returnPrevious: false), .put(Key("round"), [UInt8(round)])])
        let result = try await leader.propose(deletion)
        #expect(result.results.first == .delete(count: 1000, previous: []))
        #expect(leader.view().keyCount == 1)
    }
    _ = try await leader.propose(Txn(success: [.put(Key("after"), [1])]))
    try await eventually("all have the same") {
        var hashes: Set<UInt64> = []
        for replica in cluster.replicas { hashes.insert(await replica.stateHash().hash) }
        return hashes.count == 1
    }
    let again = leader.configuration.id
    await cluster.stop(again)
    try await cluster.start(again)
    try await cluster[again]?.barrier()
    #expect(cluster[again]?.view().keyCount == 2)
    await cluster.end()
}
