// What of a log is wanted, as the query says it. Pure.
// Both the kubelet's tests and its server read queries through it. It must never guess: what is no number is refused.
import NetHTTP

package struct LogOptionsError: Error, Sendable, Equatable {
    package var message: String
}

package struct LogOptions: Sendable, Equatable {
    package var follow = false
    package var previous = false
    package var timestamps = false
    package var tailLines: Int?
    package var limitBytes: Int?
    /// RFC 3339 with nanoseconds: lines before it are left out (texts compare, since the runtime writes UTC).
    package var since: Nanoseconds?
    /// nil: both.
    package var stream: String?

    package init() {}

    package init(_ request: HTTPRequest, now: Nanoseconds) throws(LogOptionsError) {
        func flag(_ name: String) -> Bool { request.query(name).map { $0 == "true" || $0 == "1" } ?? false }
        follow = flag("follow")
        previous = flag("previous")
        timestamps = flag("timestamps")
        tailLines = try Self.number(request, "tailLines")
        limitBytes = try Self.number(request, "limitBytes")
        if let seconds = try Self.number(request, "sinceSeconds") {
            since = now &- .seconds(Int64(min(seconds, 1 << 32)))
        } else if let text = request.query("sinceTime") {
            guard let time = TimeText.parse(text) else {
                throw LogOptionsError(message: "sinceTime \"\(text)\" is no RFC 3339 time")
            }
            since = time
        }
        if let wanted = request.query("stream"), wanted != "All" { stream = wanted.lowercased() }
    }

    private static func number(_ request: HTTPRequest, _ name: String) throws(LogOptionsError) -> Int? {
        guard let text = request.query(name), !text.isEmpty else { return nil }
        guard let value = Int(text), value >= 0 else {
            throw LogOptionsError(message: "\(name) \"\(text)\" is no whole number")
        }
        return value
    }
}
