// A running cluster and the connections to it, used from the main thread: start, find the leader, ask, end. The load
// itself runs on the one event loop.
import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// Waits for one answer.
final class Answer: CallOwner, @unchecked Sendable {
    private let promise: EventLoopPromise<ByteBuffer>
    private var message = ByteBuffer()
    var future: EventLoopFuture<ByteBuffer> { promise.futureResult }

    init(_ loop: any EventLoop) { promise = loop.makePromise() }
    func received(_ message: ByteBuffer) { self.message = message }
    func ended(_ end: CallEnd) {
        if end.status == 0 { return promise.succeed(message) }
        promise.fail(BenchError.failed("status \(end.status): \(end.text)"))
    }
}

final class Session {
    let loop: any EventLoop
    var servers: Servers
    private(set) var leader = 0
    private(set) var memberIDs: [UInt64] = []
    private var pool: [[Connection]] = [[], [], []]

    init(_ servers: Servers, _ loop: any EventLoop) throws {
        self.servers = servers
        self.loop = loop
        try self.servers.startAll()
        try waitUntilReady()
    }

    func end() {
        dropConnections()
        servers.endAll()
        for member in servers.members { Process.remove(member.folder) }
    }

    func dropConnections() {
        let all = pool.flatMap { $0 }
        pool = [[], [], []]
        loop.execute { for connection in all { connection.close() } }
    }

    /// A connection to a member; the same for the same number.
    func connection(_ member: Int, _ number: Int = 0) throws -> Connection {
        pool[member].removeAll { $0.isLost }
        while pool[member].count <= number {
            pool[member].append(try Connection.dial(port: servers.members[member].clientPort, on: loop).wait())
        }
        return pool[member][number]
    }

    /// Connections in turn over the members, the leader first.
    func connections(_ count: Int) throws -> [Connection] {
        try (0..<count).map { try connection((leader + $0) % 3, $0 / 3) }
    }

    func ask(_ connection: Connection, _ path: String, _ message: ByteBuffer, seconds: Int64 = 10) throws -> ByteBuffer
    {
        let answer = Answer(loop)
        loop.execute { connection.call(path, message, answer) }
        let late = loop.scheduleTask(in: .seconds(seconds)) { answer.ended(CallEnd(status: 4, text: "no answer")) }
        defer { late.cancel() }
        return try answer.future.wait()
    }

    func status(_ member: Int) throws -> MemberStatus {
        try MemberStatus(try ask(try connection(member), Path.status, ByteBuffer(), seconds: 2))
    }

    /// Until all members name one leader and take a write.
    func waitUntilReady(seconds: Double = 30) throws {
        let deadline = Clock.nanoseconds() + UInt64(seconds * 1e9)
        var problem = "no answer"
        while Clock.nanoseconds() < deadline {
            do {
                if try isReady() { return }
                problem = "no leader that all know"
            } catch { problem = "\(error)" }
            usleep(20_000)
        }
        throw BenchError.failed("\(servers.system) is not ready: \(problem)\n\(servers.lastWords)")
    }

    private func isReady() throws -> Bool {
        let all = try (0..<3).map { try status($0) }
        guard let first = all.first, first.leader != 0, all.allSatisfy({ $0.leader == first.leader }),
            let position = all.firstIndex(where: { $0.member == first.leader })
        else { return false }
        leader = position
        memberIDs = all.map(\.member)
        for member in 0..<3 {
            _ = try ask(try connection(member), Path.put, Requests.put(valueBytes: 8).make(member), seconds: 2)
        }
        return true
    }
}
