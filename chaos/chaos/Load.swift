// The clients of a chaos run: writers that count up in their own ConfigMaps, a linearizable reader, and a watch that resumes where its
// connection broke. Each tells the oracle what it was promised and what it saw.
import API
import APIClient

struct Load: Sendable {
    static let namespace = "chaos"
    let client: RESTClient
    let oracle: Oracle

    /// A fresh namespace.
    func prepare() async throws {
        do throws(StatusError) {
            _ = try await client.create(
                .namespaces, namespace: nil,
                ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(Self.namespace)]])
        } catch {
            if !error.isAlreadyExists { throw error }
        }
        try await client.deleteCollection(
            .configMaps, namespace: Self.namespace, ListOptions(labelSelector: "chaos=yes"), DeleteOptions())
    }

    /// Counts up in a ConfigMap of its own. Each update is bound to the version that the last one left: a request that
    /// a frozen master carries out late, after its client has given up and gone on, must find itself refused.
    func write(_ number: Int) async {
        let key = "writer-\(number)"
        var value = 0
        var version: String?
        while !Task.isCancelled {
            value += 1
            oracle.willWrite(key, value)
            var object: JSON = [
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(key), "labels": ["chaos": "yes"]],
                "data": ["value": .string(String(value))]
            ]
            do throws(StatusError) {
                if let version {
                    object["metadata", "resourceVersion"] = .string(version)
                    object = try await client.update(.configMaps, namespace: Self.namespace, name: key, object)
                } else {
                    object = try await client.create(.configMaps, namespace: Self.namespace, object)
                }
                version = object.resourceVersion
                oracle.acknowledge(key, value)
            } catch {
                if error.isTransient { oracle.unknown() } else { oracle.refused(error.description) }
                version = await present(key)
            }
        }
    }

    /// The version of the ConfigMap now; nil: there is none, or the load has ended.
    private func present(_ key: String) async -> String? {
        while !Task.isCancelled {
            do throws(StatusError) {
                return try await client.get(.configMaps, namespace: Self.namespace, name: key).resourceVersion
            } catch {
                if error.isNotFound { return nil }
                oracle.refused(error.description)
            }
        }
        return nil
    }

    func read() async {
        while !Task.isCancelled {
            let key = "writer-0"
            let floor = oracle.floor(of: key)
            do throws(StatusError) {
                let object = try await client.get(.configMaps, namespace: Self.namespace, name: key)
                oracle.read(key, showed: Self.value(object), atLeast: floor)
            } catch {
                if error.isNotFound && floor > 0 { oracle.read(key, showed: 0, atLeast: floor) }
            }
        }
    }

    func watch() async {
        var version = "0"
        do throws(StatusError) {
            version = try await client.list(.configMaps, namespace: Self.namespace, ListOptions()).resourceVersion
        } catch {
            oracle.watchFault("the first list failed: \(error)")
        }
        while !Task.isCancelled {
            do {
                let stream = try await client.watch(
                    .configMaps, namespace: Self.namespace,
                    ListOptions(labelSelector: "chaos=yes", resourceVersion: version))
                for try await event in stream { version = note(event) }
            } catch let error as StatusError where error.isExpired {
                return oracle.watchFault("the history was compacted under the watch")
            } catch {
                if Task.isCancelled { return }
            }
            oracle.watchResumed()
        }
    }

    private func note(_ event: WatchEvent) -> String {
        switch event {
        case .bookmark(let version): return version
        case .added(let object), .modified(let object):
            oracle.event(object.name, Self.value(object))
            return object.resourceVersion
        case .deleted(let object): return object.resourceVersion
        }
    }

    func verify() async throws -> ChaosReport {
        let items = try await client.list(
            .configMaps, namespace: Self.namespace, ListOptions(labelSelector: "chaos=yes")
        ).items
        return oracle.verdict(stored: Dictionary(items.map { ($0.name, Self.value($0)) }, uniquingKeysWith: { $1 }))
    }

    private static func value(_ object: JSON) -> Int { object["data", "value"]?.string.flatMap { Int($0) } ?? 0 }
}
