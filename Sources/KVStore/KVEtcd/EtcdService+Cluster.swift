// Members and maintenance, as far as the store has them. Adding members is not offered here: a new peer needs an
// identity and certificates first, which `tern` gives it.
import KVCore
import KVReplica
import NetGRPC
import Raft

extension EtcdService {
    private func write(_ member: ReplicaMember, _ writer: inout ProtobufWriter) {
        writer.uint64(1, member.id.rawValue)
        writer.string(2, member.name)
        writer.strings(3, [configuration.peerURL(member)])
        writer.strings(4, configuration.clientURLs(member))
        writer.bool(5, member.role == .learner)
    }

    private func membersResponse() -> [UInt8] {
        ProtobufWriter.response(header()) { writer in
            for member in replica.members() { writer.message(2) { write(member, &$0) } }
        }
    }

    func memberList(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) { call.reply(membersResponse()) }

    private func known(_ message: [UInt8]) throws(GRPCStatus) -> PeerID {
        let id = PeerID(UInt64(bitPattern: try EtcdRequests.numbers(message)[1] ?? 0))
        guard replica.members().contains(where: { $0.id == id }) else {
            throw GRPCStatus(.notFound, "etcdserver: member not found")
        }
        return id
    }

    func memberRemove(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let id = try known(message)
        task(call) { [self] () async throws(ProposeError) in
            try await replica.removeMember(id)
            return membersResponse()
        }
    }

    func memberPromote(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let id = try known(message)
        task(call) { [self] () async throws(ProposeError) in
            try await replica.promoteMember(id)
            return membersResponse()
        }
    }

    func moveLeader(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let id = try known(message)
        task(call) { [self] () async throws(ProposeError) in
            try await replica.transferLeadership(to: id)
            return ProtobufWriter.response(header())
        }
    }

    func status(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let status = replica.status
        call.reply(
            ProtobufWriter.response(header(status.revision)) { writer in
                writer.string(2, configuration.version)
                writer.int(3, status.stateBytes)
                writer.uint64(4, status.leader?.rawValue ?? 0)
                writer.uint64(5, status.commitIndex.rawValue)
                writer.uint64(6, status.term.rawValue)
                writer.uint64(7, status.appliedIndex.rawValue)
                if status.leader == nil { writer.strings(8, ["etcdserver: no leader"]) }
                writer.int(9, status.stateBytes)
                writer.bool(10, status.role == .learner)
                writer.string(11, configuration.version)
            })
    }

    /// A hash of the keys at a revision; comparable among tern's own members only.
    func hashKV(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let revision = try EtcdRequests.numbers(message)[1] ?? 0
        do throws(ReadError) {
            let view = revision > 0 ? try replica.view(at: Revision(revision)) : replica.view()
            var hash = Hash64()
            view.forEach(.all) { record in
                hash.add(record.key.bytes)
                hash.add(record.value)
                hash.add(UInt64(bitPattern: record.modRevision.rawValue))
                return true
            }
            call.reply(
                ProtobufWriter.response(header()) { writer in
                    writer.uint64(2, hash.value & 0xffff_ffff)
                    writer.int64(3, view.compactRevision.rawValue)
                    writer.int64(4, view.revision.rawValue)
                })
        } catch { throw EtcdStatus.status(error) }
    }
}
