// Every setting and limit of an HTTP server, validated by its types, passed in by the caller. It must never read
// flags, files or the environment.
import NIOCore
import NetPKI

/// An error that the server answers by itself (malformed request, body too large, timeout).
package struct HTTPServerError: Sendable {
    package var status: Int
    /// One sentence for the client.
    package var message: String

    package init(status: Int, message: String) {
        self.status = status
        self.message = message
    }
}

/// A whole answer.
package struct HTTPAnswer: Sendable {
    package var status: Int
    package var headers: [(String, String)]
    package var body: ByteBuffer

    package init(status: Int, headers: [(String, String)], body: ByteBuffer) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Settings of an `HTTPServer`.
package struct HTTPServerConfiguration: Sendable {
    package var host: String
    /// 0 takes a free one; `start` returns it.
    package var port: Int
    /// nil serves plain HTTP/1.1.
    package var tls: ServerTLS?
    package var requestBytesMax = 3 << 20
    package var headerBytesMax = 1 << 20
    package var headerFieldsMax = 256
    /// A connection without a request for this long is closed.
    package var idleTimeout: TimeAmount = .minutes(5)
    /// A TLS handshake or a request head that is not complete after this is closed.
    package var headerTimeout: TimeAmount = .seconds(30)
    /// A request body that is not complete after this is answered with 408 and closed.
    package var bodyTimeout: TimeAmount = .seconds(60)
    /// Concurrent HTTP/2 streams of one connection.
    package var streamsMax = 1000
    package var connectionsMax = 10_000
    /// HTTP/2 control frames (PING, SETTINGS, ...) of one connection in 30 seconds: Go clients send many.
    package var controlFramesMax = 100_000
    /// Bytes not yet taken by the socket above which `HTTPResponseWriter.isWritable` is false.
    package var writeHighWatermarkBytes = 64 << 10
    /// Bytes of a refused body that are read and dropped, so that the client gets to read the refusal.
    package var discardBytesMax = 64 << 20
    /// Makes the answer to requests that never reach the service (413, 431, 400, 408).
    package var errorResponder: @Sendable (HTTPServerError) -> HTTPAnswer = { error in
        HTTPAnswer(
            status: error.status, headers: [("content-type", "text/plain; charset=utf-8")],
            body: ByteBuffer(string: error.message + "\n"))
    }

    package init(host: String, port: Int, tls: ServerTLS? = nil) {
        self.host = host
        self.port = port
        self.tls = tls
    }
}
