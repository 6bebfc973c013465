// What a stream has to send and may not yet, because a window of the client is closed or the socket takes no more. Whole
// messages wait as they were given, also those whose bytes other calls share; they are copied once, into the frames
// that carry them, however small these are.
import NIOCore

/// Messages in order, taken in pieces of any length.
package struct GRPCSendQueue {
    private enum Item {
        case message(GRPCServerMessage)
        /// Without the head of a message: what is not gRPC's.
        case plain([UInt8])

        /// On the wire.
        var length: Int {
            switch self {
            case .message(let message): message.count + GRPCServerMessage.headBytes
            case .plain(let bytes): bytes.count
            }
        }
        /// What the sender counts.
        var count: Int {
            if case .message(let message) = self { message.count } else { 0 }
        }
    }
    private var items = CircularBuffer<Item>()
    private var sentOfFirst = 0
    /// Bytes on the wire that still wait.
    package private(set) var count = 0
    /// Bytes that were ever copied: the work done.
    package private(set) var copiedBytes = 0

    package init() {}

    package mutating func append(_ message: GRPCServerMessage) { append(.message(message)) }
    package mutating func append(text: String) { append(.plain(Array(text.utf8))) }

    private mutating func append(_ item: Item) {
        items.append(item)
        count += item.length
    }

    /// Moves so many bytes (at most what waits) to the output; the answer counts the messages that are complete with
    /// them, without their heads.
    package mutating func take(_ length: Int, _ output: inout ByteBuffer) -> Int {
        var left = min(length, count)
        count -= left
        copiedBytes += left
        var whole = 0
        while let item = items.first {
            let part = min(left, item.length - sentOfFirst)
            write(item, part, &output)
            left -= part
            sentOfFirst += part
            guard sentOfFirst == item.length else { break }
            whole += item.count
            sentOfFirst = 0
            items.removeFirst()
        }
        return whole
    }

    private func write(_ item: Item, _ part: Int, _ output: inout ByteBuffer) {
        switch item {
        case .message(let message): message.write(from: sentOfFirst, part, &output)
        case .plain(let bytes): output.writeBytes(bytes[sentOfFirst..<sentOfFirst + part])
        }
    }
}

extension GRPCServerMessage {
    static let headBytes = 5

    /// The head and the message.
    func writeWhole(_ buffer: inout ByteBuffer) {
        writeHead(&buffer)
        write(&buffer)
    }

    private func writeHead(_ buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(UInt8(0), UInt32(truncatingIfNeeded: count))
    }

    /// A part of the head and the message.
    func write(from start: Int, _ length: Int, _ buffer: inout ByteBuffer) {
        var (at, left) = (start, length)
        if at < Self.headBytes {
            var head = ByteBuffer()
            writeHead(&head)
            Self.copy(head.readableBytesView, &at, 0, &left, &buffer)
        }
        if left > 0, at < Self.headBytes + bytes.count { Self.copy(bytes, &at, Self.headBytes, &left, &buffer) }
        guard left > 0 else { return }
        var own = ByteBuffer()
        writeOwn(&own)
        Self.copy(own.readableBytesView, &at, Self.headBytes + bytes.count, &left, &buffer)
    }

    /// What lies from `at` on in a segment that begins at `base`, at most `left` bytes.
    private static func copy<Segment: RandomAccessCollection<UInt8>>(
        _ segment: Segment, _ at: inout Int, _ base: Int, _ left: inout Int, _ buffer: inout ByteBuffer
    ) {
        let part = segment.dropFirst(at - base).prefix(left)
        buffer.writeBytes(part)
        at += part.count
        left -= part.count
    }
}
