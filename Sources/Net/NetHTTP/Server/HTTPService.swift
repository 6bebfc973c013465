// What a server calls for each request. It exists so that the server knows nothing of what is served.

/// Answers requests. One object serves all connections of a server.
package protocol HTTPService: Sendable {
    /// Called on the connection's event loop when head and whole body are there. It must not block. The answer may be
    /// given now or later, from any thread, through `response`.
    func respond(to request: HTTPRequest, _ response: HTTPResponseWriter)
}

/// A service made of a closure.
package struct HTTPClosureService: HTTPService {
    private let closure: @Sendable (HTTPRequest, HTTPResponseWriter) -> Void

    package init(_ closure: @escaping @Sendable (HTTPRequest, HTTPResponseWriter) -> Void) { self.closure = closure }

    package func respond(to request: HTTPRequest, _ response: HTTPResponseWriter) { closure(request, response) }
}
