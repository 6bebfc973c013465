// Bytes of HTTP/1.1 response heads and chunks. Written by hand since it is the hot path. It must never let a
// header value break out of its line.
import NIOCore

/// Reason phrases of the statuses in use; clients read the number.
func reasonPhrase(_ status: Int) -> StaticString {
    switch status {
    case 100: "Continue"
    case 101: "Switching Protocols"
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 206: "Partial Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 304: "Not Modified"
    case 307: "Temporary Redirect"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 406: "Not Acceptable"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 410: "Gone"
    case 412: "Precondition Failed"
    case 413: "Request Entity Too Large"
    case 415: "Unsupported Media Type"
    case 422: "Unprocessable Entity"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    default: "Status"
    }
}

extension ByteBuffer {
    mutating func writeResponseHead(status: Int, headers: [(String, String)], http10: Bool = false) {
        writeStaticString(http10 ? "HTTP/1.0 " : "HTTP/1.1 ")
        writeString(String(status))
        writeStaticString(" ")
        writeStaticString(reasonPhrase(status))
        writeStaticString("\r\n")
        for (name, value) in headers { writeHeader(name, value) }
    }

    mutating func writeHeader(_ name: String, _ value: String) {
        writeOneLine(name)
        writeStaticString(": ")
        writeOneLine(value)
        writeStaticString("\r\n")
    }

    /// Control characters become spaces.
    private mutating func writeOneLine(_ text: String) {
        if text.utf8.contains(where: { $0 < 0x20 && $0 != 9 }) {
            writeBytes(text.utf8.map { $0 < 0x20 ? 0x20 : $0 })
        } else {
            writeString(text)
        }
    }

    mutating func writeChunkSize(_ size: Int) {
        writeString(String(size, radix: 16))
        writeStaticString("\r\n")
    }
}
