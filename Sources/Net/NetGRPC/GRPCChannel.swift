// A client channel to one server (border; the connection follows).
import NIOCore

/// Calls of one server over one HTTP/2 connection that is dialled when needed and again when lost.
package final class GRPCChannel: Sendable {
    package let target: GRPCTarget

    package init(target: GRPCTarget, configuration: GRPCChannelConfiguration = .init(), group: any EventLoopGroup) {
        self.target = target
    }

    /// One request, one response. `path` is `/package.Service/Method`. `timeout` is also sent to the server.
    package func unary(
        _ path: String, _ message: [UInt8], metadata: GRPCMetadata = [], timeout: TimeAmount = .seconds(10)
    ) async throws(GRPCStatus) -> [UInt8] { throw GRPCStatus(.unimplemented) }

    /// One request, a stream of responses.
    package func serverStream(
        _ path: String, _ message: [UInt8], metadata: GRPCMetadata = [], timeout: TimeAmount? = nil
    ) async throws(GRPCStatus) -> GRPCCall { throw GRPCStatus(.unimplemented) }

    /// A stream of requests, a stream of responses.
    package func open(
        _ path: String, metadata: GRPCMetadata = [], timeout: TimeAmount? = nil
    ) async throws(GRPCStatus) -> GRPCCall { throw GRPCStatus(.unimplemented) }

    /// Closes the connection; calls under way fail.
    package func close() async {}
}

/// One streaming call.
package final class GRPCCall: Sendable {
    /// Sends one message.
    package func send(_ message: [UInt8]) {}
    /// No more messages follow.
    package func finishSending() {}
    /// The next response message; nil after OK. Throws the status otherwise.
    package func next() async throws(GRPCStatus) -> [UInt8]? { nil }
    package func cancel() {}
    init() {}
}
