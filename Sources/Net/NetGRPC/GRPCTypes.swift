// The values of the gRPC border: status, metadata, settings. They must never hold a channel.
import NIOCore
import NIOHPACK
import NIOPosix
import NetPKI

/// Status codes of gRPC (names are the protocol's).
package enum GRPCCode: Int, Sendable {
    case ok = 0, cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
    case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, `internal`, unavailable, dataLoss,
        unauthenticated
}

/// How a call ended when it did not end with OK.
package struct GRPCStatus: Error, Sendable, Equatable, CustomStringConvertible {
    package var code: GRPCCode
    package var message: String
    /// False when the request certainly never reached the server (it may be repeated).
    package var mayHaveRun: Bool

    package init(_ code: GRPCCode, _ message: String = "", mayHaveRun: Bool = true) {
        self.code = code
        self.message = message
        self.mayHaveRun = mayHaveRun
    }

    package var description: String { "\(code): \(message)" }
}

/// Request or response metadata: lower-case names, in order.
package typealias GRPCMetadata = [(String, String)]

/// Where a channel dials.
package enum GRPCTarget: Sendable {
    case unix(path: String)
    case tcp(host: String, port: Int, tls: ClientTLS?)
}

/// Settings of a `GRPCChannel`.
package struct GRPCChannelConfiguration: Sendable {
    package var connectTimeout: TimeAmount = .seconds(5)
    /// Of a call with one answer that names no time of its own.
    package var callTimeout: TimeAmount = .seconds(10)
    package var messageBytesMax = 16 << 20
    /// Bytes of received messages of one call that wait for their reader before reading stops.
    package var receiveBufferBytesMax = 1 << 20
    package var windowBytes = 1 << 20
    /// HTTP/2 control frames of one connection in 30 seconds (grpc-go pings often).
    package var controlFramesMax = 100_000
    /// PING while calls are open; a dead peer is found in the sum of both. nil sends none.
    package var pingInterval: TimeAmount? = .seconds(10)
    package var pingTimeout: TimeAmount = .seconds(10)
    /// How a name becomes addresses, one for each dial, on its loop. nil: as the system does it.
    package var resolver: (@Sendable (any EventLoop) -> any Resolver & Sendable)?

    package init() {}
}

/// A request over HTTP/2 that is not gRPC, such as `GET /health`, and where its answer goes.
package struct PlainRequest: Sendable {
    package var method: String
    /// Path and query as received.
    package var target: String
    /// To be called once, from any thread.
    package var answer: @Sendable (PlainAnswer) -> Void

    package init(method: String, target: String, answer: @escaping @Sendable (PlainAnswer) -> Void) {
        self.method = method
        self.target = target
        self.answer = answer
    }
}

/// The answer to a `PlainRequest`.
package struct PlainAnswer: Sendable {
    package var status: Int
    package var contentType: String
    package var body: String

    package init(status: Int, contentType: String = "text/plain; charset=utf-8", body: String) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }
}
