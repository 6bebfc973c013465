// Members. One that is added learns first; it asks to vote by itself when it has caught up, unless it was added as a
// learner for good. A member has one peer URL here, where etcd allows several.
import KVCore
import KVReplica
import NetGRPC
import Raft

extension EtcdService {
    /// Ours, where etcd has no such field: of a member that is a witness, and of a request to add one.
    package static let witnessField = 1001
    /// How a witness that was added is called, as it cannot tell itself.
    static let addedWitnessName = "witness"

    /// Members' answers carry no revision, as in etcd.
    private func membersResponse(added: PeerID? = nil) -> [UInt8] {
        let members = replica.members()
        return ProtobufWriter.response(header(.zero)) { writer in
            var field = 2
            if let added {
                if let new = members.first(where: { $0.id == added }) { writer.message(2) { write(new, &$0) } }
                field = 3
            }
            for member in members { writer.message(field) { write(member, &$0) } }
        }
    }

    private func write(_ member: ReplicaMember, _ writer: inout ProtobufWriter) {
        writer.uint64(1, member.id.rawValue)
        writer.string(2, member.name)
        writer.strings(3, ["\(configuration.peerScheme)://\(member.host):\(member.port)"])
        writer.strings(4, member.clientURLs.isEmpty ? configuration.clientURLs(member) : member.clientURLs)
        writer.bool(5, member.role == .learner)
        writer.bool(Self.witnessField, member.isWitness)
    }

    func memberList(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        guard try EtcdRequests.numbers(message)[1] ?? 0 != 0 else { return call.reply(membersResponse()) }
        task(call) { [self] () async throws(GRPCStatus) in
            try await catchUp()
            return membersResponse()
        }
    }

    /// Afterwards `members()` shows what was agreed on before.
    private func catchUp() async throws(GRPCStatus) {
        try await asking { () async throws(ProposeError) in try await replica.barrier() }
        // They are published at the end of the round that answers.
        _ = await replica.directory()
    }

    private func dataVoters(_ members: [ReplicaMember]) -> [ReplicaMember] {
        members.filter { $0.role == .voter && !$0.isWitness }
    }

    func memberAdd(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let address = try address(EtcdRequests.strings(1, message))
        let isLearner = try EtcdRequests.numbers(message)[2] ?? 0 != 0
        let known = replica.members()
        guard !known.contains(where: { $0.host == address.host && $0.port == address.port }) else {
            throw EtcdStatus.peerURLExists
        }
        var id = PeerID(UInt64.random(in: 1 ... .max))
        while known.contains(where: { $0.id == id }) { id = PeerID(UInt64.random(in: 1 ... .max)) }
        let isWitness = try EtcdRequests.numbers(message)[Self.witnessField] ?? 0 != 0
        if isWitness {
            guard !known.contains(where: \.isWitness) else { throw EtcdStatus.oneWitness }
            guard dataVoters(known).count >= Configuration.dataVotersMin else { throw EtcdStatus.witnessNeedsData }
        }
        let member = Member(
            id: id, name: isWitness ? Self.addedWitnessName : "", host: address.host, port: address.port,
            staysLearner: isLearner)
        task(call) { [self, id] () async throws(GRPCStatus) in
            try await asking { () async throws(ProposeError) in
                try await replica.addMember(member, isWitness: isWitness)
            }
            return membersResponse(added: id)
        }
    }

    func memberUpdate(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let address = try address(EtcdRequests.strings(2, message))
        task(call) { [self] () async throws(GRPCStatus) in
            // What the member told of itself stays as it is.
            try await catchUp()
            let old = try known(message)
            let others = replica.members().filter { $0.id != old.id }
            guard !others.contains(where: { $0.host == address.host && $0.port == address.port }) else {
                throw EtcdStatus.peerURLExists
            }
            let member = Member(
                id: old.id, name: old.name, host: address.host, port: address.port, clientURLs: old.clientURLs,
                staysLearner: old.staysLearner)
            try await asking { () async throws(ProposeError) in try await replica.updateMember(member) }
            return membersResponse()
        }
    }

    private func address(_ urls: [String]) throws(GRPCStatus) -> EtcdURL {
        guard urls.count == 1, let url = urls.first.flatMap({ EtcdURL($0) }) else { throw EtcdStatus.badURLs }
        return url
    }

    private func known(_ message: [UInt8]) throws(GRPCStatus) -> ReplicaMember {
        let id = PeerID(UInt64(bitPattern: try EtcdRequests.numbers(message)[1] ?? 0))
        guard let member = replica.members().first(where: { $0.id == id }) else { throw EtcdStatus.memberNotFound }
        return member
    }

    func memberRemove(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let member = try known(message)
        let voters = replica.members().filter { $0.role == .voter }
        guard voters.count > 1 || member.role == .learner else { throw EtcdStatus.notEnoughStarted }
        let members = replica.members()
        let left = dataVoters(members).filter { $0.id != member.id }.count
        guard member.isWitness || !members.contains(where: \.isWitness) || left >= Configuration.dataVotersMin else {
            throw EtcdStatus.witnessNeedsData
        }
        task(call) { [self] () async throws(GRPCStatus) in
            try await asking { () async throws(ProposeError) in try await replica.removeMember(member.id) }
            return membersResponse()
        }
    }

    func memberPromote(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let member = try known(message)
        guard member.role == .learner else { throw EtcdStatus.notLearner }
        task(call) { [self] () async throws(GRPCStatus) in
            do throws(ProposeError) { try await replica.promoteMember(member.id, seconds: 2) } catch {
                throw error == .noLeader && replica.status.leader != nil || error == .unknownOutcome
                    ? EtcdStatus.learnerNotReady : EtcdStatus.status(error)
            }
            return membersResponse()
        }
    }

    func moveLeader(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let status = replica.status
        guard status.role == .leader else { throw EtcdStatus.notLeader }
        let id = PeerID(UInt64(bitPattern: try EtcdRequests.numbers(message)[1] ?? 0))
        if id == status.id { return call.reply(ProtobufWriter.response(header(.zero))) }
        guard status.members.contains(where: { $0.id == id && $0.role == .voter && !$0.isWitness }) else {
            throw EtcdStatus.badTransferee
        }
        task(call) { [self] () async throws(GRPCStatus) in
            try await asking { () async throws(ProposeError) in try await replica.transferLeadership(to: id) }
            return ProtobufWriter.response(header(.zero))
        }
    }
}

/// `http://host:port` or `https://host:port`.
package struct EtcdURL: Hashable, Sendable {
    package var isSecure: Bool
    package var host: String
    package var port: Int

    /// nil: it is something else.
    package init?(_ text: String) {
        guard let scheme = ["https://", "http://"].first(where: { text.hasPrefix($0) }) else { return nil }
        let address = text.dropFirst(scheme.count)
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
            (1...65535).contains(port), colon > address.startIndex, !address.contains("/")
        else { return nil }
        isSecure = scheme == "https://"
        host = String(address[..<colon])
        self.port = port
    }
}
