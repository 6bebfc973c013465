// Whether members still run, for who is about to give them up: a connection to their peer addresses is accepted, by
// whomever. Nothing is said on it, so that no certificate is needed.
import KVCore
import NIOCore
import NIOPosix

extension [Member] {
    /// Those at whose peer address somebody takes connections.
    package func answering(withinSeconds seconds: Int64) async throws -> [Member] {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var found: [Member] = []
        await withTaskGroup(of: Member?.self) { tasks in
            for member in self {
                tasks.addTask {
                    do {
                        let bootstrap = ClientBootstrap(group: group).connectTimeout(.seconds(seconds))
                        let channel = try await bootstrap.connect(host: member.host, port: member.port).get()
                        channel.close(promise: nil)
                        return member
                    } catch { return nil }
                }
            }
            for await member in tasks { if let member { found.append(member) } }
        }
        try await group.shutdownGracefully()
        return found.sorted { $0.name < $1.name }
    }
}
