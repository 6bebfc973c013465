// How a member that joins learns which cluster it joins and which number it was given: it asks the peers that it was
// told of, on their peer port, and finds itself in their directory by its own address.
import KVCore
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import NetPKI
import Raft

/// The question: a frame in place of the hello.
package struct PeerLookup: Hashable {
    private static let magic: UInt64 = 0x7465_726e_6b76_1001
    var cluster: UInt64

    package init(cluster: UInt64) { self.cluster = cluster }

    static func isQuestion(_ bytes: [UInt8]) -> Bool {
        var reader = ByteReader(bytes)
        do throws(DecodeError) { return try reader.fixed() == magic } catch { return false }
    }

    package init(question bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.fixed() == Self.magic, try reader.fixed() == PeerProtocol.version else { throw DecodeError() }
        cluster = try reader.fixed()
        guard reader.isAtEnd else { throw DecodeError() }
    }

    package func encode() -> [UInt8] {
        var writer = ByteWriter()
        for word in [Self.magic, PeerProtocol.version, cluster] { writer.put(fixed: word) }
        return writer.bytes
    }

    static func frame(_ bytes: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(UInt32(clamping: bytes.count))
        buffer.writeBytes(bytes)
        return buffer
    }
}

/// The answer.
package struct PeerDirectory: Hashable, Sendable {
    package var cluster: UInt64
    package var members: [Member]
    package var witness: PeerID?

    package init(cluster: UInt64, members: [Member], witness: PeerID? = nil) {
        self.cluster = cluster
        self.members = members
        self.witness = witness
    }

    package func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.put(fixed: cluster)
        writer.put(list: members) { $0.put($1) }
        // Who knows of no witnesses reads no further.
        if let witness { writer.put(fixed: witness.rawValue) }
        return writer.bytes
    }

    package init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        cluster = try reader.fixed()
        members = try reader.list { (r: inout ByteReader) throws(DecodeError) in try r.member() }
        witness = reader.isAtEnd ? nil : PeerID(try reader.fixed())
        guard reader.isAtEnd else { throw DecodeError() }
    }
}

extension PeerDirectory {
    /// Asks one peer; throws when it does not answer in time or refuses.
    package static func ask(
        host: String, port: Int, cluster: UInt64, tls: PeerTLS?, group: any EventLoopGroup, seconds: Int64 = 3
    ) async throws -> PeerDirectory {
        let loop = group.next()
        let answer = loop.makePromise(of: PeerDirectory.self)
        let client = try tls.map { tls in
            let identity = try TLSIdentity(certificatePEM: tls.certificatePEM, keyPEM: tls.keyPEM)
            return try ClientTLS(trustRootsPEM: tls.authorityPEM, identity: identity, alpn: [])
        }
        let late = loop.scheduleTask(in: .seconds(seconds)) { answer.fail(PeerProtocolError.notForUs("no answer")) }
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(.seconds(seconds)).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                if let client { try channel.pipeline.syncOperations.addHandler(client.makeHandler(host: host)) }
                try channel.pipeline.syncOperations.addHandler(
                    FrameReader(
                        onFrame: { answer.succeed(try PeerDirectory(decoding: $0)) }, onBatchEnd: {},
                        onEnd: { answer.fail($0 ?? PeerProtocolError.notForUs("it refused to answer")) }))
            }
        }
        let channel: any Channel
        do { channel = try await bootstrap.connect(host: host, port: port).get() } catch {
            late.cancel()
            answer.fail(error)
            return try await answer.futureResult.get()
        }
        channel.writeAndFlush(PeerLookup.frame(PeerLookup(cluster: cluster).encode()), promise: nil)
        defer {
            late.cancel()
            channel.close(promise: nil)
        }
        return try await answer.futureResult.get()
    }
}
