// What a service asks of the connection, as values that cross threads, and the border to the protocol handlers
// that carry them out on the event loop.
import NIOCore

enum ResponseOperation: Sendable {
    case whole(HTTPAnswer)
    case head(status: Int, headers: [(String, String)])
    case data(ByteBuffer)
    case end
    case reset
    case upgrade(status: Int, headers: [(String, String)], @Sendable (RawConnection) -> Void)
}

/// A protocol handler (HTTP/1.1 connection or HTTP/2 stream). Called on its event loop only.
protocol ResponseSink: AnyObject {
    /// Carries out one operation of `writer`; ignores it when the writer is not the current one.
    func perform(_ operation: ResponseOperation, of writer: HTTPResponseWriter)
    /// Flushes what was written.
    func flushNow()
    /// Flushes at the end of this event-loop tick.
    func flushSoon()
}
