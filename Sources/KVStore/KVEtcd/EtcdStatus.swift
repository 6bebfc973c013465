// The store's refusals in etcd's words: clients compare codes and texts. This is the only file that knows them; each
// stands in docs/KV-CALLS.md with the call that yields it and the test that shows it, which a test holds.
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
    static let noLeader = unavailable("no leader")
    static let timeout = unavailable("request timed out")
    static let stopped = unavailable("server stopped")
    static let tooManyRequests = exhausted("too many requests")
    static let noSpace = exhausted("mvcc: database space exceeded")
    static let tooManySnapshots = exhausted("too many snapshots at once")
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
    static let noAuth = unsupported("users and roles are not supported: access is by client certificate")
    static let noDowngrade = unsupported("downgrade is not supported")
    static let noAlarmByHand = unsupported("alarms are raised by the store itself")
    /// This member's state is not what was agreed on; another one is on its way.
    static let corrupt = GRPCStatus(.dataLoss, "etcdserver: corrupt cluster")
    static let corruptSnapshot = unavailable("the snapshot could not be read, try again")
    /// Of health checks.
    static let unknownService = GRPCStatus(.notFound, "unknown service")
    /// A witness has no keys. What etcd's clients say to themselves when they reached nobody: after these words alone
    /// they ask the next endpoint for a write too.
    static let noKeysHere = GRPCStatus(.unavailable, "there is no address available")
    /// The client has gone: nobody is told.
    static let cancelled = GRPCStatus(.cancelled)

    // Of locks and elections; etcd gives them no code.
    static let sessionExpired = GRPCStatus(.unknown, "mutex: session is expired")
    static let notElected = GRPCStatus(.unknown, "election: not leader")
    static let nobodyElected = GRPCStatus(.unknown, "election: no leader")
    static let noLeaderKey = GRPCStatus(.unknown, #""leader" field must be provided"#)

    // What ends a whole Watch stream, after which clients resume every watch.
    static let slowWatcher = unavailable("watcher is too slow")
    static let stateReplaced = unavailable("the member's state was replaced")
    static let unreadablePast = unavailable("the past cannot be read from this member's disk now")

    // Why a watch was cancelled: told within the stream, without a code.
    static let emptyWatch = reason("mvcc: watcher range is empty")
    static let duplicateWatch = reason("mvcc: duplicate watch ID provided on the WatchStream")
    static let fullStream = reason("etcdserver: too many watches on one stream")
    static let fullMember = reason("etcdserver: too many watches on this member")

    private static func invalid(_ text: String) -> GRPCStatus { GRPCStatus(.invalidArgument, "etcdserver: \(text)") }

    private static func precondition(_ text: String) -> GRPCStatus {
        GRPCStatus(.failedPrecondition, "etcdserver: \(text)")
    }

    private static func unavailable(_ text: String) -> GRPCStatus { GRPCStatus(.unavailable, "etcdserver: \(text)") }

    private static func exhausted(_ text: String) -> GRPCStatus {
        GRPCStatus(.resourceExhausted, "etcdserver: \(text)")
    }

    private static func unsupported(_ text: String) -> GRPCStatus { GRPCStatus(.unimplemented, "etcdserver: \(text)") }

    private static func reason(_ text: String) -> String { text }

    static func malformed(_ error: ProtobufError) -> GRPCStatus {
        GRPCStatus(.internal, "grpc: error unmarshalling request: \(error)")
    }

    static func unknownMethod(_ path: String) -> GRPCStatus { GRPCStatus(.unimplemented, "unknown method \(path)") }

    /// As etcd's locks and elections, which ask as a client would, pass a refusal on: with its text, without its code.
    static func withoutCode(_ status: GRPCStatus) -> GRPCStatus { GRPCStatus(.unknown, status.message) }

    static func status(_ error: ProposeError) -> GRPCStatus {
        switch error {
        // Clients' writes carry no fence; what was fenced was not done.
        case .noLeader, .fenced: noLeader
        case .unknownOutcome: timeout
        case .tooLarge: tooLarge
        case .overloaded: tooManyRequests
        case .noSpace: noSpace
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
        case .tooManyLeases, .tooManySessions, .tooManyMembers: tooManyRequests
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
