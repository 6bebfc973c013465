// A watch's body, one JSON object a line, pulled by its reader: while nobody pulls, the socket is not read.
// A line has a limit; an ERROR event becomes a thrown Status; a lost connection is the end of the stream.
import API
import NIOCore
import NetHTTP
import Synchronization

/// Splits and decodes the lines of a watch. One reader.
final class WatchLines: Sendable {
    static let lineBytesMax = 16 << 20

    private let body: HTTPBodyStream
    private let pending = Mutex(ByteBuffer())

    init(_ body: HTTPBodyStream) { self.body = body }

    /// The next event; nil at the end.
    func next() async throws -> WatchEvent? {
        while true {
            if let line = takeLine() {
                if let event = try Self.event(line) { return event }
                continue
            }
            guard pending.withLock({ $0.readableBytes }) < Self.lineBytesMax else {
                throw Status.internalError("a watch event is above \(Self.lineBytesMax) bytes")
            }
            let chunk: ByteBuffer?
            do { chunk = try await body.next() } catch { return nil }
            guard var chunk else { return nil }
            pending.withLock { _ = $0.writeBuffer(&chunk) }
        }
    }

    private func takeLine() -> [UInt8]? {
        pending.withLock { buffer in
            guard let end = buffer.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
            let line = buffer.readBytes(length: end - buffer.readerIndex) ?? []
            buffer.moveReaderIndex(forwardBy: 1)
            buffer.discardReadBytes()
            return line
        }
    }

    /// Nil for an empty line and for types that are not known.
    static func event(_ line: [UInt8]) throws -> WatchEvent? {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x0d }) { return nil }
        let tree: JSON
        do { tree = try JSON.parse(line) } catch {
            throw Status.internalError("a watch event is no JSON: \(error.message)")
        }
        let object = tree["object"] ?? .null
        switch tree["type"]?.string {
        case "ADDED": return .added(object)
        case "MODIFIED": return .modified(object)
        case "DELETED": return .deleted(object)
        case "BOOKMARK": return .bookmark(resourceVersion: object.resourceVersion)
        case "ERROR": throw StatusError(status: object)
        default: return nil
        }
    }
}
