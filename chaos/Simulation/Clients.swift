// Clients that write unique values and read them back, one operation at a time each, and the oracle that knows what they may
// see: it keeps the order of committed writes per key and what was acknowledged when.

import Raft

/// One operation on its way to a host.
struct Request {
    enum Kind {
        case put(value: UInt64, fence: Term?)
        case read
    }
    var client: Int
    var serial: UInt64
    var key: Int
    var kind: Kind
    var host: Int
}

/// A host's answer.
struct Reply {
    enum Outcome {
        case written
        case value(UInt64)
        /// Certainly not done.
        case refused(leader: PeerID?)
        /// Committed, but without effect, since its fence's term was over.
        case fenced
    }
    var request: Request
    var outcome: Outcome
}

/// A caller with at most one operation under way.
struct Client {
    var serial: UInt64 = 0
    var current: Request?
    /// What its operation may not precede: the place in the key's order at invocation.
    var floor = LogIndex.zero
    var hint: Int?
    /// Writes acknowledged since the faults ended.
    var writesHealed = 0
}

/// The order of writes, as committed, and how much of it was shown to clients.
struct Oracle {
    private var places: [UInt64: LogIndex] = [0: .zero]
    private var floors = [LogIndex](repeating: .zero, count: Machine.keys)

    func floor(of key: Int) -> LogIndex { floors[key] }

    mutating func commit(_ entry: Entry) {
        guard entry.kind == .normal, !entry.isFenced, let command = Command(decoding: entry.data) else { return }
        places[command.value] = entry.index
    }

    /// A complaint, when a write that was acknowledged is not committed or stands before what was seen when it began.
    mutating func acknowledge(_ request: Request, value: UInt64, floor: LogIndex) -> String? {
        guard let place = places[value] else { return "write \(value) was acknowledged and is not committed" }
        guard place > floor else { return "write \(value) at \(place) stands before \(floor), seen when it began" }
        floors[request.key] = max(floors[request.key], place)
        return nil
    }

    /// A complaint, when a read shows less than what was acknowledged or read before it began.
    mutating func observe(_ request: Request, value: UInt64, floor: LogIndex) -> String? {
        guard let place = places[value] else { return "read shows \(value), which is not committed" }
        guard place >= floor else { return "stale read of key \(request.key): shows \(place), \(floor) was seen when it began" }
        floors[request.key] = max(floors[request.key], place)
        return nil
    }
}
