// Members whose state database is not what they wrote: they take part by their log, serve nothing, and take the leader's
// state without anybody's help.
import CSQLite
import Glibc
import KVCore
import KVReplica
import Raft
import Testing

private enum Harm: CaseIterable { case counters, schema, garbage, gone }

private func harm(_ harm: Harm, _ file: String) throws {
    switch harm {
    case .counters: try execute("UPDATE meta SET counters = zeroblob(9)", file)
    case .schema: try execute("ALTER TABLE current RENAME COLUMN record TO disc", file)
    case .garbage:
        unlink(file + "-wal")
        let descriptor = open(file, O_WRONLY | O_TRUNC)
        #expect(write(descriptor, Array(repeating: 0x33, count: 5000), 5000) == 5000)
        close(descriptor)
    case .gone: for name in ["", "-wal", "-shm"] { unlink(file + name) }
    }
}

private func execute(_ sql: String, _ file: String) throws {
    var handle: OpaquePointer?
    defer { sqlite3_close_v2(handle) }
    #expect(sqlite3_open_v2(file, &handle, SQLITE_OPEN_READWRITE, nil) == SQLITE_OK)
    #expect(sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK)
}

@Suite(.serialized) struct DamageTests {
    /// With a hundred keys. The others: who is not the leader, and the first one's log does not tell all of them any more.
    private func threeWithCutLogs() async throws -> (Cluster, leader: Replica, others: [PeerAddress]) {
        let cluster = Cluster(3) { configuration in
            configuration.checkpointMilliseconds = 50
            configuration.logTailEntries = 8
        }
        try await cluster.startAll()
        let leader = try await cluster.leader()
        for i in 0..<100 { _ = try await leader.propose(put("k\(i)", "v\(i)")) }
        let others = cluster.addresses.filter { $0.id != leader.configuration.id }
        let first = try #require(cluster[others[0].id])
        try await eventually("its log was cut") { await first.compactedLogIndex() > .zero }
        return (cluster, leader, others)
    }

    /// The third member is away: without the damaged one's log nothing could be agreed on.
    @Test(arguments: Harm.allCases, [true, false])
    private func `a member with a damaged state acknowledges by its log and takes the leader's state`(
        _ kind: Harm, hasCopy: Bool
    ) async throws {
        let (cluster, leader, others) = try await threeWithCutLogs()
        await cluster.stop(others[0].id)
        await cluster.stop(others[1].id)
        let folder = "\(cluster.directory)/\(others[0].name)"
        try harm(kind, folder + "/state.sqlite")
        if !hasCopy { unlink(folder + "/members") }
        try await cluster.start(others[0].id)
        try await eventually("written with two of three") {
            do { _ = try await cluster.leader().propose(put("after", "1")) } catch { return false }
            return true
        }
        guard let healed = cluster[others[0].id] else { throw TestFailure("it did not start") }
        try await eventually("it has the leader's state") {
            let (mine, theirs) = (await healed.stateHash(), await leader.stateHash())
            return !healed.status.isFenced && mine.index == theirs.index && mine.hash == theirs.hash
        }
        try await healed.barrier()
        #expect(healed.view().get(Key("k7"))?.value == Array("v7".utf8))
        // The same again without anything to repair.
        await cluster.stop(others[0].id)
        try await cluster.start(others[0].id)
        try await eventually("it takes part as before") {
            cluster[others[0].id].map { $0.status.leader != nil && !$0.status.isFenced } ?? false
        }
        await cluster.end()
    }

    @Test func `a verdict of the others outlives a restart`() async throws {
        let (cluster, leader, others) = try await threeWithCutLogs()
        let wrong = try #require(cluster[others[0].id])
        // Nobody is there who could send it another one.
        await cluster.stop(others[1].id)
        await cluster.stop(leader.configuration.id)
        await wrong.distrustState()
        try await eventually("it is fenced") { wrong.status.isFenced }
        await cluster.stop(others[0].id)
        try await cluster.start(others[0].id)
        guard let again = cluster[others[0].id] else { throw TestFailure("it did not start") }
        try await eventually("it still is") { again.status.isFenced }
        try await cluster.start(others[1].id)
        try await cluster.start(leader.configuration.id)
        try await eventually("it has another state") { !again.status.isFenced }
        try await again.barrier()
        #expect(again.view().get(Key("k7"))?.value == Array("v7".utf8))
        await cluster.end()
    }
}
