// The Election service: the oldest key below an election's name leads, its value is what the leader proclaims. Observing
// tells every proclamation of whoever leads; one who reads slowly is told the latest.
import KVCore
import KVReplica
import NetGRPC
import Raft

extension EtcdService {
    func handleElection(_ call: GRPCServerCall, _ method: Substring) {
        switch method {
        case "Campaign": unary(call, campaign)
        case "Proclaim": unary(call, proclaim)
        case "Leader": unary(call, electedLeader)
        case "Observe": unary(call, observe)
        case "Resign": unary(call, resign)
        default: unknown(call)
        }
    }

    private func campaign(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let name = try EtcdRequests.bytes(1, message)
        let value = try EtcdRequests.bytes(3, message)
        let lease = try EtcdRequests.numbers(message)[2] ?? 0
        let gate = ChangeGate(replica, call)
        call.releaseInput()
        recipe(call) { [self] () async throws(GRPCStatus) in
            let (candidacy, entered, present) = try await enter(name, lease: lease, value: value)
            if let present, present.value != value {
                do throws(GRPCStatus) { _ = try await proclaim(candidacy, value) } catch {
                    withdraw(candidacy)
                    throw error
                }
            }
            guard await waitForTurn(candidacy, gate) else {
                withdraw(candidacy)
                throw EtcdStatus.cancelled
            }
            return ProtobufWriter.response(header(entered.revision)) { writer in
                writer.message(2) { leader in
                    leader.byteArray(1, name)
                    leader.byteArray(2, candidacy.key.bytes)
                    leader.int64(3, candidacy.revision.rawValue)
                    leader.int64(4, candidacy.lease.rawValue)
                }
            }
        }
    }

    private func proclaim(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let candidacy = try leaderKey(message)
        let value = try EtcdRequests.bytes(2, message)
        recipe(call) { [self] () async throws(GRPCStatus) in
            var candidacy = candidacy
            candidacy.lease = try await leaseOrNew(candidacy.lease.rawValue)
            return ProtobufWriter.response(header(try await proclaim(candidacy, value).revision))
        }
    }

    private func proclaim(_ candidacy: EtcdCandidacy, _ value: [UInt8]) async throws(GRPCStatus) -> TxnResult {
        let result = try await transact(
            Txn(compares: [candidacy.isCurrent], success: [.put(candidacy.key, value, lease: candidacy.lease)]))
        guard result.succeeded else { throw EtcdStatus.notElected }
        return result
    }

    private func resign(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let candidacy = try leaderKey(message)
        recipe(call) { [self] () async throws(GRPCStatus) in
            ProtobufWriter.response(header(try await resign(candidacy).revision))
        }
    }

    private func resign(_ candidacy: EtcdCandidacy) async throws(GRPCStatus) -> TxnResult {
        try await transact(Txn(compares: [candidacy.isCurrent], success: [.delete(candidacy.key)]))
    }

    private func leaderKey(_ message: [UInt8]) throws(GRPCStatus) -> EtcdCandidacy {
        guard let body = try EtcdRequests.message(1, message) else { throw EtcdStatus.noLeaderKey }
        let key = Key(try EtcdRequests.bytes(2, body))
        guard !key.bytes.isEmpty else { throw EtcdStatus.withoutCode(EtcdStatus.emptyKey) }
        let numbers = try EtcdRequests.numbers(body)
        return EtcdCandidacy(
            prefix: EtcdCandidacy.prefix(try EtcdRequests.bytes(1, body)), key: key,
            revision: Revision(numbers[3] ?? 0), lease: LeaseID(rawValue: numbers[4] ?? 0))
    }
}

// MARK: Looking on

extension EtcdService {
    private func electedLeader(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let prefix = EtcdCandidacy.prefix(try EtcdRequests.bytes(1, message))
        recipe(call) { [self] () async throws(GRPCStatus) in
            try await asking { () async throws(ProposeError) in try await replica.barrier() }
            let view = replica.view()
            guard let leader = EtcdService.first(prefix, view) else { throw EtcdStatus.nobodyElected }
            return answer(leader, view.revision)
        }
    }

    private func answer(_ leader: KeyValue, _ revision: Revision) -> [UInt8] {
        ProtobufWriter.response(header(revision)) { $0.record(2, leader) }
    }

    private func observe(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let prefix = EtcdCandidacy.prefix(try EtcdRequests.bytes(1, message))
        let gate = ChangeGate(replica, call)
        call.releaseInput()
        Task { [self] in
            do throws(GRPCStatus) {
                try await asking { () async throws(ProposeError) in try await replica.barrier() }
                var isOpen = true
                while isOpen { isOpen = await tell(prefix, call, gate) }
            } catch { call.finish(error) }
        }
    }

    /// From one leader's beginning to its end, or until somebody leads; false: the call is closed.
    private func tell(_ prefix: Key, _ call: GRPCServerCall, _ gate: ChangeGate) async -> Bool {
        let view = replica.view()
        guard let leader = EtcdService.first(prefix, view) else {
            return await gate.next(.prefix(prefix), after: view.revision) != nil
        }
        call.send(answer(leader, view.revision))
        var told = view.revision
        while let events = await gate.next(KeyRange(leader.key), after: told) {
            // Too slow: it is told the latest when it can take it.
            guard call.isWritable else { return await isWritableAgain(call) }
            for event in events {
                guard event.kind == .put else { return true }
                told = event.current.modRevision
                call.send(answer(event.current, told))
            }
            if events.isEmpty { return true }
        }
        return false
    }

    private func isWritableAgain(_ call: GRPCServerCall) async -> Bool {
        await withUnsafeContinuation { (waiting: UnsafeContinuation<Void, Never>) in
            call.onWritable { waiting.resume() }
        }
        return !call.isClosed
    }
}
