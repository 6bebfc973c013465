// What is wrong, in the one form in which `Alarm`, `Status` and the probes tell it. Alarms are not switched by hand: they
// follow from the state and go when it is mended. Every member tells of all: CORRUPT of each member whose state is being
// replaced, and of member 0 while no majority agrees on a state; NOSPACE, under its own number, while the cluster
// refuses what makes the state grow.
import KVCore
import KVReplica
import NetGRPC
import Raft

/// One kind, and whom it is about.
struct EtcdAlarm: Hashable, Sendable {
    /// With etcd's numbers.
    enum Kind: Int64, Sendable {
        case noSpace = 1
        case corrupt = 2
    }
    /// 0: the whole cluster.
    var member: UInt64
    var kind: Kind

    var name: String {
        switch kind {
        case .noSpace: "NOSPACE"
        case .corrupt: "CORRUPT"
        }
    }

    /// As etcd writes it down.
    var text: String { "\(member == 0 ? "" : "memberID:\(member) ")alarm:\(name) " }

    /// All that this member knows of.
    static func raised(_ status: ReplicaStatus) -> [EtcdAlarm] {
        let troubles = status.stateTroubles
        return (status.refusesGrowth ? [EtcdAlarm(member: status.id.rawValue, kind: .noSpace)] : [])
            + (troubles.isUndecided ? [EtcdAlarm(member: 0, kind: .corrupt)] : [])
            + troubles.wrong.map { EtcdAlarm(member: $0.rawValue, kind: .corrupt) }
    }

    /// Those that make this member unhealthy: what is wrong with another's state is mended without this one. `isLocal`:
    /// nor what a restart of this one would not mend.
    static func own(_ status: ReplicaStatus, isLocal: Bool) -> [EtcdAlarm] {
        raised(status).filter { $0.member == status.id.rawValue || ($0.member == 0 && !isLocal) }
    }
}

/// What a client asks about alarms.
struct EtcdAlarmRequest {
    enum Action: Int64 { case get, raise, disarm }
    var action: Action
    /// nil: every kind.
    var alarm: Int64?

    init(_ message: [UInt8]) throws(GRPCStatus) {
        let numbers = try EtcdRequests.numbers(message)
        action = Action(rawValue: numbers[1] ?? 0) ?? .disarm
        alarm = numbers[3].flatMap { $0 == 0 ? nil : $0 }
    }
}

extension EtcdService {
    /// Whoever asks is told what is the matter; disarming changes nothing.
    func alarm(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        let request = try EtcdAlarmRequest(message)
        guard request.action != .raise else { throw EtcdStatus.noAlarmByHand }
        let status = replica.status
        let raised = EtcdAlarm.raised(status).filter { $0.kind.rawValue == request.alarm ?? $0.kind.rawValue }
        call.reply(
            ProtobufWriter.response(header()) { writer in
                guard request.action == .get else { return }
                for alarm in raised {
                    writer.message(2) {
                        $0.uint64(1, alarm.member)
                        $0.int64(2, alarm.kind.rawValue)
                    }
                }
            })
    }

    /// For `Status`.
    func problems(_ status: ReplicaStatus) -> [String] {
        let leaderless = status.leader == nil ? [EtcdStatus.noLeader.message] : []
        return leaderless + EtcdAlarm.raised(status).map(\.text)
    }
}
