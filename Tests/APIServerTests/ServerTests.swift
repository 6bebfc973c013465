// The API server as a client sees it: real TLS socket, real replica, real policy. One server serves all cases of a suite.
import API
import APIServer
import Foundation
import Testing

private let configMaps = "/api/v1/namespaces/default/configmaps"

private func configMap(_ name: String, _ data: JSON = [:], labels: JSON = [:]) -> JSON {
    ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name), "labels": labels], "data": data]
}

@Suite(.serialized) struct ServerTests {
    @Test func `objects are created, read, replaced, patched and deleted`() async throws {
        let server = try await TestServer()
        let created = try server.json("POST", configMaps, body: configMap("a", ["k": "1"]))
        #expect(created.status == 201 && !created.body.uid.isEmpty && created.body["data", "k"] == "1")
        let again = try server.json("POST", configMaps, body: configMap("a"))
        #expect(again.status == 409 && again.body["message"] == "configmaps \"a\" already exists")
        var object = try server.json("GET", configMaps + "/a").body
        #expect(object.kind == "ConfigMap" && object.resourceVersion == created.body.resourceVersion)
        object["data", "k"] = "2"
        let replaced = try server.json("PUT", configMaps + "/a", body: object)
        #expect(
            replaced.status == 200 && replaced.body["data", "k"] == "2"
                && replaced.body.resourceVersion != object.resourceVersion)
        let stale = try server.json("PUT", configMaps + "/a", body: object)
        #expect(stale.status == 409 && stale.body["reason"] == "Conflict")
        let patched = try server.json(
            "PATCH", configMaps + "/a", body: ["data": ["z": "9"]], contentType: "application/merge-patch+json")
        #expect(patched.status == 200 && patched.body["data"] == ["k": "2", "z": "9"])
        let same = try server.json(
            "PATCH", configMaps + "/a", body: ["data": ["z": "9"]], contentType: "application/merge-patch+json")
        #expect(same.body.resourceVersion == patched.body.resourceVersion)
        let dry = try server.json("DELETE", configMaps + "/a?dryRun=All")
        #expect(dry.status == 200)
        let deleted = try server.json("DELETE", configMaps + "/a")
        #expect(
            deleted.status == 200 && deleted.body["status"] == "Success"
                && deleted.body["details", "uid"] == .string(created.body.uid))
        let gone = try server.json("GET", configMaps + "/a")
        #expect(gone.status == 404 && gone.body["message"] == "configmaps \"a\" not found")
        await server.stop()
    }

    @Test func `lists are cut, go on and select`() async throws {
        let server = try await TestServer()
        for i in 0..<5 {
            #expect(
                try server.json("POST", configMaps, body: configMap("l\(i)", labels: ["odd": .string("\(i % 2)")]))
                    .status == 201)
        }
        let first = try server.json("GET", configMaps + "?limit=2").body
        #expect(first["items"]?.elements.map(\.name) == ["l0", "l1"] && first["metadata", "remainingItemCount"] == 3)
        let token = first["metadata", "continue"]?.string ?? ""
        #expect(try server.json("DELETE", configMaps + "/l3").status == 200)
        let rest = try server.json("GET", configMaps + "?continue=\(token)").body
        #expect(
            rest["items"]?.elements.map(\.name) == ["l2", "l3", "l4"], "the rest shows the revision of the first part")
        let odd = try server.json("GET", configMaps + "?labelSelector=odd%3D1").body
        #expect(odd["items"]?.elements.map(\.name) == ["l1"])
        let named = try server.json("GET", "/api/v1/configmaps?fieldSelector=metadata.name%3Dl4").body
        #expect(named["items"]?.elements.map(\.name) == ["l4"] && named.kind == "ConfigMapList")
        let bad = try server.json("GET", configMaps + "?resourceVersion=abc")
        #expect(bad.status == 400 && bad.body.text.contains("strconv.ParseUint"))
        let future = try server.json("GET", configMaps + "?resourceVersion=99999999")
        #expect(future.status == 504 && future.body["details", "causes"]?[0]?["reason"] == "ResourceVersionTooLarge")
        let table = try server.curl(
            "GET", configMaps, headers: ["accept: application/json;as=Table;v=v1;g=meta.k8s.io"])
        let rows = try JSON.parse(table.body)
        #expect(rows.kind == "Table" && rows["rows"]?.elements.first?["cells"]?[0] == "l0")
        await server.stop()
    }

    @Test func `a watch shows what is there, each change, and selection by label`() async throws {
        let server = try await TestServer()
        #expect(try server.json("POST", configMaps, body: configMap("w1", labels: ["app": "x"])).status == 201)
        let watch = try server.watch(configMaps + "?watch=1&labelSelector=app%3Dx")
        defer { watch.end() }
        // What was there before is told of: what comes now are changes.
        #expect(try await watch.events { !$0.isEmpty }.count == 1)
        _ = try server.json("POST", configMaps, body: configMap("w2", labels: ["app": "x"]))
        _ = try server.json("POST", configMaps, body: configMap("other", labels: ["app": "y"]))
        _ = try server.json(
            "PATCH", configMaps + "/w1", body: ["metadata": ["labels": ["app": "y"]]],
            contentType: "application/merge-patch+json")
        _ = try server.json("DELETE", configMaps + "/w2")
        let events = try await watch.events { $0.count >= 4 }
        try #require(
            events.map { "\($0["type"]?.string ?? "") \($0["object"]?.name ?? "")" } == [
                "ADDED w1", "ADDED w2", "DELETED w1", "DELETED w2"
            ])
        #expect(events.allSatisfy { $0["object"]?.kind == "ConfigMap" })
        let left = events[2]["object"] ?? .null
        #expect(
            left.labels == ["app": "x"]
                && (Int(left.resourceVersion) ?? 0) > (Int(events[1]["object"]?.resourceVersion ?? "") ?? 0))
        let after = events[1]["object"]?.resourceVersion ?? ""
        let resumed = try server.watch(
            configMaps + "?watch=1&resourceVersion=\(after)&labelSelector=app%3Dx&allowWatchBookmarks=true")
        defer { resumed.end() }
        let replay = try await resumed.events { $0.count >= 3 && $0.contains { $0["type"] == "BOOKMARK" } }
        #expect(replay.filter { $0["type"] != "BOOKMARK" }.map { $0["object"]?.name } == ["w1", "w2"])
        #expect(replay.contains { $0["type"] == "BOOKMARK" })
        #expect(try server.curl("GET", configMaps + "?watch=1&timeoutSeconds=1").status == 200)
        await server.stop()
    }

    @Test func `refusals are upstream's`() async throws {
        let server = try await TestServer()
        #expect(try server.curl("GET", "/nope").status == 404)
        #expect(try server.curl("GET", "/apis/nope.example/v1/foos").body == "404 page not found\n")
        #expect(
            try server.json("GET", "/apis/apps/v9").body["message"]
                == "the server could not find the requested resource")
        #expect(try server.json("PATCH", configMaps, body: [:]).status == 405)
        #expect(try server.json("DELETE", "/api/v1/configmaps").status == 405)
        #expect(
            try server.curl("POST", configMaps, body: "a=b", contentType: "application/x-www-form-urlencoded").status
                == 415)
        #expect(try server.curl("POST", configMaps, body: "{bad").status == 400)
        #expect(try server.curl("GET", configMaps, headers: ["accept: application/xml"]).status == 406)
        #expect(try server.curl("POST", configMaps, body: String(repeating: "x", count: 3 << 20 + 1)).status == 413)
        let strict = try server.json(
            "POST", configMaps + "?fieldValidation=Strict",
            body: ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": "s"], "dta": [:]])
        #expect(strict.status == 400 && strict.body.text.contains("unknown field \\\"dta\\\""))
        let missing = try server.json("POST", "/api/v1/namespaces/missing/configmaps", body: configMap("x"))
        #expect(missing.status == 404 && missing.body["message"] == "namespaces \"missing\" not found")
        let jane = try server.json("GET", configMaps, user: "jane-token")
        #expect(jane.status == 403)
        #expect(
            jane.body["message"]
                == "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
        )
        #expect(try server.json("GET", configMaps, user: "wrong").status == 401)
        await server.stop()
    }

    @Test func `the in-process client and its watch see the same objects`() async throws {
        let server = try await TestServer()
        let client = server.client
        let list = try await client.list(.configMaps, namespace: "default", ListOptions())
        let watch = try await client.watch(
            .configMaps, namespace: "default", ListOptions(resourceVersion: list.resourceVersion))
        let made = try await client.create(.configMaps, namespace: "default", configMap("p", ["a": "1"]))
        _ = try await client.patch(
            .configMaps, namespace: "default", name: "p", subresource: nil, type: .merge, ["data": ["a": "2"]])
        try await client.delete(.configMaps, namespace: "default", name: "p", DeleteOptions(uid: made.uid))
        var seen: [String] = []
        for try await event in watch {
            switch event {
            case .added(let object): seen.append("added \(object["data", "a"]?.string ?? "")")
            case .modified(let object): seen.append("modified \(object["data", "a"]?.string ?? "")")
            case .deleted: seen.append("deleted")
            case .bookmark: continue
            }
            if seen.count == 3 { break }
        }
        #expect(seen == ["added 1", "modified 2", "deleted"])
        await #expect(throws: StatusError.self) { try await client.get(.configMaps, namespace: "default", name: "p") }
        await server.stop()
    }

    @Test func `kubectl applies, gets, explains and deletes`() async throws {
        let server = try await TestServer()
        let version = try server.kubectl("version")
        #expect(version.code == 0 && version.out.contains("v1.33.0+tern.1"), "\(version)")
        let created = try server.kubectl("create", "configmap", "k", "--from-literal=a=1")
        #expect(created.out == "configmap/k created\n", "\(created)")
        let got = try server.kubectl("get", "configmap", "k")
        #expect(got.out.hasPrefix("NAME   DATA   AGE\nk      1 "), "\(got)")
        let file = server.directory + "/apply.yaml"
        try "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: k2}\ndata: {b: x}\n".write(
            toFile: file, atomically: true, encoding: .utf8)
        #expect(try server.kubectl("apply", "-f", file).out == "configmap/k2 created\n")
        #expect(try server.kubectl("apply", "-f", file).out == "configmap/k2 unchanged\n")
        try "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: k2}\ndata: {b: z}\n".write(
            toFile: file, atomically: true, encoding: .utf8)
        let configured = try server.kubectl("apply", "-f", file)
        #expect(configured.out == "configmap/k2 configured\n", "\(configured)")
        let explained = try server.kubectl("explain", "pod.spec.containers")
        #expect(explained.code == 0 && explained.out.contains("FIELD: containers <[]Container>"), "\(explained)")
        #expect(try server.kubectl("delete", "configmap", "k", "k2").code == 0)
        #expect(
            try server.kubectl("get", "configmap", "k").err
                == "Error from server (NotFound): configmaps \"k\" not found\n")
        await server.stop()
    }
}
