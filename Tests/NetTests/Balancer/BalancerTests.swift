// The balancer on real sockets: servers that name themselves, probes that a test answers.
import Logging
import NIOCore
import NIOPosix
import NetBalancer
import Synchronization
import Testing

/// Sends its name to whoever connects, then nothing.
private final class Greeter: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    let name: String
    init(_ name: String) { self.name = name }
    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: name)), promise: nil)
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
        return Balancer(
            backends: backends, configuration: configuration, listenGroup: group,
            probe: { backend, _ in !frozen().contains(backend) }, logger: Logger(label: "test"))
    }

    @Test(.timeLimit(.minutes(1)))
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

    @Test(.timeLimit(.minutes(1)))
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
    var value: Value {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}
