// The pods that the API assigned to this node: a list, then a watch, again and again. It only reports; when the API is
// away it reports nothing, and what runs goes on.
import API
import Logging

/// What the API says about this node's pods.
package enum PodNews: Sendable {
    case all([JSON])
    case changed(JSON)
    case gone(uid: String)
}

package struct PodSource: Sendable {
    private static let pauseMax: Duration = .seconds(5)
    private let client: any ObjectClient
    private let selector: String
    private let logger: Logger
    private let report: @Sendable (PodNews) -> Void

    package init(
        client: any ObjectClient, nodeName: String, logger: Logger, report: @escaping @Sendable (PodNews) -> Void
    ) {
        self.client = client
        self.logger = logger
        self.report = report
        selector = "spec.nodeName=\(nodeName)"
    }

    /// Runs until the task is cancelled.
    package func run() async {
        var pause = Duration.milliseconds(100)
        var version: String?
        while !Task.isCancelled {
            do throws(StatusError) {
                let from = if let version { version } else { try await list() }
                version = from
                version = try await watch(from: from)
                pause = .milliseconds(100)
            } catch {
                if error.isExpired { version = nil }
                logger.info("the API does not answer about pods", metadata: ["error": "\(error)"])
                do { try await Task.sleep(for: pause) } catch { return }
                pause = min(pause * 2, Self.pauseMax)
            }
        }
    }

    private func list() async throws(StatusError) -> String {
        let list = try await client.list(.pods, namespace: nil, ListOptions(fieldSelector: selector))
        report(.all(list.items))
        return list.resourceVersion
    }

    /// Follows until the stream ends; returns the version reached.
    private func watch(from version: String) async throws(StatusError) -> String {
        var reached = version
        let stream = try await client.watch(
            .pods, namespace: nil, ListOptions(fieldSelector: selector, resourceVersion: version))
        do {
            for try await event in stream {
                switch event {
                case .added(let pod), .modified(let pod):
                    reached = pod.resourceVersion
                    report(.changed(pod))
                case .deleted(let pod):
                    reached = pod.resourceVersion
                    report(.gone(uid: pod.uid))
                case .bookmark(let resourceVersion): reached = resourceVersion
                }
            }
        } catch let error as StatusError {
            if error.isExpired { throw error }
            logger.debug("the pod watch broke", metadata: ["error": "\(error)"])
        } catch {
            logger.debug("the pod watch broke", metadata: ["error": "\(error)"])
        }
        return reached
    }
}
