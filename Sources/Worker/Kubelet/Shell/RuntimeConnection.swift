// The real transport of RuntimeClient: one gRPC connection on the runtime's socket, dialled again when it is lost.
// It exists so that RuntimeClient knows no sockets. It must never retry a call: the runtime may have done it already.
import NIOCore
import NetGRPC

extension RuntimeClient {
    /// Connects to `unix:///run/containerd/containerd.sock` (or a plain path); the first call dials.
    package static func connect(
        endpoint: String, group: any EventLoopGroup
    ) -> (
        client: RuntimeClient, channel: GRPCChannel
    ) {
        var configuration = GRPCChannelConfiguration()
        configuration.messageBytesMax = 64 << 20
        let channel = GRPCChannel(target: .unix(path: socketPath(endpoint)), configuration: configuration, group: group)
        let client = RuntimeClient { path, request, seconds throws(RuntimeError) in
            do throws(GRPCStatus) {
                return try await channel.unary(path, request, timeout: .seconds(seconds))
            } catch {
                throw RuntimeError(code: error.code.rawValue, message: error.message)
            }
        }
        return (client, channel)
    }

    package static func socketPath(_ endpoint: String) -> String {
        let prefix = "unix://"
        return endpoint.hasPrefix(prefix) ? String(endpoint.dropFirst(prefix.count)) : endpoint
    }
}
