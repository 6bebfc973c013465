// The Lock service: a lock is held by the oldest key below its name; unlocking deletes the key.
import KVCore
import KVReplica
import NetGRPC
import Raft

extension EtcdService {
    func handleLock(_ call: GRPCServerCall, _ method: Substring) {
        switch method {
        case "Lock": unary(call, lock)
        case "Unlock": unary(call, unlock)
        default: unknown(call)
        }
    }

    private func lock(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let name = try EtcdRequests.bytes(1, message)
        let lease = try EtcdRequests.numbers(message)[2] ?? 0
        let gate = ChangeGate(replica, call)
        call.releaseInput()
        recipe(call) { [self] () async throws(GRPCStatus) in
            let (candidacy, entered, _) = try await enter(name, lease: lease, value: [])
            let waits = EtcdService.first(candidacy.prefix, replica.view())?.key != candidacy.key
            guard await waitForTurn(candidacy, gate) else {
                withdraw(candidacy)
                throw EtcdStatus.cancelled
            }
            var revision = entered.revision
            if waits {
                do throws(GRPCStatus) {
                    try await asking { () async throws(ProposeError) in try await replica.barrier() }
                } catch {
                    withdraw(candidacy)
                    throw error
                }
                let view = replica.view()
                guard view.get(candidacy.key)?.createRevision == candidacy.revision else {
                    throw EtcdStatus.sessionExpired
                }
                revision = view.revision
            }
            return ProtobufWriter.response(header(revision)) { $0.byteArray(2, candidacy.key.bytes) }
        }
    }

    private func unlock(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let key = Key(try EtcdRequests.bytes(1, message))
        recipe(call) { [self] () async throws(GRPCStatus) in
            guard !key.bytes.isEmpty else { throw EtcdStatus.emptyKey }
            let result = try await transact(Txn(success: [.delete(key)]))
            return ProtobufWriter.response(header(result.revision))
        }
    }
}
