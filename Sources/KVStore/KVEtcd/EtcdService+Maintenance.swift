// Maintenance: what monitoring asks and operators do.
import Glibc
import KVCore
import KVReplica
import NetGRPC
import Raft

extension EtcdService {
    func status(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let status = replica.status
        let size = max(diskBytes(), status.stateBytes, 4096)
        call.reply(
            ProtobufWriter.response(header(status.revision)) { writer in
                writer.string(2, configuration.version)
                writer.int(3, size)
                writer.uint64(4, status.leader?.rawValue ?? 0)
                writer.uint64(5, status.commitIndex.rawValue)
                writer.uint64(6, status.term.rawValue)
                writer.uint64(7, status.appliedIndex.rawValue)
                writer.strings(8, problems(status))
                writer.int(9, min(size, max(status.stateBytes, 4096)))
                writer.bool(10, status.role == .learner)
                writer.string(11, configuration.version)
                writer.int(12, replica.configuration.stateBytesMax)
            })
    }

    /// The state database with what is not in its file yet; 0 when it cannot be looked at.
    private func diskBytes() -> Int {
        ["state.sqlite", "state.sqlite-wal"].reduce(0) { sum, name in
            var facts = stat()
            guard stat("\(replica.configuration.dataDirectory)/\(name)", &facts) == 0 else { return sum }
            return sum + Int(facts.st_size)
        }
    }

    func hash(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        guard !replica.isFenced else { throw EtcdStatus.corrupt }
        let view = replica.view()
        ReadPool.run(call, visiting: view.keyCount) { [self] in
            let hash = UInt64(EtcdService.hash(of: view))
            call.reply(ProtobufWriter.response(header(view.revision)) { $0.uint64(2, hash) })
        }
    }

    /// A hash of the keys as they were at a revision; comparable among tern's own members only.
    func hashKV(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let revision = try EtcdRequests.numbers(message)[1] ?? 0
        view(call, at: revision > 0 ? Revision(revision) : nil, .all) { [self] view in
            ReadPool.run(call, visiting: view.keyCount) { [self] in
                let hash = UInt64(EtcdService.hash(of: view))
                call.reply(
                    ProtobufWriter.response(header()) { writer in
                        writer.uint64(2, hash)
                        writer.int64(3, view.compactRevision.rawValue)
                        writer.int64(4, view.revision.rawValue)
                    })
            }
        }
    }

    private static func hash(of view: KVView) -> UInt32 {
        var hash = Hash64()
        view.forEach(.all) { record in
            hash.add(record.key.bytes)
            hash.add(record.value)
            for number in [
                record.createRevision.rawValue, record.modRevision.rawValue, record.version, record.lease.rawValue
            ] {
                hash.add(UInt64(bitPattern: number))
            }
            return true
        }
        return UInt32(truncatingIfNeeded: hash.value)
    }
}
