// What runs in the cluster while its masters are faulted: a service that a pod asks in a loop, request by request, and a deployment
// that is scaled right after each fault, while nobody may lead. Service traffic needs no master, so no request may fail; the scaled
// deployment shows that scheduler, controllers, kubelets and endpoints go on. Must be set up before the first fault.
import API
import APIClient

struct Workload: Sendable {
    static let backendReplicas = 4
    /// The sizes between which the scaled deployment goes to and fro.
    static let sizes = [2, 5]
    let client: RESTClient
    let oracle: Oracle
    private let namespace = Load.namespace

    /// Creates what is not there from an earlier run, and a fresh pod that asks.
    func prepare() async throws {
        try await client.deleteIfThere(.pods, namespace: namespace, name: "traffic")
        try await client.createIfMissing(.deployments, namespace: namespace, deployment("web", Self.backendReplicas))
        try await client.createIfMissing(.services, namespace: namespace, service("web"))
        try await client.createIfMissing(.deployments, namespace: namespace, deployment("scaled", Self.sizes[0]))
        try await client.createIfMissing(.services, namespace: namespace, service("scaled"))
        guard await readyEndpoints("web", reach: Self.backendReplicas, withinSeconds: 60) != nil else {
            throw StatusError(status: ["code": 504, "message": "the pods of the service do not become ready"])
        }
        _ = try await client.create(.pods, namespace: namespace, traffic)
    }

    /// Scales to the other size and waits for the endpoints of all its pods. Answers milliseconds; nil = not in time.
    func resize(_ round: Int, withinSeconds seconds: Int) async -> Int? {
        let size = Self.sizes[(round + 1) % Self.sizes.count]
        guard let asked = await scale(to: size, withinSeconds: seconds) else { return nil }
        return await readyEndpoints("scaled", reach: size, withinSeconds: seconds).map { asked + $0 }
    }

    /// Asks for `size` replicas until somebody acknowledges; nil when nobody does in time. Answers milliseconds.
    private func scale(to size: Int, withinSeconds seconds: Int) async -> Int? {
        await milliseconds(withinSeconds: seconds) { () async throws(StatusError) in
            _ = try await client.patch(
                .deployments, namespace: namespace, name: "scaled", subresource: "scale", type: .merge,
                ["spec": ["replicas": .int(Int64(size))]])
            return true
        }
    }

    /// Milliseconds until the slices of `name` show exactly `count` ready addresses; nil when they do not in time.
    private func readyEndpoints(_ name: String, reach count: Int, withinSeconds seconds: Int) async -> Int? {
        await milliseconds(withinSeconds: seconds) { () async throws(StatusError) in
            let slices = try await client.list(
                .endpointSlices, namespace: namespace, ListOptions(labelSelector: "kubernetes.io/service-name=\(name)"))
            let ready = slices.items.flatMap { $0["endpoints"]?.elements ?? [] }
                .count { $0["conditions", "ready"]?.bool == true }
            return ready == count
        }
    }

    private func milliseconds(
        withinSeconds seconds: Int, until reached: () async throws(StatusError) -> Bool
    ) async -> Int? {
        let began = ContinuousClock.now
        while .now - began < .seconds(seconds) {
            do throws(StatusError) {
                if try await reached() { return Int((.now - began) / .milliseconds(1)) }
            } catch {
                oracle.refused(error.description)
            }
            do { try await Task.sleep(for: .milliseconds(20)) } catch { return nil }
        }
        return nil
    }

    private func deployment(_ name: String, _ replicas: Int) -> JSON {
        [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": .string(name)],
            "spec": [
                "replicas": .int(Int64(replicas)), "selector": ["matchLabels": ["app": .string(name)]],
                "template": [
                    "metadata": ["labels": ["app": .string(name)]],
                    "spec": [
                        "terminationGracePeriodSeconds": 1,
                        "containers": [["name": "web", "image": "tern.local/web:1"]]
                    ]
                ]
            ]
        ]
    }

    private func service(_ name: String) -> JSON {
        [
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": .string(name)],
            "spec": ["selector": ["app": .string(name)], "ports": [["port": 80, "targetPort": 8080]]]
        ]
    }

    /// Counts requests by the service's name and failures; the last line of its log is the sum.
    private var traffic: JSON {
        let script = """
            n=0; bad=0
            while :; do
              n=$((n+1)); wget -qO- http://web/ >/dev/null 2>&1 || bad=$((bad+1))
              [ $((n % 20)) = 0 ] && echo "$n $bad"
            done
            """
        return [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "traffic"],
            "spec": [
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    [
                        "name": "traffic", "image": "tern.local/tools:1",
                        "command": ["sh", "-c", .string(script)]
                    ]
                ]
            ]
        ]
    }
}

extension RESTClient {
    fileprivate func createIfMissing(
        _ resource: GroupVersionResource, namespace: String, _ object: JSON
    ) async throws(StatusError) {
        do throws(StatusError) {
            _ = try await create(resource, namespace: namespace, object)
        } catch {
            if !error.isAlreadyExists { throw error }
        }
    }

    /// Deletes at once and waits until it is gone.
    fileprivate func deleteIfThere(_ resource: GroupVersionResource, namespace: String, name: String) async throws {
        while true {
            do throws(StatusError) {
                try await delete(
                    resource, namespace: namespace, name: name, DeleteOptions(gracePeriodSeconds: 0))
            } catch {
                if error.isNotFound { return }
                if !error.isTransient && !error.isConflict { throw error }
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}
