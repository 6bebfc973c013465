// ConfigMaps and Secrets that volumes show: followed, not asked for again and again.
import API
import Kubelet
import Synchronization
import Testing

struct ObjectCacheTests {
    private let name = ObjectName(.configMap, "default", "cm")

    private func put(_ client: MemoryClient, _ value: String) {
        client.put(
            .configMaps, ["metadata": ["name": "cm", "namespace": "default"], "data": ["k": .string(value)]])
    }

    private func text(_ bytes: KeyedBytes?) -> String? { bytes?["k"].map { String(decoding: $0, as: UTF8.self) } }

    @Test(.timeLimit(.minutes(1)))
    func `a change of a followed object is told, and its new content is there without asking`() async throws {
        let client = MemoryClient()
        let cache = ObjectCache(client: client)
        let (changes, tell) = AsyncStream.makeStream(of: ObjectName.self)
        cache.onChange { tell.yield($0) }
        put(client, "one")
        #expect(text(try await cache.get(name)) == "one")
        cache.follow([name])
        // Until the watch is there a change shows in its first list.
        put(client, "two")
        for await changed in changes {
            #expect(changed == name)
            break
        }
        client.setAway(true)
        #expect(text(try await cache.get(name)) == "two")
        cache.follow([])
    }

    @Test func `an object that is not followed and not known cannot be had while the API is away`() async {
        let client = MemoryClient()
        client.setAway(true)
        await #expect(throws: StatusError.self) { _ = try await ObjectCache(client: client).get(name) }
    }

    @Test func `a pod shows the objects of its plain and its projected volumes`() {
        let pod = testPod([
            "containers": [["name": "c", "image": "img"]],
            "volumes": [
                ["name": "a", "configMap": ["name": "cm"]], ["name": "b", "secret": ["secretName": "s"]],
                ["name": "c", "projected": ["sources": [["configMap": ["name": "root"]], ["secret": ["name": "t"]]]]],
                ["name": "d", "emptyDir": [:]]
            ]
        ])
        #expect(
            PodSpec(pod).shownObjects == [
                name, ObjectName(.secret, "default", "s"), ObjectName(.configMap, "default", "root"),
                ObjectName(.secret, "default", "t")
            ])
    }

    @Test func `a changed object brings the volumes of the pods that show it up to date at once`() {
        let spec: JSON = [
            "containers": [["name": "c", "image": "img"]], "volumes": [["name": "a", "configMap": ["name": "cm"]]]
        ]
        var stage = PodStage(testPod(spec))
        stage.settle()
        var isRefreshing: Bool { stage.life.decide(now: stage.now).actions.contains(.refreshVolumes) }
        #expect(!isRefreshing)
        let isOther = stage.life.changed(ObjectName(.secret, "default", "cm"))
        #expect(!isOther)
        #expect(!isRefreshing)
        let isOwn = stage.life.changed(name)
        #expect(isOwn)
        #expect(isRefreshing)
        // A change during the refresh brings another one.
        _ = stage.life.changed(name)
        #expect(!isRefreshing)
        _ = stage.life.finished(.refreshed, now: stage.now)
        #expect(isRefreshing)
    }
}
