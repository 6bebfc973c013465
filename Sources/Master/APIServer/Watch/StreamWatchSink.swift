// A watch inside the process: trees into an AsyncThrowingStream with a bounded buffer. A reader that falls behind is
// told to list again.
import API
import KVCore
import Synchronization

final class StreamWatchSink: WatchSink {
    static let backlogEventsMax = 16_384

    private let kind: GroupVersionKind
    private let continuation: WatchStream.Continuation

    init(_ kind: GroupVersionKind, _ continuation: WatchStream.Continuation) {
        self.kind = kind
        self.continuation = continuation
    }

    func deliver(_ type: WatchEventType, _ object: FeedObject, _ event: FeedEvent) -> Bool {
        switch type {
        case .added: return yield(.added(object.tree(kind)))
        case .modified: return yield(.modified(object.tree(kind)))
        case .deleted:
            var tree = object.tree(kind)
            tree["metadata", "resourceVersion"] = .string("\(event.revision)")
            return yield(.deleted(tree))
        }
    }

    private func yield(_ event: WatchEvent) -> Bool {
        switch continuation.yield(event) {
        case .enqueued: return true
        case .dropped:
            continuation.finish(throwing: Status.expired("the watcher fell too far behind; list again"))
            return false
        case .terminated: return false
        @unknown default: return false
        }
    }

    func bookmark(_ revision: Revision) { _ = yield(.bookmark(resourceVersion: "\(revision)")) }
    func fail(_ error: StatusError) { continuation.finish(throwing: error) }
    func finish() { continuation.finish() }
}
