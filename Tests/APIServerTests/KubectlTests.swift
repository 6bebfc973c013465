// The real kubectl against a whole server: what people do with server-side apply, discovery and explanations, and that
// none of it warns.
import API
import APIServer
import Foundation
import Testing

@Suite(.serialized) struct KubectlTests {
    private func write(_ text: String, _ name: String, _ server: TestServer) throws -> String {
        let file = "\(server.directory)/\(name)"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        return file
    }

    private func map(_ data: String) -> String {
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {\(data)}\n"
    }

    @Test func `server-side apply merges, tells conflicts, is forced, and shows differences first`() async throws {
        let server = try await TestServer()
        let first = try write(map("a: one, b: one"), "first.yaml", server)
        let made = try server.kubectl("apply", "--server-side", "-f", first)
        #expect(made.code == 0 && made.out == "configmap/shared serverside-applied\n" && made.err.isEmpty, "\(made)")
        let second = try write(map("b: two"), "second.yaml", server)
        let refused = try server.kubectl("apply", "--server-side", "--field-manager=other", "-f", second)
        #expect(
            refused.code == 1
                && refused.err.contains("Apply failed with 1 conflict: conflict with \"kubectl\": .data.b"))
        let shown = try server.kubectl(
            "diff", "--server-side", "--force-conflicts", "--field-manager=other", "-f", second)
        #expect(shown.code == 1 && shown.out.contains("+  b: two") && shown.out.contains("-  b: one"), "\(shown)")
        #expect(try server.json("GET", "/api/v1/namespaces/default/configmaps/shared").body["data", "b"] == "one")
        let forced = try server.kubectl(
            "apply", "--server-side", "--force-conflicts", "--field-manager=other", "-f", second)
        #expect(forced.code == 0, "\(forced)")
        let left = try write(map("a: one"), "left.yaml", server)
        #expect(try server.kubectl("apply", "--server-side", "-f", left).code == 0)
        let object = try server.json("GET", "/api/v1/namespaces/default/configmaps/shared").body
        #expect(object["data"] == ["a": "one", "b": "two"])
        await server.stop()
    }

    @Test func `an object applied by the client goes over to the server's side without a conflict`() async throws {
        let server = try await TestServer()
        let before = try write(map("a: one, b: one"), "before.yaml", server)
        #expect(try server.kubectl("apply", "-f", before).code == 0)
        let after = try write(map("a: two"), "after.yaml", server)
        let moved = try server.kubectl("apply", "--server-side", "-f", after)
        #expect(moved.code == 0, "\(moved)")
        let object = try server.json("GET", "/api/v1/namespaces/default/configmaps/shared").body
        #expect(object["data"] == ["a": "two"])
        await server.stop()
    }

    @Test(arguments: [
        ["api-resources"], ["api-versions"], ["version"], ["explain", "pod.spec.containers", "--recursive"],
        ["explain", "deployment.spec.strategy", "--output=plaintext-openapiv2"], ["get", "--raw", "/readyz?verbose"],
        ["get", "serviceaccounts", "-A"], ["auth", "whoami"]
    ])
    func `looking around works without a warning`(arguments: [String]) async throws {
        let server = try await TestServer()
        let ran = try TestServer.run(
            "/usr/bin/kubectl",
            ["--kubeconfig", server.directory + "/kubeconfig", "--cache-dir", server.directory + "/cache"] + arguments)
        #expect(ran.code == 0 && !ran.out.isEmpty || arguments.contains("serviceaccounts"), "\(ran)")
        #expect(!ran.err.lowercased().contains("warning"), "\(ran.err)")
        await server.stop()
    }

    @Test func `a kind that a known group does not serve is refused in the known words`() async throws {
        let server = try await TestServer()
        let file = try write(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: {serviceName: x}\n", "known.yaml",
            server)
        let refused = try server.kubectl("apply", "-f", file)
        #expect(refused.code == 1 && refused.err.contains("no matches for kind \"StatefulSet\" in version \"apps/v1\""))
        await server.stop()
    }

    @Test func `a kind that nobody serves is refused in the known words`() async throws {
        let server = try await TestServer()
        let file = try write("apiVersion: nope.example/v1\nkind: Foo\nmetadata: {name: x}\n", "unknown.yaml", server)
        let refused = try server.kubectl("apply", "-f", file)
        let words =
            "error: resource mapping not found for name: \"x\" namespace: \"\" from \"\(file)\": no matches for kind "
            + "\"Foo\" in version \"nope.example/v1\"\nensure CRDs are installed first\n"
        #expect(refused.code == 1 && refused.err == words, "\(refused)")
        await server.stop()
    }
}
