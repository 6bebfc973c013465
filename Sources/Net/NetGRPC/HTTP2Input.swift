// What a connection has received and not taken yet: less than a frame between two reads. It must never keep what was
// taken: a client decides where its writes end, and its connection lives long.
import NIOCore

package struct HTTP2Input {
    private var bytes = ByteBuffer()

    package init() {}

    /// What is held in memory for it.
    package var capacity: Int { bytes.capacity }

    package mutating func append(_ new: ByteBuffer) { bytes.takeIn(new) }

    /// When nothing is left the buffer goes to whoever still holds a part of it.
    package mutating func letGo() { if bytes.readableBytes == 0 { bytes = ByteBuffer() } }

    /// nil: not all of it is there.
    var head: HTTP2FrameHead? { HTTP2FrameHead(bytes) }

    /// The body of a frame with this head; nil: not all of it is there.
    package mutating func body(_ length: Int) -> ByteBuffer? {
        guard bytes.readableBytes >= HTTP2FrameHead.bytes + length else { return nil }
        bytes.moveReaderIndex(forwardBy: HTTP2FrameHead.bytes)
        return bytes.readSlice(length: length)
    }

    /// Takes these bytes from the front. False: more are needed; nil: others are there.
    mutating func take(_ expected: [UInt8]) -> Bool? {
        let count = min(expected.count, bytes.readableBytes)
        guard bytes.readableBytesView.prefix(count).elementsEqual(expected.prefix(count)) else { return nil }
        guard count == expected.count else { return false }
        bytes.moveReaderIndex(forwardBy: count)
        return true
    }
}

extension ByteBuffer {
    /// Puts the next bytes of a stream behind what was not read yet. Appending alone would keep all that was ever read.
    mutating func takeIn(_ new: ByteBuffer) {
        guard readableBytes > 0 else { return self = new }
        discardReadBytes()
        writeImmutableBuffer(new)
    }
}
