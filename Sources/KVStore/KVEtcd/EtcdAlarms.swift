// What is wrong with this member, in the one form in which `Alarm`, `Status` and the probes tell it. Alarms are not
// switched by hand: they follow from the state and go when it is mended. A member tells its own: CORRUPT while its state
// is being replaced, NOSPACE while the cluster refuses what makes the state grow, which all members know.
import KVReplica
import NetGRPC
import Raft

/// With etcd's numbers.
enum EtcdAlarm: Int64, CaseIterable, Sendable {
    case noSpace = 1
    case corrupt = 2

    var name: String {
        switch self {
        case .noSpace: "NOSPACE"
        case .corrupt: "CORRUPT"
        }
    }

    /// Those of this member.
    static func raised(_ status: ReplicaStatus) -> [EtcdAlarm] {
        allCases.filter { alarm in
            switch alarm {
            case .noSpace: status.refusesGrowth
            case .corrupt: status.isFenced
            }
        }
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
        let raised = EtcdAlarm.raised(status).filter { $0.rawValue == request.alarm ?? $0.rawValue }
        call.reply(
            ProtobufWriter.response(header()) { writer in
                guard request.action == .get else { return }
                for alarm in raised {
                    writer.message(2) {
                        $0.uint64(1, status.id.rawValue)
                        $0.int64(2, alarm.rawValue)
                    }
                }
            })
    }

    /// For `Status`.
    func problems(_ status: ReplicaStatus) -> [String] {
        let leaderless = status.leader == nil ? [EtcdStatus.noLeader.message] : []
        return leaderless
            + EtcdAlarm.raised(status).map { "memberID:\(status.id.rawValue) alarm:\($0.name) " }
    }
}
