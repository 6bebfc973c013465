// Frames between peers: four bytes of length, then the bytes. The first frame of a connection is the hello; it names
// the cluster, the sender and the receiver, so that a peer never talks to a stranger or to a namesake on a reused
// address.
import KVCore
import NIOCore
import Raft

/// Limits of the peer protocol.
enum PeerProtocol {
    static let version: UInt64 = 1
    static let frameBytesMax = 64 << 20
    /// Before the hello the sender is nobody, and nothing of his is kept.
    static let helloBytesMax = 64
    /// Not yet accepted by the socket; above, messages for this peer are dropped.
    static let queueBytesMax = 64 << 20
}

/// What the dialling side says first.
package struct PeerHello: Hashable {
    static let magic: UInt64 = 0x7465_726e_6b76_0001
    var cluster: UInt64
    var from: PeerID
    var to: PeerID

    package func encode() -> [UInt8] {
        var writer = ByteWriter()
        for word in [Self.magic, PeerProtocol.version, cluster, from.rawValue, to.rawValue] { writer.put(fixed: word) }
        return writer.bytes
    }

    package init(cluster: UInt64, from: PeerID, to: PeerID) {
        self.cluster = cluster
        self.from = from
        self.to = to
    }

    package init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.fixed() == Self.magic, try reader.fixed() == PeerProtocol.version else { throw DecodeError() }
        cluster = try reader.fixed()
        from = PeerID(try reader.fixed())
        to = PeerID(try reader.fixed())
        guard reader.isAtEnd else { throw DecodeError() }
    }
}

/// Why a connection is closed by this side.
enum PeerProtocolError: Error, CustomStringConvertible {
    case frameTooLarge(Int)
    case notForUs(String)
    case malformed

    var description: String {
        switch self {
        case .frameTooLarge(let bytes): "a frame of \(bytes) bytes"
        case .notForUs(let why): why
        case .malformed: "a malformed message"
        }
    }
}

/// Cuts the incoming bytes into frames; reads only on its event loop.
final class FrameReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private var pending = ByteBuffer()
    private let onFrame: ([UInt8]) throws -> Void
    private let onBatchEnd: () -> Void
    private let onEnd: ((any Error)?) -> Void
    private var failure: (any Error)?
    /// The longest frame that is taken now.
    var frameBytesMax = PeerProtocol.frameBytesMax

    init(
        onFrame: @escaping ([UInt8]) throws -> Void, onBatchEnd: @escaping () -> Void,
        onEnd: @escaping ((any Error)?) -> Void
    ) {
        self.onFrame = onFrame
        self.onBatchEnd = onBatchEnd
        self.onEnd = onEnd
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard failure == nil else { return }
        var buffer = unwrapInboundIn(data)
        if pending.readableBytes == 0 { pending = buffer } else { pending.writeBuffer(&buffer) }
        do { try cut() } catch {
            failure = error
            context.close(promise: nil)
        }
    }

    private func cut() throws {
        while let length = pending.getInteger(at: pending.readerIndex, as: UInt32.self) {
            guard Int(length) <= frameBytesMax else { throw PeerProtocolError.frameTooLarge(Int(length)) }
            guard pending.readableBytes >= 4 + Int(length) else { break }
            pending.moveReaderIndex(forwardBy: 4)
            guard let bytes = pending.readBytes(length: Int(length)) else { break }
            try onFrame(bytes)
        }
        if pending.readableBytes == 0 {
            pending = ByteBuffer()
        } else if pending.readerIndex > 1 << 20 {
            pending.discardReadBytes()
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        onBatchEnd()
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = failure ?? error
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        onEnd(failure)
        context.fireChannelInactive()
    }
}
