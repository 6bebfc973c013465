// The store's refusals in etcd's words: clients compare codes and texts. This is the only file that knows them.
import KVCore
import KVReplica
import NetGRPC
import Raft

enum EtcdStatus {
    static let emptyKey = invalid("key is not provided")
    static let keyNotFound = invalid("key not found")
    static let badCompare = invalid("invalid compare")
    static let invalidSort = invalid("invalid sort option")
    static let valueProvided = invalid("value is provided")
    static let leaseProvided = invalid("lease is provided")
    static let tooManyOperations = invalid("too many operations in txn request")
    static let duplicateKey = invalid("duplicate key given in txn request")
    static let tooLarge = invalid("request is too large")
    static let badURLs = invalid("given member URLs are invalid")
    static let readOnly = GRPCStatus(.permissionDenied, "etcdserver: permission denied")
    static let leaseNotFound = GRPCStatus(.notFound, "etcdserver: requested lease not found")
    static let leaseExists = precondition("lease already exists")
    static let leaseTTLTooLarge = GRPCStatus(.outOfRange, "etcdserver: too large lease TTL")
    static let compacted = GRPCStatus(.outOfRange, "etcdserver: mvcc: required revision has been compacted")
    static let future = GRPCStatus(.outOfRange, "etcdserver: mvcc: required revision is a future revision")
    static let noLeader = GRPCStatus(.unavailable, "etcdserver: no leader")
    static let tooManyRequests = GRPCStatus(.resourceExhausted, "etcdserver: too many requests")
    static let timeout = GRPCStatus(.unavailable, "etcdserver: request timed out")
    static let stopped = GRPCStatus(.unavailable, "etcdserver: server stopped")
    static let notLeader = precondition("not leader")
    static let badTransferee = precondition("bad leader transferee")
    static let memberNotFound = GRPCStatus(.notFound, "etcdserver: member not found")
    static let peerURLExists = precondition("Peer URLs already exists")
    static let notLearner = precondition("can only promote a learner member")
    static let learnerNotReady = precondition("can only promote a learner member which is in sync with leader")
    static let notEnoughStarted = precondition("re-configuration failed due to not enough started members")
    static let authNotEnabled = precondition("authentication is not enabled")
    static let witnessNeedsData = precondition("a witness needs two voting members with data beside it")
    static let oneWitness = precondition("the cluster has a witness already")
    static let noAuth = GRPCStatus(
        .unimplemented, "etcdserver: users and roles are not supported: access is by client certificate")
    static let noDowngrade = GRPCStatus(.unimplemented, "etcdserver: downgrade is not supported")
    static let cancelled = GRPCStatus(.cancelled, "context canceled")
    // Of locks and elections; etcd gives them no code.
    static let sessionExpired = GRPCStatus(.unknown, "mutex: session is expired")
    static let notElected = GRPCStatus(.unknown, "election: not leader")
    static let nobodyElected = GRPCStatus(.unknown, "election: no leader")
    static let noLeaderKey = GRPCStatus(.unknown, #""leader" field must be provided"#)
    /// This member's state is not what was agreed on; another one is on its way.
    static let corrupt = GRPCStatus(.dataLoss, "etcdserver: corrupt cluster")
    static let corruptSnapshot = GRPCStatus(.unavailable, "etcdserver: the snapshot could not be read, try again")

    private static func invalid(_ text: String) -> GRPCStatus { GRPCStatus(.invalidArgument, "etcdserver: \(text)") }

    private static func precondition(_ text: String) -> GRPCStatus {
        GRPCStatus(.failedPrecondition, "etcdserver: \(text)")
    }

    static func status(_ error: ProposeError) -> GRPCStatus {
        switch error {
        case .noLeader: noLeader
        case .unknownOutcome: timeout
        case .tooLarge: tooLarge
        case .overloaded: GRPCStatus(.resourceExhausted, "etcdserver: too many requests")
        case .fenced: GRPCStatus(.unavailable, "etcdserver: leader changed")
        case .noSpace: GRPCStatus(.resourceExhausted, "etcdserver: mvcc: database space exceeded")
        case .stopped: stopped
        case .refused(let refusal): status(refusal)
        }
    }

    static func status(_ refusal: Refusal) -> GRPCStatus {
        switch refusal {
        case .compacted: compacted
        case .future: future
        case .leaseNotFound: leaseNotFound
        case .leaseExists: leaseExists
        case .duplicateKey: duplicateKey
        case .keyNotFound: keyNotFound
        case .emptyKey: emptyKey
        case .tooManyOperations, .nestedTooDeep: tooManyOperations
        case .tooManyLeases, .tooManySessions, .tooManyMembers:
            GRPCStatus(.resourceExhausted, "etcdserver: too many requests")
        case .malformed, .unsupportedVersion, .sessionExpired, .serialTooOld: timeout
        }
    }

    static func status(_ error: ReadError) -> GRPCStatus {
        switch error {
        case .compacted: compacted
        case .future: future
        }
    }
}
