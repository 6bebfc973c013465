// What makes a server answer by itself, before any service sees the request: one list of faults, one status and one
// sentence for each, whichever protocol the request came by.
import NIOHTTP1

/// A request that never reaches the service.
enum RequestFault: Sendable, Hashable {
    case bodyTooLarge(limitBytes: Int)
    case bodyTimedOut
    case headerTooLarge
    case badTarget
    case badVersion
    case malformed(String)

    /// The answer to what the HTTP/1.1 decoder refused; nil: nothing to answer, the connection ends.
    init?(_ error: HTTPParserError) {
        switch error {
        case .headerOverflow: self = .headerTooLarge
        case .invalidEOFState, .closedConnection: return nil
        case .invalidVersion: self = .badVersion
        default: self = .malformed("\(error)")
        }
    }

    var status: Int {
        switch self {
        case .bodyTooLarge: 413
        case .bodyTimedOut: 408
        case .headerTooLarge: 431
        case .badTarget, .badVersion, .malformed: 400
        }
    }

    /// One sentence for the client.
    var message: String {
        switch self {
        case .bodyTooLarge(let limitBytes): "Request entity too large: limit is \(limitBytes)"
        case .bodyTimedOut: "the request was not complete in time"
        case .headerTooLarge: "the request header is too large"
        case .badTarget: "malformed request target or headers"
        case .badVersion: "unsupported HTTP version"
        case .malformed(let why): "malformed HTTP request: \(why)"
        }
    }
}

extension HTTPServerConfiguration {
    /// The whole answer to a faulty request.
    func answer(to fault: RequestFault) -> HTTPAnswer {
        errorResponder(HTTPServerError(status: fault.status, message: fault.message))
    }

    var bodyTooLarge: RequestFault { .bodyTooLarge(limitBytes: requestBytesMax) }
}
