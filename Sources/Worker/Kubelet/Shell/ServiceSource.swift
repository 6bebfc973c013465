// The services of a namespace, for the environment of a container that is about to start. Read when needed and kept for
// seconds; when the API is away what was read last serves, so that containers restart without it.
import API
import Synchronization

package final class ServiceSource: Sendable {
    package static let freshFor: Nanoseconds = .seconds(5)
    package static let namespacesMax = 1024

    private struct Entry {
        var services: [JSON]
        var readAt: Nanoseconds
    }
    private let client: any ObjectClient
    private let entries = Mutex<[String: Entry]>([:])

    package init(client: any ObjectClient) { self.client = client }

    package func variables(for pod: JSON) async throws(StatusError) -> [EnvironmentVariable] {
        let isLinked = pod["spec", "enableServiceLinks"]?.bool ?? true
        let kubernetes = try await services(in: "default").first { $0.name == "kubernetes" }
        let own = isLinked ? try await services(in: pod.namespace) : []
        return ServiceEnvironment.variables(services: own, kubernetes: kubernetes, isLinked: isLinked)
    }

    private func services(in namespace: String) async throws(StatusError) -> [JSON] {
        let now = Clock.now()
        let known = entries.withLock { $0[namespace] }
        if let known, now &- known.readAt < Self.freshFor { return known.services }
        do throws(StatusError) {
            let list = try await client.list(.services, namespace: namespace, ListOptions(resourceVersion: "0")).items
            entries.withLock { entries in
                if entries.count < Self.namespacesMax { entries[namespace] = Entry(services: list, readAt: now) }
            }
            return list
        } catch {
            if let known { return known.services }
            throw error
        }
    }
}
