// The control loops on the real API server over a one-peer store, with hollow nodes: they renew their leases, say that bound pods run, and
// finish deletions, as a kubelet would. What is tested is the whole path from an object to its consequences.
import API
import APIServer
import Controllers
import Foundation
import KVReplica
import Logging
import NIOCore
import NIOPosix
import NetHTTP
import NetPKI
import Scheduler
import Synchronization

let loopsNow: @Sendable () -> Int64 = { Int64(Timestamp.nowSeconds() * 1000) }

final class LoopsCluster: Sendable {
    let replica: Replica
    let server: APIServer
    let controllers: ControllerGroup
    let scheduler: SchedulerLoop
    let client: InProcessClient
    private let directory: String
    private let group: MultiThreadedEventLoopGroup
    private let hollow = Mutex<[String: Task<Void, Never>]>([:])

    /// `graceMilliseconds`: a node that says nothing for so long is given up; hollow ones are late where threads are.
    init(podRange: String = "10.244.0.0/16", graceMilliseconds: Int64 = 60_000) async throws {
        directory = NSTemporaryDirectory() + "tern-loops-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var logger = Logger(label: "test")
        logger.logLevel = .error
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        replica = try Replica(.single(dataDirectory: directory + "/data", logger: logger))
        try await replica.start()
        let policy = Policy(PolicyConfiguration(serviceAccountKey: try ServiceAccountKey.make(.es256)))
        let schema = SchemaTable()
        server = APIServer(
            APIServerConfiguration(name: "m1"), store: replica, schema: schema, policy: policy.server,
            metrics: MetricsRegistry(), group: group,
            logger: logger)
        server.start()
        client = server.client()
        try await Bootstrap(client: client).run()
        var options = ControllerOptions(
            identity: "m1", rootCA: "-----BEGIN CERTIFICATE-----\n", served: schema.served.map { ServedResource($0) })
        options.podRange = PodRange(podRange)
        options.nodeLifecycle.gracePeriodMilliseconds = graceMilliseconds
        options.nodeLifecycle.monitorPeriodMilliseconds = 200
        controllers = ControllerGroup(client: client, options: options)
        scheduler = SchedulerLoop(client: client, options: SchedulerOptions(identity: "m1"))
        controllers.start()
        scheduler.start()
        activate()
    }

    func activate() {
        controllers.activate(client: client)
        scheduler.activate(client: client)
    }

    func deactivate() {
        controllers.deactivate()
        scheduler.deactivate()
    }

    func stop() async {
        hollow.withLock { tasks in for task in tasks.values { task.cancel() } }
        controllers.stop()
        scheduler.stop()
        server.drain()
        await replica.stop()
        do {
            try await group.shutdownGracefully()
            try FileManager.default.removeItem(atPath: directory)
        } catch {
            print("after the test: \(error)")
        }
    }

    // Hollow nodes.

    func join(_ name: String) async throws {
        let lease: JSON = [
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": ["name": .string(name), "namespace": "kube-node-lease"],
            "spec": ["holderIdentity": .string(name), "renewTime": .string(Timestamp.microseconds(loopsNow()))]
        ]
        _ = try await client.create(.leases, namespace: "kube-node-lease", lease)
        var object = node(name)
        for field in ["uid", "resourceVersion", "creationTimestamp"] { object["metadata", field] = nil }
        object["spec"] = [:]
        object["status", "conditions"] = [
            [
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok",
                "lastHeartbeatTime": .string(Timestamp.seconds(loopsNow())),
                "lastTransitionTime": .string(Timestamp.seconds(loopsNow()))
            ]
        ]
        object["status", "capacity"] = object["status", "allocatable"]
        _ = try await client.create(.nodes, namespace: nil, object)
        revive(name)
    }

    /// The node's kubelet dies without a word.
    func kill(_ name: String) { hollow.withLock { $0.removeValue(forKey: name) }?.cancel() }

    func revive(_ name: String) {
        let task = Task { [client] in
            var address = 1
            while !Task.isCancelled {
                do { try await Self.beat(client, name, &address) } catch {}
                do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
            }
        }
        hollow.withLock { $0[name] = task }
    }

    private static func beat(_ client: InProcessClient, _ name: String, _ address: inout Int) async throws {
        let renewal: JSON = ["spec": ["renewTime": .string(Timestamp.microseconds(loopsNow()))]]
        _ = try await client.patch(
            .leases, namespace: "kube-node-lease", name: name, subresource: nil, type: .merge, renewal)
        let own = try await client.get(.nodes, namespace: nil, name: name)
        if own["status"]?["conditions"]?[0]?["status"] != "True" {
            let ready: JSON = [
                "status": ["conditions": [["type": "Ready", "status": "True", "reason": "KubeletReady"]]]
            ]
            _ = try await client.patch(
                .nodes, namespace: nil, name: name, subresource: "status", type: .strategic, ready)
        }
        for pod in try await client.list(.pods, namespace: nil, ListOptions(fieldSelector: "spec.nodeName=\(name)"))
            .items
        {
            if pod.isBeingDeleted {
                try await client.delete(
                    .pods, namespace: pod.namespace, name: pod.name, DeleteOptions(gracePeriodSeconds: 0, uid: pod.uid))
            } else if pod["status", "phase"]?.string == "Pending" {
                address += 1
                let range = own["spec", "podCIDR"]?.string ?? "10.9.9.0/24"
                let ip = range.split(separator: ".").dropLast().joined(separator: ".") + ".\(address)"
                var status = readyStatus(ip, since: loopsNow())
                if pod["spec", "containers"]?[0]?["image"]?.string == "broken" {
                    status["conditions"] = [
                        [
                            "type": "Ready", "status": "False",
                            "lastTransitionTime": .string(Timestamp.seconds(loopsNow()))
                        ]
                    ]
                }
                _ = try await client.patch(
                    .pods, namespace: pod.namespace, name: pod.name, subresource: "status", type: .strategic,
                    ["status": status])
            }
        }
    }

    // Waiting.

    struct Late: Error, CustomStringConvertible {
        var description: String
    }

    /// Asks again and again until the answer is not nil.
    @discardableResult
    func wait<T>(_ what: String, seconds: Double = 60, _ probe: () async throws -> T?) async throws -> T {
        let deadline = Timestamp.nowSeconds() + seconds
        while Timestamp.nowSeconds() < deadline {
            do { if let found = try await probe() { return found } } catch let error as StatusError
                where error.isNotFound
            {}
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Late(description: "\(what) did not come true within \(seconds) s")
    }

    /// Asks again and again until it is so.
    func until(_ what: String, seconds: Double = 60, _ probe: () async throws -> Bool) async throws {
        let _: Bool = try await wait(what, seconds: seconds) { () async throws -> Bool? in
            try await probe() ? true : nil
        }
    }

    func pods(_ selector: String = "", in namespace: String = "default") async throws -> [JSON] {
        try await client.list(.pods, namespace: namespace, ListOptions(labelSelector: selector)).items
    }

    func make(_ resource: GroupVersionResource, _ object: JSON, in namespace: String = "default") async throws -> JSON {
        try await client.create(resource, namespace: namespace, object)
    }
}
