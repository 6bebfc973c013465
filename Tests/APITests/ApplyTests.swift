// Server-side apply without a server: what a configuration owns, what it changes, what goes, who is in the way.
import API
import Testing

private let table = SchemaTable()
private let deployment = GroupVersionKind("apps", "v1", "Deployment")
private let rules = ServerSideApply(table, kind: deployment)

private func call(_ manager: String, subresource: String = "") -> ServerSideApply.Call {
    ServerSideApply.Call(
        manager: manager, subresource: subresource, hasStatus: true, now: "2024-01-01T00:00:00Z")
}

private func web(_ containers: JSON, replicas: JSON? = nil) -> JSON {
    var tree: JSON = [
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web"],
        "spec": ["template": ["spec": ["containers": containers]]]
    ]
    tree["spec", "replicas"] = replicas
    return tree
}

private func apply(
    _ config: JSON, _ live: ServerSideApply.Result? = nil, as manager: String = "m", force: Bool = false
) throws -> ServerSideApply.Result {
    try rules.apply(config, to: live?.object, live?.managers ?? ManagedFields(), call(manager), force: force)
}

struct ApplyTests {
    @Test func `a manager owns the fields that it names, elements of keyed lists included`() throws {
        let made = try apply(web([["name": "c", "image": "i", "ports": [["containerPort": 80]]]]))
        let owned = made.managers.tree?[0]?["fieldsV1", "f:spec", "f:template", "f:spec", "f:containers"]
        let container = owned?["k:{\"name\":\"c\"}"]
        #expect(container?["."] == [:] && container?["f:image"] == [:] && container?["f:name"] == [:])
        #expect(container?["f:ports"]?.object?.keys == ["k:{\"containerPort\":80,\"protocol\":\"TCP\"}"])
    }

    @Test func `containers of two managers stand side by side, and each goes with its own`() throws {
        let first = try apply(web([["name": "a", "image": "i"]]))
        var both = try apply(web([["name": "b", "image": "j"]]), first, as: "n")
        #expect(both.object["spec", "template", "spec", "containers"]?.elements.map { $0["name"] } == ["a", "b"])
        both.object["spec", "template", "spec", "containers"] = [
            ["name": "a", "image": "i"], ["name": "b", "image": "j", "imagePullPolicy": "Always"]
        ]
        let left = try apply(
            ["apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web"]], both, as: "n")
        #expect(left.object["spec", "template", "spec", "containers"] == [["name": "a", "image": "i"]])
        #expect(left.managers.managers.map(\.name) == ["m"])
    }

    @Test func `a changed value of another is a conflict, the same value is shared, force takes it`() throws {
        let first = try apply(web([], replicas: 2))
        let shared = try apply(web([], replicas: 2), first, as: "n")
        #expect(shared.managers.managers.count == 2)
        do throws(StatusError) {
            _ = try rules.apply(web([], replicas: 3), to: first.object, first.managers, call("n"), force: false)
            Issue.record("no conflict")
        } catch {
            #expect(error.code == 409)
            #expect(error.message == "Apply failed with 1 conflict: conflict with \"m\": .spec.replicas")
        }
        let taken = try apply(web([], replicas: 3), first, as: "n", force: true)
        #expect(taken.object["spec", "replicas"] == 3)
        let fields = taken.managers.managers.first { $0.name == "m" }?.fields.paths ?? []
        #expect(!fields.contains(".spec.replicas"))
    }

    @Test func `a field that its only owner no longer names goes, a shared one stays`() throws {
        let first = try apply(web([], replicas: 2))
        #expect(try apply(web([]), first).object["spec", "replicas"] == nil)
        let shared = try apply(web([], replicas: 2), first, as: "n")
        #expect(try apply(web([]), shared).object["spec", "replicas"] == 2)
    }

    @Test func `an ordinary write takes what it changes and leaves the rest`() throws {
        let first = try apply(web([["name": "c", "image": "i"]], replicas: 2))
        var changed = first.object
        changed["spec", "replicas"] = 5
        let owners = rules.updated(
            first.managers, from: first.object, to: changed, call("scaler", subresource: "scale"))
        #expect(owners.managers.first { $0.name == "scaler" }?.fields.paths == [".spec.replicas"])
        #expect(owners.managers.first { $0.name == "m" }?.fields.paths.contains(".spec.replicas") == false)
        #expect(rules.updated(owners, from: changed, to: changed, call("x")) == owners)
    }

    @Test func `an object without owners belongs to whoever came before the first apply`() throws {
        let live = web([["name": "c", "image": "i"]], replicas: 1)
        let owners = rules.first(live, hasStatus: true)
        #expect(owners.managers.map(\.name) == ["before-first-apply"])
        do throws(StatusError) {
            _ = try rules.apply(web([], replicas: 2), to: live, owners, call("m"), force: false)
            Issue.record("no conflict")
        } catch {
            #expect(error.message.contains("conflict with \"before-first-apply\" using apps/v1: .spec.replicas"))
        }
    }

    @Test func `kubectl takes over what it applied by itself before, and nothing else`() throws {
        var live = web([["name": "c", "image": "i"]], replicas: 1)
        live["metadata", "annotations"] = [
            "kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{\"replicas\":1}}"
        ]
        let owners = rules.first(live, hasStatus: true)
        let taken = try rules.apply(web([], replicas: 2), to: live, owners, call("kubectl"), force: false)
        #expect(taken.object["spec", "replicas"] == 2)
        #expect(throws: StatusError.self) {
            _ = try rules.apply(web([], replicas: 2), to: live, owners, call("other"), force: false)
        }
        #expect(throws: StatusError.self) {
            let image = web([["name": "c", "image": "j"]])
            _ = try rules.apply(image, to: live, owners, call("kubectl"), force: false)
        }
    }

    @Test func `what is no set of fields is refused, and hostile ones do no harm`() {
        #expect(FieldSet(fieldsV1: "x") == nil)
        #expect(FieldSet(fieldsV1: ["f:a": 1]) == nil)
        #expect(ManagedFields([["operation": "Zzz", "apiVersion": "v1", "fieldsV1": [:]]]) == nil)
        let odd: JSON = ["f:spec": ["k:nonsense": [:], "v:": [:], "i:0": [:], "": [:]]]
        #expect(FieldSet(fieldsV1: odd)?.paths.count == 4)
        let owners = ManagedFields([["operation": "Apply", "manager": "m", "apiVersion": "apps/v1", "fieldsV1": odd]])
        #expect(throws: Never.self) {
            _ = try rules.apply(web([], replicas: 1), to: web([]), owners ?? ManagedFields(), call("m"), force: true)
        }
    }

    @Test func `an unknown field and a wrong type are refused`() {
        for (config, text) in [
            (["nope": 1] as JSON, ".nope: field not declared in schema"),
            (["spec": "x"], "cannot unmarshal string")
        ] {
            do throws(StatusError) {
                _ = try rules.apply(config, to: nil, ManagedFields(), call("m"), force: false)
                Issue.record("taken: \(config)")
            } catch {
                #expect(error.code == 400 && error.message.contains(text), "\(error.message)")
            }
        }
    }
}
