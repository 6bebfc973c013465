// containerd's own event stream: the end of a task is known at once instead of at the next look. Only a hint —
// what is
// true is what the next look shows; another runtime without this service costs nothing but the second.
import Logging
import NetGRPC

package struct RuntimeEvents: Sendable {
    private static let path = "/containerd.services.events.v1.Events/Subscribe"
    private static let filters = ["topic==\"/tasks/exit\"", "topic==\"/tasks/oom\""]
    private static let retryEvery: Duration = .seconds(10)

    private let channel: GRPCChannel
    private let logger: Logger

    package init(channel: GRPCChannel, logger: Logger) {
        self.channel = channel
        self.logger = logger
    }

    /// Calls `hint` after each event, until the task is cancelled.
    package func run(_ hint: @Sendable () -> Void) async {
        var request = ProtoWriter()
        request.strings(1, Self.filters)
        while !Task.isCancelled {
            do throws(GRPCStatus) {
                let call = try await channel.serverStream(Self.path, request.bytes)
                while try await call.next() != nil {
                    if Task.isCancelled { return call.cancel() }
                    hint()
                }
            } catch {
                if error.code == .unimplemented { return }
                logger.debug("no events of the runtime", metadata: ["error": "\(error)"])
            }
            do { try await Task.sleep(for: Self.retryEvery) } catch { return }
        }
    }
}
