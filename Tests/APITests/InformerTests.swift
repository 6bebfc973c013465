import API
import Synchronization
import Testing

/// A collection in memory whose watches can be broken off and whose history can be forgotten.
private final class ScriptedClient: ObjectClient {
    struct State {
        var objects: [String: JSON] = [:]
        var revision = 0
        var log: [(Int, WatchEvent)] = []
        var compacted = 0
        var watchers: [AsyncThrowingStream<WatchEvent, any Error>.Continuation] = []
        var lists = 0
        var listFailures = 0
    }
    let state = Mutex(State())

    func put(_ name: String, _ value: String) {
        state.withLock { s in
            s.revision += 1
            let object: JSON = [
                "metadata": ["name": .string(name), "resourceVersion": .string("\(s.revision)")],
                "data": .string(value)
            ]
            let event: WatchEvent = s.objects[name] == nil ? .added(object) : .modified(object)
            s.objects[name] = object
            s.publish(event)
        }
    }

    func remove(_ name: String) {
        state.withLock { s in
            s.revision += 1
            guard var object = s.objects.removeValue(forKey: name) else { return }
            object["metadata", "resourceVersion"] = .string("\(s.revision)")
            s.publish(.deleted(object))
        }
    }

    /// Ends all watches; with `compacting` the history is gone too.
    func cut(compacting: Bool) {
        let watchers = state.withLock { s in
            if compacting { s.compacted = s.revision }
            defer { s.watchers = [] }
            return s.watchers
        }
        for watcher in watchers { watcher.finish() }
    }

    func list(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    ) async throws(StatusError)
        -> ObjectList
    {
        let (list, fails) = state.withLock { s in
            s.lists += 1
            if s.listFailures > 0 {
                s.listFailures -= 1
                return (ObjectList(items: [], resourceVersion: ""), true)
            }
            return (
                ObjectList(items: s.objects.sorted { $0.key < $1.key }.map(\.value), resourceVersion: "\(s.revision)"),
                false
            )
        }
        if fails { throw Status.serviceUnavailable("no leader") }
        return list
    }

    func watch(
        _ resource: GroupVersionResource, namespace: String?, _ options: ListOptions
    ) async throws(StatusError)
        -> WatchStream
    {
        let (stream, continuation) = WatchStream.makeStream()
        let isExpired = state.withLock { s in
            let from = Int(options.resourceVersion) ?? 0
            if from < s.compacted { return true }
            for (revision, event) in s.log where revision > from { continuation.yield(event) }
            s.watchers.append(continuation)
            return false
        }
        if isExpired { throw Status.expired(requested: options.resourceVersion, oldest: "?") }
        return stream
    }

    func get(_ resource: GroupVersionResource, namespace: String?, name: String) async throws(StatusError) -> JSON {
        throw Status.notFound(resource, name)
    }
    func create(
        _ resource: GroupVersionResource, namespace: String?, name: String?, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON { object }
    func update(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, _ object: JSON
    ) async throws(StatusError) -> JSON { object }
    func patch(
        _ resource: GroupVersionResource, namespace: String?, name: String, subresource: String?, type: PatchType,
        _ patch: JSON
    ) async throws(StatusError) -> JSON { patch }
    func delete(
        _ resource: GroupVersionResource, namespace: String?, name: String, _ options: DeleteOptions
    )
        async throws(StatusError)
    {}
    func deleteCollection(
        _ resource: GroupVersionResource, namespace: String?, _ list: ListOptions, _ options: DeleteOptions
    ) async throws(StatusError) {}
}

extension ScriptedClient.State {
    mutating func publish(_ event: WatchEvent) {
        log.append((revision, event))
        for watcher in watchers { watcher.yield(event) }
    }
}

/// Waits for a condition, at most a minute.
private func eventually(_ condition: () -> Bool) async throws -> Bool {
    let end = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < end {
        if condition() { return true }
        try await Task.sleep(for: .milliseconds(5))
    }
    return condition()
}

@Suite struct InformerTests {
    private func informer(_ client: ScriptedClient) -> Informer<String> {
        Informer(client, InformerScope(.configMaps)) { $0["data"]?.string }
    }

    @Test func `it shows what is listed, then what changes`() async throws {
        let client = ScriptedClient()
        client.put("a", "1")
        let informer = informer(client)
        let changes = Mutex<[String]>([])
        informer.onChange { change in
            switch change {
            case .added(let key, let value): changes.withLock { $0.append("+\(key)=\(value)") }
            case .updated(let key, let old, let new): changes.withLock { $0.append("\(key):\(old)>\(new)") }
            case .deleted(let key, let value): changes.withLock { $0.append("-\(key)=\(value)") }
            }
        }
        informer.start()
        await informer.waitForSync()
        #expect(informer.hasSynced && informer.get("a") == "1")
        client.put("a", "2")
        client.put("b", "1")
        client.remove("a")
        #expect(try await eventually { changes.withLock { $0 } == ["+a=1", "a:1>2", "+b=1", "-a=2"] })
        #expect(informer.keys == ["b"])
        informer.stop()
    }

    @Test func `a broken watch goes on where it was, without a list`() async throws {
        let client = ScriptedClient()
        let informer = informer(client)
        informer.start()
        await informer.waitForSync()
        client.cut(compacting: false)
        client.put("a", "1")
        #expect(try await eventually { informer.get("a") == "1" })
        #expect(informer.relists == 0)
        informer.stop()
    }

    @Test func `a lost history means a new list, and what is gone is reported`() async throws {
        let client = ScriptedClient()
        client.put("a", "1")
        client.put("b", "1")
        let informer = informer(client)
        let deleted = Mutex<[String]>([])
        informer.onChange { if case .deleted(let key, _) = $0 { deleted.withLock { $0.append(key) } } }
        informer.start()
        await informer.waitForSync()
        #expect(try await eventually { client.state.withLock { !$0.watchers.isEmpty } })
        client.state.withLock { s in
            s.objects["a"] = nil
            s.revision += 1
        }
        client.cut(compacting: true)
        #expect(try await eventually { informer.relists == 1 })
        #expect(try await eventually { informer.keys == ["b"] && deleted.withLock { $0 } == ["a"] })
        informer.stop()
    }

    @Test func `it survives a server that cannot answer yet`() async throws {
        let client = ScriptedClient()
        client.put("a", "1")
        client.state.withLock { $0.listFailures = 3 }
        let informer = informer(client)
        informer.start()
        await informer.waitForSync()
        #expect(informer.count == 1)
        informer.stop()
    }
}

@Suite struct WorkQueueTests {
    @Test func `a waiting key is there once, a key in work comes back only when done`() async {
        let queue = WorkQueue<String>()
        queue.add("a")
        queue.add("a")
        queue.add("b")
        #expect(queue.count == 2)
        #expect(await queue.next() == "a")
        #expect(queue.count == 1)
        queue.add("a")
        #expect(await queue.next() == "b")
        queue.done("a")
        #expect(await queue.next() == "a")
    }

    @Test func `failures come back later each time`() async {
        let queue = WorkQueue<Int>(backoffSecondsMin: 0.01)
        let seen = Mutex(0)
        let task = Task {
            await queue.run { _ in
                let count = seen.withLock { value in
                    value += 1
                    return value
                }
                if count < 4 { throw Status.serviceUnavailable("later") }
                queue.shutDown()
            }
        }
        queue.add(1)
        await task.value
        #expect(seen.withLock { $0 } == 4)
        #expect(queue.failures(of: 1) == 0)
    }

    @Test func `shutting down ends waiting workers`() async {
        let queue = WorkQueue<Int>()
        let task = Task { await queue.next() }
        queue.shutDown()
        #expect(await task.value == nil)
        queue.add(1)
        #expect(await queue.next() == nil)
    }

    @Test func `of several delays the earliest counts`() async {
        let queue = WorkQueue<Int>()
        queue.add(1, afterSeconds: 60)
        queue.add(1, afterSeconds: 0.01)
        #expect(await queue.next() == 1)
    }
}
