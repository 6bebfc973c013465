// grpc.health.v1: whether a client should ask this member. It serves while it hears of a leader and its state is not
// doubted. Who watches is told each change, and nothing of what came and went between two looks.
import KVReplica
import NetGRPC
import Synchronization

extension EtcdService {
    private static let knownPrefix = "etcdserverpb."

    private func service(_ message: [UInt8]) throws(GRPCStatus) -> (isKnown: Bool, name: String) {
        let name = try EtcdRequests.strings(1, message).first ?? ""
        return (name.isEmpty || name.hasPrefix(Self.knownPrefix), name)
    }

    func health(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        guard try service(message).isKnown else { throw EtcdStatus.unknownService }
        call.reply(HealthWatch.Answer(replica.status).bytes)
    }

    /// Of a service that is not known the stream says so and stays open.
    func healthWatch(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        guard try service(message).isKnown else { return call.send(HealthWatch.Answer.unknownService.bytes) }
        healthWatch.add(call)
    }
}

/// The open `Watch` calls. Looks only while there are any.
final class HealthWatch: Sendable {
    enum Answer: Int64, Sendable {
        case serving = 1
        case notServing = 2
        case unknownService = 3

        init(_ status: ReplicaStatus) { self = status.leader == nil || status.isFenced ? .notServing : .serving }

        var bytes: [UInt8] {
            var writer = ProtobufWriter()
            writer.int64(1, rawValue)
            return writer.bytes
        }
    }
    private struct Watcher {
        var call: GRPCServerCall
        var told: Answer
    }
    private struct State {
        var watchers: [ObjectIdentifier: Watcher] = [:]
        var isLooking = false
    }
    private static let pause = Duration.milliseconds(100)
    private let replica: Replica
    private let state = Mutex(State())

    init(_ replica: Replica) { self.replica = replica }

    func add(_ call: GRPCServerCall) {
        let answer = Answer(replica.status)
        call.send(answer.bytes)
        let key = ObjectIdentifier(call)
        let isFirst = state.withLock { state in
            state.watchers[key] = Watcher(call: call, told: answer)
            defer { state.isLooking = true }
            return !state.isLooking
        }
        call.onClose { [weak self] in _ = self?.state.withLock { $0.watchers.removeValue(forKey: key) } }
        guard isFirst else { return }
        Task { [weak self] in
            while self?.tell() == true {
                do { try await Task.sleep(for: Self.pause) } catch { return }
            }
        }
    }

    /// False: nobody watches any more.
    private func tell() -> Bool {
        let answer = Answer(replica.status)
        let (isWatched, calls) = state.withLock { state -> (Bool, [GRPCServerCall]) in
            guard !state.watchers.isEmpty else {
                state.isLooking = false
                return (false, [])
            }
            let keys = state.watchers.filter { $0.value.told != answer }.map(\.key)
            for key in keys { state.watchers[key]?.told = answer }
            return (true, keys.compactMap { state.watchers[$0]?.call })
        }
        for call in calls { call.send(answer.bytes) }
        return isWatched
    }
}
