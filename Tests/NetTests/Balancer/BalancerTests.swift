// The balancer on real sockets: servers that name themselves, probes that a test answers.
import Logging
import NIOCore
import NIOPosix
import NetBalancer
import Synchronization
import Testing

/// Sends its name to whoever connects, then an echo of what begins with "echo", and nothing else.
private final class Greeter: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    let name: String
    init(_ name: String) { self.name = name }
    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: name)), promise: nil)
    }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        if String(buffer: bytes).hasPrefix("echo") { context.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }
    }
}

/// A client that remembers what it read and whether its connection ended.
private final class Listener: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let text = Mutex("")
    var name: String { text.withLock { $0 } }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        text.withLock { $0 += String(buffer: bytes) }
    }
}

@Suite(.serialized) struct BalancerTests {
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    private func server(_ name: String) async throws -> (any Channel, Backend) {
        let channel = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Greeter(name)) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return (channel, Backend(host: "127.0.0.1", port: channel.localAddress?.port ?? 0))
    }

    private func connect(_ port: Int) async throws -> (any Channel, Listener) {
        let listener = Listener()
        let channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(listener) }
            }
            .connect(host: "127.0.0.1", port: port).get()
        while listener.name.isEmpty && channel.isActive { try await Task.sleep(for: .milliseconds(2)) }
        return (channel, listener)
    }

    private func wait(_ isDone: () -> Bool) async throws {
        while !isDone() { try await Task.sleep(for: .milliseconds(2)) }
    }

    private func balancer(_ backends: [Backend], _ frozen: @escaping @Sendable () -> Set<Backend>) -> Balancer {
        var configuration = BalancerConfiguration()
        configuration.probeInterval = .milliseconds(5)
        configuration.idleProbeInterval = .milliseconds(5)
        return Balancer(
            backends: backends, configuration: configuration, listenGroup: group,
            probe: { backend, _ in !frozen().contains(backend) }, logger: Logger(label: "test"))
    }

    @Test(.timeLimit(.minutes(5)))
    func `clients of a backend that is frozen come back through another one`() async throws {
        let (first, one) = try await server("one")
        let (second, two) = try await server("two")
        let frozen = Mutexed<Set<Backend>>([])
        let balancer = balancer([one, two]) { frozen.value }
        let port = try await balancer.listen(host: "127.0.0.1", port: 0)
        let (client, listener) = try await connect(port)
        frozen.value = [listener.name == "one" ? one : two]
        try await wait { !client.isActive }
        let (_, again) = try await connect(port)
        #expect(again.name == (listener.name == "one" ? "two" : "one"))
        await balancer.stop()
        for channel in [first, second] { try await channel.close() }
    }

    /// A balancer that never probes of itself after its first round; `rounds` counts them by the probes of one backend.
    private func restful(
        _ backends: [Backend], rounds: Mutexed<Int>, _ frozen: @escaping @Sendable () -> Set<Backend>
    ) -> Balancer {
        var configuration = BalancerConfiguration()
        configuration.idleProbeInterval = .hours(1)
        configuration.silenceMax = .milliseconds(10)
        let counted = backends.first
        return Balancer(
            backends: backends, configuration: configuration, listenGroup: group,
            probe: { backend, _ in
                if backend == counted { rounds.change { $0 += 1 } }
                return !frozen().contains(backend)
            }, logger: Logger(label: "test"))
    }

    @Test(.timeLimit(.minutes(5)))
    func `a backend that owes an answer is probed at once, and given up when it is frozen`() async throws {
        let (first, one) = try await server("one")
        let (second, two) = try await server("two")
        let frozen = Mutexed<Set<Backend>>([])
        let balancer = restful([one, two], rounds: Mutexed(0)) { frozen.value }
        let port = try await balancer.listen(host: "127.0.0.1", port: 0)
        let (client, listener) = try await connect(port)
        frozen.value = [listener.name == "one" ? one : two]
        try await client.writeAndFlush(ByteBuffer(string: "hello?"))
        try await wait { !client.isActive }
        await balancer.stop()
        for channel in [first, second] { try await channel.close() }
    }

    @Test(.timeLimit(.minutes(5)))
    func `who is answered, and who is silent but lives, is not probed again and again`() async throws {
        let (first, one) = try await server("one")
        let rounds = Mutexed(0)
        let balancer = restful([one], rounds: rounds) { [] }
        let port = try await balancer.listen(host: "127.0.0.1", port: 0)
        let (client, listener) = try await connect(port)
        try await wait { rounds.value == 1 }
        // On a busy machine an echo may come late: then one probe is right. Until five in turn were not, so that none is
        // under way any more.
        var (turn, late, inTime) = (0, 0, 0)
        while inTime < 5 {
            turn += 1
            let began = NIODeadline.now()
            try await client.writeAndFlush(ByteBuffer(string: "echo"))
            try await wait { listener.name == "one" + String(repeating: "echo", count: turn) }
            let isLate = NIODeadline.now() - began >= .milliseconds(10)
            (late, inTime) = isLate ? (late + 1, 0) : (late, inTime + 1)
        }
        try await Task.sleep(for: .milliseconds(100))
        let before = rounds.value
        #expect(before <= 1 + late)
        try await client.writeAndFlush(ByteBuffer(string: "no answer to this"))
        try await wait { rounds.value == before + 1 }
        try await Task.sleep(for: .milliseconds(100))
        #expect(rounds.value == before + 1)
        await balancer.stop()
        try await first.close()
    }

    @Test func `silence begins with the first bytes and ends with an answer, or with a probe that came later`() {
        let silence = Silence()
        #expect(silence.asked(at: .uptimeNanoseconds(10)))
        #expect(!silence.asked(at: .uptimeNanoseconds(20)))
        #expect(silence.owedSince == .uptimeNanoseconds(10))
        silence.forgive(before: .uptimeNanoseconds(10))
        #expect(silence.owedSince != nil)
        silence.forgive(before: .uptimeNanoseconds(11))
        #expect(silence.owedSince == nil)
        #expect(silence.asked(at: .uptimeNanoseconds(30)))
        silence.answered()
        #expect(silence.owedSince == nil)
    }

    @Test(.timeLimit(.minutes(5)))
    func `connections stay when every backend fails its probes, and new ones are still taken`() async throws {
        let (first, one) = try await server("one")
        let (second, two) = try await server("two")
        let frozen = Mutexed<Set<Backend>>([])
        let balancer = balancer([one, two]) { frozen.value }
        let port = try await balancer.listen(host: "127.0.0.1", port: 0)
        let (client, _) = try await connect(port)
        frozen.value = [one, two]
        try await wait { balancer.backends.allSatisfy { $0.state == .failed } }
        #expect(client.isActive)
        let (late, listener) = try await connect(port)
        #expect(!listener.name.isEmpty)
        #expect(client.isActive && late.isActive)
        await balancer.stop()
        for channel in [first, second] { try await channel.close() }
    }
}

/// A value behind a lock that closures may share.
private final class Mutexed<Value: Sendable>: Sendable {
    private let state: Mutex<Value>
    init(_ value: Value) { state = Mutex(value) }
    func change(_ body: (inout Value) -> Void) { state.withLock { body(&$0) } }
    var value: Value {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}
