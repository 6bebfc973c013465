// Who shows a certificate of the members' authority that was issued to somebody else.
import KVCore
import KVReplica
import NIOPosix
import NetPKI
import Raft
import Testing

@Suite(.serialized) struct PeerNameTests {
    private static func allowed(_ isByHost: Bool) throws -> AllowedNames {
        isByHost
            ? try AllowedNames(commonNames: nil, hosts: "store.example,other.example")
            : try AllowedNames(commonNames: "member,other", hosts: nil)
    }

    /// Two members, and a third place whose certificate is a web server's, of the same authority and for the same address.
    private func certificates(_ names: AllowedNames) throws -> [PeerID: PeerTLS] {
        let authority = try CertificateAuthority.make(commonName: "everybody's")
        func issue(_ name: String, _ host: String) throws -> PeerTLS {
            let issued = try authority.issue(
                CertificateSpec(
                    commonName: name, dnsNames: [host], ipAddresses: ["127.0.0.1"], usages: [.server, .client]))
            return PeerTLS(
                certificatePEM: issued.certificatePEM, keyPEM: issued.keyPEM, authorityPEM: authority.certificatePEM,
                names: names)
        }
        // One certificate for both: that is usual.
        let shared = try issue("member", "STORE.example")
        return [PeerID(1): shared, PeerID(2): shared, PeerID(3): try issue("web", "www.example")]
    }

    @Test(arguments: [false, true])
    func `of one authority's certificates only those with the members' names are let in, and the others are logged`(
        isByHost: Bool
    ) async throws {
        let book = LogBook()
        let cluster = Cluster(3, tls: try certificates(try Self.allowed(isByHost))) { configuration in
            if configuration.id != PeerID(3) { configuration.logger = book.logger }
        }
        try await cluster.startAll()
        let stranger = try #require(cluster[PeerID(3)])
        try await eventually("it is refused as a member") {
            book.lines(with: "peer connection closed", "'web' is not one of a member's").count > 1
        }
        let leader = try await cluster.leader(besides: PeerID(3))
        _ = try await leader.propose(put("k", "v"))
        // What it says is not heard, and nobody who joins with it is told anything.
        #expect(stranger.status.role != .leader)
        let (group, port) = (MultiThreadedEventLoopGroup.singleton, leader.configuration.listenPort)
        for (id, isTold) in [(PeerID(1), true), (PeerID(3), false)] {
            let tls = cluster.tls[id]
            let ask = {
                try await PeerDirectory.ask(
                    host: "127.0.0.1", port: port, cluster: 7, tls: tls, group: group, seconds: 60)
            }
            if isTold {
                #expect(try await ask().members.count == 3)
            } else {
                await #expect(throws: (any Error).self) { _ = try await ask() }
            }
        }
        await cluster.end()
    }

    @Test func `without names every certificate of the authority is a member's`() async throws {
        let cluster = Cluster(3, tls: try certificates(AllowedNames()))
        try await cluster.startAll()
        _ = try await cluster.leader().propose(put("k", "v"))
        let third = try #require(cluster[PeerID(3)])
        try await eventually("the third has it") { third.view().keyCount == 1 }
        await cluster.end()
    }
}
