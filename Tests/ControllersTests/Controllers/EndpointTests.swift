import API
import Controllers
import Testing

private func service(_ extra: JSON = [:]) -> JSON {
    var spec: JSON = [
        "clusterIP": "10.96.0.7", "selector": ["app": "web"],
        "ports": [["port": 80, "targetPort": 8080, "protocol": "TCP"]], "ipFamilies": ["IPv4"]
    ]
    for member in extra.object ?? [:] { spec[member.key] = member.value }
    return [
        "apiVersion": "v1", "kind": "Service",
        "metadata": ["name": "web", "namespace": "default", "uid": "svc", "labels": ["l": "1"]], "spec": spec
    ]
}

private func backend(_ name: String, _ ip: String, ready: Bool = true, ending: Bool = false, spec: JSON = [:]) -> JSON {
    var pod = pod(name, on: "w1", spec: spec, status: readyStatus(ip, ready: ready))
    if ending { pod["metadata", "deletionTimestamp"] = "2026-01-01T00:00:00Z" }
    return pod
}

private func views(_ pods: [JSON]) -> [PodView] { pods.map { PodView($0) } }

struct EndpointsTests {
    private func endpoints(_ service: JSON, _ pods: [JSON], existing: JSON? = nil) -> [Change] {
        EndpointsPlan.changes(service, pods: views(pods), existing: existing, now: epoch)
    }

    @Test func `ready and unready pods stand apart, ending ones not at all`() throws {
        let made = try #require(
            endpoints(
                service(),
                [
                    backend("a", "10.244.0.9"), backend("b", "10.244.0.2", ready: false),
                    backend("c", "10.244.0.3", ending: true)
                ]
            ).created(.endpoints).first)
        let subset = made["subsets"]?[0]
        #expect(subset?["addresses"]?.elements.map { $0["ip"] } == ["10.244.0.9"])
        #expect(subset?["notReadyAddresses"]?.elements.map { $0["ip"] } == ["10.244.0.2"])
        #expect(subset?["ports"] == [["port": 8080, "protocol": "TCP"]])
        #expect(made.labels == ["l": "1", "endpoints.kubernetes.io/managed-by": "endpoint-controller"])
        #expect(made.annotations["endpoints.kubernetes.io/last-change-trigger-time"] != nil)
        #expect(
            endpoints(service(), [backend("a", "10.244.0.9"), backend("b", "10.244.0.2", ready: false)], existing: made)
                == [])
    }

    @Test func `published unready addresses are ready ones`() {
        let made = endpoints(service(["publishNotReadyAddresses": true]), [backend("b", "10.244.0.2", ready: false)])
            .created(.endpoints).first
        #expect(made?["subsets"]?[0]?["addresses"]?.elements.count == 1)
    }

    @Test func `named target ports are looked up in each pod`() {
        let named = service(["ports": [["port": 80, "targetPort": "http", "protocol": "TCP"]]])
        func with(_ port: Int64) -> JSON {
            ["containers": [["name": "c", "ports": [["name": "http", "containerPort": .int(port)]]]]]
        }
        let made = endpoints(
            named,
            [
                backend("a", "10.0.0.1", spec: with(1000)), backend("b", "10.0.0.2", spec: with(2000)),
                backend("c", "10.0.0.3")
            ]
        ).created(.endpoints).first
        #expect(made?["subsets"]?.elements.map { $0["ports"]?[0]?["port"] } == [1000, 2000])
    }

    @Test func `services without a selector are left to others; a gone service takes its endpoints along`() {
        #expect(endpoints(service(["selector": [:]]), []) == [])
        let mine: JSON = [
            "metadata": [
                "name": "web", "namespace": "default",
                "labels": ["endpoints.kubernetes.io/managed-by": "endpoint-controller"]
            ]
        ]
        #expect(EndpointsPlan.changes(nil, pods: [], existing: mine, now: epoch).summaries == ["delete endpoints web"])
        let foreign: JSON = ["metadata": ["name": "web", "namespace": "default"]]
        #expect(EndpointsPlan.changes(nil, pods: [], existing: foreign, now: epoch) == [])
    }
}

struct EndpointSliceTests {
    private func slices(_ service: JSON?, _ pods: [JSON], existing: [JSON] = []) -> [Change] {
        EndpointSlicePlan.changes(service, pods: views(pods), slices: existing, zones: ["w1": "z1"], now: epoch)
    }

    private func stored(_ slice: JSON, _ name: String) -> JSON {
        var slice = slice
        slice["metadata", "name"] = .string(name)
        slice["metadata", "uid"] = .string("uid-\(name)")
        return slice
    }

    @Test func `an endpoint carries conditions, node, zone and target`() throws {
        let made = try #require(
            slices(service(), [backend("a", "10.244.0.9"), backend("b", "10.244.0.8", ending: true)]).created(
                .endpointSlices
            ).first)
        #expect(made.labels["kubernetes.io/service-name"] == "web")
        #expect(made.labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io")
        #expect(made["metadata", "generateName"] == "web-")
        #expect(made["addressType"] == "IPv4")
        #expect(made["ports"] == [["port": 8080, "protocol": "TCP", "name": ""]])
        let ending = made["endpoints"]?[0]
        #expect(ending?["conditions"] == ["ready": false, "serving": true, "terminating": true])
        #expect(made["endpoints"]?[1]?["conditions"] == ["ready": true, "serving": true, "terminating": false])
        #expect(ending?["zone"] == "z1")
        #expect(ending?["targetRef", "name"] == "b")
    }

    @Test func `without pods there is one empty slice and it stays`() throws {
        let made = try #require(slices(service(), []).created(.endpointSlices).first)
        #expect(slices(service(), [], existing: [stored(made, "s1")]) == [])
    }

    @Test func `a change of one pod rewrites one slice, and a hundred fit into one`() throws {
        let pods = (0..<150).map { backend("p\($0)", "10.244.0.\($0)") }
        let made = slices(service(), pods).created(.endpointSlices)
        #expect(made.map { $0["endpoints"]?.elements.count } == [100, 50])
        let existing = [stored(made[0], "s1"), stored(made[1], "s2")]
        #expect(slices(service(), pods, existing: existing) == [])
        let gone = made[0]["endpoints"]?[0]?["targetRef", "name"]?.string
        #expect(
            slices(service(), pods.filter { $0.name != gone }, existing: existing).summaries == [
                "update endpointslices s1"
            ])
        let more = slices(service(), pods + [backend("new", "10.244.1.1")], existing: existing)
        #expect(more.summaries == ["update endpointslices s2"])
    }

    @Test func `a gone service takes its slices along, those of others stay`() throws {
        let made = stored(try #require(slices(service(), []).created(.endpointSlices).first), "s1")
        var foreign = stored(made, "s2")
        foreign["metadata", "labels", "endpointslice.kubernetes.io/managed-by"] = "somebody"
        #expect(slices(nil, [], existing: [made, foreign]).summaries == ["delete endpointslices s1"])
    }

    @Test func `headless services have slices without ports`() {
        let made = slices(service(["clusterIP": "None", "ports": .null]), [backend("a", "10.244.0.9")]).created(
            .endpointSlices
        ).first
        #expect(made?["endpoints"]?.elements.count == 1)
        #expect(made?.labels["service.kubernetes.io/headless"] == "")
    }
}
