// Changes as the bytes of a response, made once for all watches that are told the same: the hub gives them one array, so
// the same array means the same bytes. Only the number of the watch differs, and that is sent behind.
import KVCore
import NetGRPC
import Synchronization

final class EventBytes: Sendable {
    /// Holds the events, so that no other array can come to lie where theirs is.
    private struct Made {
        var events: [KVEvent] = []
        var bytes: [UInt8] = []
    }
    private struct State {
        var plain = Made()
        var withPrevious = Made()
    }
    private let state = Mutex(State())

    /// A whole response but for the number of the watch.
    func response(_ events: [KVEvent], withPrevious: Bool, _ header: () -> EtcdHeader) -> [UInt8] {
        state.withLock { state in
            if withPrevious { return Self.bytes(&state.withPrevious, events, true, header) }
            return Self.bytes(&state.plain, events, false, header)
        }
    }

    private static func bytes(
        _ made: inout Made, _ events: [KVEvent], _ withPrevious: Bool, _ header: () -> EtcdHeader
    ) -> [UInt8] {
        if made.events.isSame(as: events) { return made.bytes }
        let bytes = ProtobufWriter.response(header()) { writer in
            for event in events { writer.event(11, event, withPrevious: withPrevious) }
        }
        made = Made(events: events, bytes: bytes)
        return bytes
    }
}

extension [KVEvent] {
    /// One and the same array; false for two that are merely equal.
    fileprivate func isSame(as other: [KVEvent]) -> Bool {
        guard count == other.count, !isEmpty else { return false }
        return withUnsafeBufferPointer { mine in
            other.withUnsafeBufferPointer { $0.baseAddress == mine.baseAddress }
        }
    }
}
