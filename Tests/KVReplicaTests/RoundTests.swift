// What takes long is done in rounds: others have their turn in between, and the order stays.
import Glibc
import KVCore
import KVReplica
import NIOCore
import NIOPosix
import Raft
import Synchronization
import Testing

/// What happened on the replica's loop.
private final class Journal: Sendable {
    private let lines = Mutex<[String]>([])
    func note(_ line: String) { lines.withLock { $0.append(line) } }
    /// Once.
    func noteFirst(_ line: String) -> Bool {
        lines.withLock { lines in
            guard !lines.contains(line) else { return false }
            lines.append(line)
            return true
        }
    }
    /// Whoever else waits for the loop now has its turn.
    func noteOthers() { MultiThreadedEventLoopGroup.currentEventLoop?.execute { self.note("others") } }
    var all: [String] { lines.withLock { $0 } }
}

@Test func `between watches that are told of the past others have their turn, and nothing passes another`() async throws
{
    let cluster = Cluster(1) { $0.roundMilliseconds = 0 }
    try await cluster.start(PeerID(1))
    let replica = try #require(cluster[PeerID(1)])
    for i in 0..<20 { _ = try await replica.propose(put("k\(i)", "v")) }
    let journal = Journal()
    replica.afterInputs {
        // On the loop: all of it is taken together.
        for number in 0..<3 {
            _ = replica.watch(.all, after: Revision(10)) { delivery in
                guard case .progress = delivery, journal.noteFirst("watch \(number)") else { return }
                journal.noteOthers()
            }
        }
        replica.afterInputs { journal.note("end") }
    }
    try await eventually("all came") { journal.all.count == 7 }
    #expect(journal.all == ["watch 0", "others", "watch 1", "others", "watch 2", "others", "end"])
    await cluster.end()
}

@Test func `what is committed at once is applied in rounds, and others have their turn in between`() async throws {
    let cluster = Cluster(1) {
        $0.applyWorkMax = 1
        $0.roundMilliseconds = 0
    }
    try await cluster.start(PeerID(1))
    let replica = try #require(cluster[PeerID(1)])
    _ = try await replica.propose(put("first", "v"))
    let journal = Journal()
    replica.afterInputs {
        // On the loop: they are one batch of the log, and committed together.
        for number in 0..<50 {
            replica.propose(put("k\(number)", "v"), fence: nil) { _ in
                journal.note("\(number)")
                journal.noteOthers()
            }
        }
    }
    try await eventually("all came") { journal.all.count == 100 }
    let puts = journal.all.filter { $0 != "others" }
    #expect(puts == (0..<50).map { "\($0)" })
    // A tick may come first here or there.
    let first = try #require(journal.all.firstIndex(of: "others"))
    #expect(first < 25)
    await cluster.end()
}

/// A connection on somebody's event loop.
private final class Pipe: Sendable {
    private let end: Int32
    let channel: any Channel

    init(on loop: any EventLoop, _ journal: Journal) async throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        end = ends[1]
        channel = try await NIOPipeBootstrap(group: loop).channelInitializer { channel in
            channel.pipeline.addHandler(Reader(journal))
        }.takingOwnershipOfDescriptor(input: ends[0]).get()
    }

    /// It can be read now, by whoever looks.
    func write() { #expect(Glibc.write(end, [1], 1) == 1) }

    func close() async throws {
        Glibc.close(end)
        try await channel.closeFuture.get()
    }

    private final class Reader: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        private let journal: Journal
        init(_ journal: Journal) { self.journal = journal }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { journal.note("connection") }
    }
}

@Test func `between rounds what came on connections has its turn`() async throws {
    let cluster = Cluster(1) {
        $0.applyWorkMax = 1
        $0.roundMilliseconds = 0
    }
    try await cluster.start(PeerID(1))
    let replica = try #require(cluster[PeerID(1)])
    _ = try await replica.propose(put("first", "v"))
    let journal = Journal()
    let loop = Mutex<(any EventLoop)?>(nil)
    replica.afterInputs { loop.withLock { $0 = MultiThreadedEventLoopGroup.currentEventLoop } }
    try await eventually("it is told which") { loop.withLock { $0 != nil } }
    let pipe = try await Pipe(on: try #require(loop.withLock { $0 }), journal)
    replica.afterInputs {
        for number in 0..<50 {
            replica.propose(put("k\(number)", "v"), fence: nil) { _ in
                journal.note("\(number)")
                if number == 0 { pipe.write() }
            }
        }
    }
    try await eventually("all came") { journal.all.count == 51 }
    // A round or two may have been late themselves.
    #expect(try #require(journal.all.firstIndex(of: "connection")) < 40)
    try await pipe.close()
    await cluster.end()
}
