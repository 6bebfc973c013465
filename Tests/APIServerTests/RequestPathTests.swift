// Paths to verbs and resources, media types to representations, tokens and stored bytes: the pure parts of the machinery.
import API
import APIServer
import KVCore
import Testing

private func parsed(_ method: String, _ target: String, watch: Bool = false) throws -> RequestPath {
    try #require(RequestPath.parse(method: method, target: target, isWatch: watch, fieldName: nil))
}

@Test func `a path of a namespaced object names all its parts`() throws {
    let path = try parsed("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/scale?dryRun=All")
    #expect(path.verb == "patch")
    #expect(
        [path.group, path.version, path.namespace, path.resource, path.name, path.subresource] == [
            "apps", "v1", "shop", "deployments", "web", "scale"
        ])
    #expect(path.scope == "shop")
}

@Test func `a Namespace object lies at cluster scope and authorizes in itself`() throws {
    let path = try parsed("GET", "/api/v1/namespaces/shop")
    #expect(path.resource == "namespaces" && path.name == "shop" && path.namespace == "shop" && path.scope == nil)
    let status = try parsed("PUT", "/api/v1/namespaces/shop/status")
    #expect(status.resource == "namespaces" && status.subresource == "status" && status.verb == "update")
}

@Test(arguments: [
    ("GET", false, "list"), ("GET", true, "watch"), ("DELETE", false, "deletecollection"), ("POST", false, "create")
])
func `a collection's verb follows the method`(_ method: String, _ watch: Bool, _ verb: String) throws {
    #expect(try parsed(method, "/api/v1/namespaces/shop/pods", watch: watch).verb == verb)
}

@Test func `the old watch paths are watches`() throws {
    #expect(try parsed("GET", "/api/v1/watch/pods").verb == "watch")
    let one = try parsed("GET", "/api/v1/watch/namespaces/shop/pods/p1")
    #expect(one.verb == "watch" && one.name == "p1" && one.namespace == "shop")
}

@Test func `roots and versions are no resources`() throws {
    for target in ["/", "/api", "/api/v1", "/api/v1/", "/apis/apps/v1", "/healthz/etcd", "/api//v1/pods"] {
        #expect(try !parsed("GET", target).isResource, "\(target)")
    }
}

@Test func `an encoded slash never becomes part of a key`() {
    #expect(
        RequestPath.parse(method: "GET", target: "/api/v1/namespaces/a%2Fb/pods", isWatch: false, fieldName: nil) == nil
    )
    #expect(
        RequestPath.parse(method: "GET", target: "/api/v1/namespaces/../secrets", isWatch: false, fieldName: nil) == nil
    )
    #expect(RequestPath.parse(method: "GET", target: "/api/v1/namespaces/%zz", isWatch: false, fieldName: nil) == nil)
    #expect(RequestPath.parse(method: "GET", target: "/api/v1/namespaces/%ff", isWatch: false, fieldName: nil) == nil)
}

@Test func `JSON is taken where protobuf and JSON are offered`() throws {
    let both = try Representation.negotiate(accept: "application/vnd.kubernetes.protobuf,application/json")
    #expect(both.encoding == .json && both.form == .object)
    #expect(try Representation.negotiate(accept: "application/vnd.kubernetes.protobuf").encoding == .protobuf)
    #expect(try Representation.negotiate(accept: nil).encoding == .json)
    #expect(try Representation.negotiate(accept: "application/yaml;q=0.5, application/json;q=0.4").encoding == .yaml)
}

@Test func `kubectl's Table clause wins over plain JSON`() throws {
    let accept =
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
    #expect(try Representation.negotiate(accept: accept).form == .table(version: "v1"))
    #expect(throws: Representation.Refusal.noForm) {
        try Representation.negotiate(accept: "application/json;as=Table;v=v9;g=meta.k8s.io")
    }
    #expect(throws: Representation.Refusal.noMediaType) { try Representation.negotiate(accept: "application/xml") }
}

@Test func `a stored object gives back its tree with the revision spliced in`() throws {
    let object: JSON = [
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": [
            "labels": ["a": "b"], "name": "cm", "namespace": "ns", "uid": "u-1", "managedFields": [],
            "resourceVersion": "3"
        ],
        "data": ["k": "v \"quoted\""]
    ]
    let bytes = StoredObject.encode(object)
    let stored = try #require(StoredObject(bytes, revision: Revision(42)))
    let tree = try #require(stored.tree(GroupVersionKind("", "v1", "ConfigMap")))
    #expect(tree.resourceVersion == "42")
    #expect(tree["metadata", "managedFields"] == nil)
    #expect(tree.kind == "ConfigMap" && tree.labels == ["a": "b"] && tree["data", "k"]?.string == "v \"quoted\"")
    #expect(stored.labels == ["a": "b"])
    for cut in 0..<9 { #expect(StoredObject(Array(bytes.prefix(cut)), revision: Revision(1)) == nil) }
}

@Test func `a deletion with finalizers marks, without removes, and a second never lengthens the grace`() {
    let object: JSON = ["kind": "Pod", "metadata": ["name": "p", "generation": 1]]
    guard case .remove = Removal().decide(object, grace: 0, defaultPropagation: "Background", now: 0) else {
        Issue.record("a free object without grace stays")
        return
    }
    guard case .keep(let marked) = Removal().decide(object, grace: 30, defaultPropagation: "Background", now: 0) else {
        Issue.record("grace does not keep the object")
        return
    }
    #expect(
        marked["metadata", "deletionGracePeriodSeconds"] == 30
            && marked["metadata", "deletionTimestamp"] == "1970-01-01T00:00:30Z" && marked.generation == 2)
    guard case .unchanged = Removal().decide(marked, grace: 60, defaultPropagation: "Background", now: 1) else {
        Issue.record("a longer grace changed the object")
        return
    }
    guard case .keep(let shorter) = Removal().decide(marked, grace: 5, defaultPropagation: "Background", now: 1) else {
        Issue.record("a shorter grace was ignored")
        return
    }
    #expect(shorter["metadata", "deletionGracePeriodSeconds"] == 5)
    let foreground = Removal(DeleteOptions(propagationPolicy: "Foreground"))
    guard case .keep(let held) = foreground.decide(object, grace: 0, defaultPropagation: "Background", now: 0) else {
        Issue.record("foreground deletion removed at once")
        return
    }
    #expect(held.finalizers == ["foregroundDeletion"])
}
