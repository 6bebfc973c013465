// Looks at what the runtime has of this node's pods. Lists are cheap; the status of a container is asked only when the
// list shows that it changed. Sandboxes and containers without our mark are invisible here.
import Glibc
import Synchronization

package final class RuntimeObserver: Sendable {
    private let runtime: any ContainerRuntime
    private let nodeName: String
    private let messages: TerminationMessages

    private struct Cache {
        var containers: [String: SeenContainer] = [:]
        var addresses: [String: [String]] = [:]
    }
    private let cache = Mutex(Cache())

    package init(runtime: any ContainerRuntime, nodeName: String, messages: TerminationMessages) {
        self.runtime = runtime
        self.nodeName = nodeName
        self.messages = messages
    }

    /// Everything, by pod uid.
    package func look() async throws(RuntimeError) -> [String: PodSeen] {
        let sandboxes = try await runtime.sandboxes().filter { $0.annotations[PodLabels.node] == nodeName }
        let containers = try await runtime.containers().filter { $0.annotations[PodLabels.node] == nodeName }
        var pods: [String: PodSeen] = [:]
        for sandbox in sandboxes { pods[sandbox.metadata.uid, default: PodSeen()].sandboxes.append(sandbox) }
        for uid in pods.keys.sorted() {
            let newest = pods[uid]?.sandboxes.max {
                ($0.metadata.attempt, $0.createdAt) < ($1.metadata.attempt, $1.createdAt)
            }
            if let newest, newest.isReady { pods[uid]?.ips = try await addresses(of: newest.id) }
        }
        for entry in containers {
            guard let uid = entry.labels[PodLabels.podUID], let seen = try await seen(entry) else { continue }
            pods[uid, default: PodSeen()].containers.append(seen)
        }
        let (living, boxes) = (Set(containers.map(\.id)), Set(sandboxes.map(\.id)))
        cache.withLock { cache in
            cache.containers = cache.containers.filter { living.contains($0.key) }
            cache.addresses = cache.addresses.filter { boxes.contains($0.key) }
        }
        return pods
    }

    private func addresses(of id: String) async throws(RuntimeError) -> [String] {
        if let known = cache.withLock({ $0.addresses[id] }) { return known }
        do throws(RuntimeError) {
            let ips = try await runtime.sandboxStatus(id).ips
            if !ips.isEmpty { cache.withLock { $0.addresses[id] = ips } }
            return ips
        } catch  where error.isNotFound {
            return []
        }
    }

    private func seen(_ entry: ContainerEntry) async throws(RuntimeError) -> SeenContainer? {
        if let known = cache.withLock({ $0.containers[entry.id] }), known.status.state == entry.state { return known }
        do throws(RuntimeError) {
            let seen = try await status(entry.id, sandboxID: entry.sandboxID)
            cache.withLock { $0.containers[entry.id] = seen }
            return seen
        } catch  where error.isNotFound {
            return nil
        }
    }

    /// One container's status, with the message that it left behind.
    package func status(_ id: String, sandboxID: String) async throws(RuntimeError) -> SeenContainer {
        var status = try await runtime.containerStatus(id)
        if status.state == .exited { status.message = messages.message(of: status) }
        return SeenContainer(status: status, sandboxID: sandboxID)
    }
}

/// What a dead container had to say: its termination file, else the end of its log where the pod wants that.
package struct TerminationMessages: Sendable {
    package static let bytesMax = 4096
    package static let logBytesMax = 2048
    package static let logLinesMax = 80
    private let rootDirectory: String

    package init(rootDirectory: String) { self.rootDirectory = rootDirectory }

    /// The file on this machine that a container sees as its termination message path.
    package func path(podUID: String, container: String, attempt: UInt32) -> String {
        "\(rootDirectory)/pods/\(podUID)/containers/\(container)/\(attempt)"
    }

    package func message(of status: ContainerStatus) -> String {
        let own = status.message
        guard let uid = status.labels[PodLabels.podUID] else { return own }
        let file = path(podUID: uid, container: status.name, attempt: status.attempt)
        var text = read(file, limit: Self.bytesMax)
        if text.isEmpty && status.exitCode != 0
            && status.annotations[PodLabels.terminationPolicy] == "FallbackToLogsOnError"
        {
            text = tail(of: status.logPath)
        }
        if text.isEmpty { return own }
        return own.isEmpty ? text : own + ": " + text
    }

    private func read(_ path: String, limit: Int) -> String {
        guard Files.exists(path) else { return "" }
        do throws(FileError) { return try Files.text(path, limit: limit) } catch {
            return "Error reading termination message: \(error)"
        }
    }

    private func tail(of log: String) -> String {
        guard let size = Files.status(log)?.st_size else { return "" }
        do throws(FileError) {
            let lines = try LogFile.lastLines(log, size: Int64(size), count: Self.logLinesMax, bytesMax: 65536)
            let bytes = lines.compactMap { LogLine($0) }.flatMap(\.bytes)
            return String(decoding: bytes.suffix(Self.logBytesMax), as: UTF8.self)
        } catch {
            return "Error on reading termination message from logs: \(error)"
        }
    }
}
