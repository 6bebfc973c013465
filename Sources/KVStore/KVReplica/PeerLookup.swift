// Questions on the peer port, asked before a peer has its place in a cluster. Who joins learns which cluster it joins and
// which number it was given: it finds itself in the others' directory by its own address. Who starts with nothing asks
// whether it took part before (`PeerInquiry`).
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

/// Whether a member has taken part: one that has, and has nothing left, must not vote again.
struct PeerInquiry: Hashable {
    private static let magic: UInt64 = 0x7465_726e_6b76_1002
    var cluster: UInt64
    var member: PeerID

    init(cluster: UInt64, member: PeerID) {
        self.cluster = cluster
        self.member = member
    }

    static func isQuestion(_ bytes: [UInt8]) -> Bool {
        var reader = ByteReader(bytes)
        do throws(DecodeError) { return try reader.fixed() == magic } catch { return false }
    }

    init(question bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.fixed() == Self.magic, try reader.fixed() == PeerProtocol.version else { throw DecodeError() }
        cluster = try reader.fixed()
        member = PeerID(try reader.fixed())
        guard reader.isAtEnd else { throw DecodeError() }
    }

    func encode() -> [UInt8] {
        var writer = ByteWriter()
        for word in [Self.magic, PeerProtocol.version, cluster, member.rawValue] { writer.put(fixed: word) }
        return writer.bytes
    }

    static func answer(_ tookPart: Bool) -> [UInt8] {
        var writer = ByteWriter()
        writer.put(fixed: tookPart ? 1 : 0)
        return writer.bytes
    }

    /// Asks one peer; throws when it does not answer in time or refuses.
    func ask(
        host: String, port: Int, tls: PeerTLS?, group: any EventLoopGroup, seconds: Int64
    ) async throws -> Bool {
        let bytes = try await PeerLookup.ask(
            encode(), host: host, port: port, tls: tls, group: group, seconds: seconds)
        var reader = ByteReader(bytes)
        let answer = try reader.fixed()
        guard answer <= 1, reader.isAtEnd else { throw DecodeError() }
        return answer == 1
    }
}

extension PeerDirectory {
    /// Asks one peer; throws when it does not answer in time or refuses.
    package static func ask(
        host: String, port: Int, cluster: UInt64, tls: PeerTLS?, group: any EventLoopGroup, seconds: Int64 = 3
    ) async throws -> PeerDirectory {
        let question = PeerLookup(cluster: cluster).encode()
        return try PeerDirectory(
            decoding: try await PeerLookup.ask(
                question, host: host, port: port, tls: tls, group: group, seconds: seconds))
    }
}

extension PeerLookup {
    /// One question and its answer on a connection of its own.
    fileprivate static func ask(
        _ question: [UInt8], host: String, port: Int, tls: PeerTLS?, group: any EventLoopGroup, seconds: Int64
    ) async throws -> [UInt8] {
        let loop = group.next()
        let answer = loop.makePromise(of: [UInt8].self)
        let client = try tls.map { tls in
            let identity = try TLSIdentity(certificatePEM: tls.certificatePEM, keyPEM: tls.keyPEM)
            return try ClientTLS(
                trustRootsPEM: tls.authorityPEM, identity: identity, alpn: [], rules: tls.rules)
        }
        let late = loop.scheduleTask(in: .seconds(seconds)) { answer.fail(PeerProtocolError.notForUs("no answer")) }
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(.seconds(seconds)).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                if let client { try channel.pipeline.syncOperations.addHandler(client.makeHandler(host: host)) }
                try channel.pipeline.syncOperations.addHandler(
                    FrameReader(
                        onFrame: { answer.succeed($0) }, onBatchEnd: {},
                        onEnd: { answer.fail($0 ?? PeerProtocolError.notForUs("it refused to answer")) }))
            }
        }
        let channel: any Channel
        do { channel = try await bootstrap.connect(host: host, port: port).get() } catch {
            late.cancel()
            answer.fail(error)
            return try await answer.futureResult.get()
        }
        channel.writeAndFlush(frame(question), promise: nil)
        defer {
            late.cancel()
            channel.close(promise: nil)
        }
        return try await answer.futureResult.get()
    }
}
