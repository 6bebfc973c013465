import API
import Testing

@Suite struct PatchTests {
    let table = SchemaTable()
    let deployment = GroupVersionKind("apps", "v1", "Deployment")

    @Test func `merge patches change, add and delete`() throws {
        let made = try Patch.merge(["data": ["a": "9", "b": nil, "c": "3"]], into: ["data": ["a": "1", "b": "2"]])
        #expect(made == ["data": ["a": "9", "c": "3"]])
        #expect(try Patch.merge(["a": ["b": ["c": nil, "d": 1]]], into: [:]) == ["a": ["b": ["d": 1]]])
    }

    @Test func `a merge patch that is no object is refused in upstream's words`() {
        do throws(StatusError) {
            _ = try Patch.merge([1], into: [:])
            Issue.record("accepted")
        } catch {
            #expect(
                error.message
                    == "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
            )
        }
    }

    private func patched(_ operations: JSON, _ object: JSON) throws -> JSON {
        var warnings: [String] = []
        return try Patch.json(operations, on: object, warnings: &warnings)
    }

    @Test func `json patches test, add, replace, copy, move and remove`() throws {
        let start: JSON = ["data": ["k": "v"], "list": [1, 2]]
        let operations: JSON = [
            ["op": "test", "path": "/data/k", "value": "v"], ["op": "replace", "path": "/data/k", "value": "w"],
            ["op": "copy", "from": "/data/k", "path": "/data/k2"],
            ["op": "move", "from": "/data/k2", "path": "/data/k3"],
            ["op": "add", "path": "/list/-", "value": 3], ["op": "remove", "path": "/list/0"],
            ["op": "add", "path": "/data/a~1b", "value": "x"], ["op": "replace", "path": "/data/none", "value": "y"]
        ]
        #expect(
            try patched(operations, start) == [
                "data": ["k": "w", "k3": "w", "a/b": "x", "none": "y"], "list": [2, 3]
            ])
    }

    @Test(
        arguments: [
            ["op": "test", "path": "/a", "value": 2], ["op": "frob", "path": "/a"],
            ["op": "remove", "path": "/list/9"],
            ["op": "add", "path": "/x/y", "value": 1], ["op": "remove", "path": "/none"]
        ] as [JSON])
    func `operations that do not fit are refused with 422`(operation: JSON) {
        do {
            _ = try patched(.array([operation]), ["a": 1, "list": []])
            Issue.record("accepted")
        } catch { #expect((error as? StatusError)?.code == 422) }
    }

    @Test func `unknown members of operations warn and too many operations are refused`() throws {
        var warnings: [String] = []
        _ = try Patch.json([["op": "add", "path": "/a", "value": 1, "zz": 2]], on: [:], warnings: &warnings)
        #expect(warnings == ["json patch unknown field \"[0].zz\""])
        let many = JSON.array(Array(repeating: ["op": "test", "path": "/a", "value": 1], count: 10_001))
        do throws(StatusError) {
            _ = try Patch.json(many, on: ["a": 1], warnings: &warnings)
        } catch {
            #expect(error.code == 413)
            #expect(error.message.hasSuffix("The allowed maximum operations in a JSON patch is 10000, got 10001"))
        }
    }

    private func template(_ containers: JSON) -> JSON { ["spec": ["template": ["spec": ["containers": containers]]]] }

    private func strategic(_ patch: JSON, _ object: JSON) throws -> JSON {
        try table.strategicMerge(patch, into: object, as: deployment)
    }

    @Test func `containers merge by name, also their variables`() throws {
        let start = template([["name": "a", "image": "i", "env": [["name": "X", "value": "1"]]], ["name": "b"]])
        let patch = template([["name": "a", "env": [["name": "Y", "value": "2"]]]])
        let expected = template([
            ["name": "a", "image": "i", "env": [["name": "Y", "value": "2"], ["name": "X", "value": "1"]]],
            ["name": "b"]
        ])
        #expect(try strategic(patch, start) == expected)
    }

    @Test func `what a patch brings stands before what it does not name, unless the server had that before it`() throws
    {
        let start = template([["name": "a"], ["name": "b"], ["name": "c"]])
        let merged = try strategic(template([["name": "new"], ["name": "b", "image": "i"]]), start)
        #expect(merged == template([["name": "new"], ["name": "a"], ["name": "b", "image": "i"], ["name": "c"]]))
    }

    @Test func `directives delete, replace, order and retain`() throws {
        let start = template([["name": "a", "image": "i"], ["name": "b"]])
        #expect(
            try strategic(template([["name": "b", "$patch": "delete"]]), start)
                == template([["name": "a", "image": "i"]]))
        #expect(
            try strategic(template([["$patch": "replace"], ["name": "only"]]), start) == template([["name": "only"]]))
        let ordered: JSON = [
            "spec": [
                "template": [
                    "spec": [
                        "$setElementOrder/containers": [["name": "n"], ["name": "b"], ["name": "a"]],
                        "containers": [["name": "n"]]
                    ]
                ]
            ]
        ]
        #expect(
            try strategic(ordered, start) == template([["name": "n"], ["name": "b"], ["name": "a", "image": "i"]]))
        let rolling: JSON = ["spec": ["strategy": ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": 1]]]]
        let recreate: JSON = ["spec": ["strategy": ["$retainKeys": ["type"], "type": "Recreate"]]]
        #expect(try strategic(recreate, rolling) == ["spec": ["strategy": ["type": "Recreate"]]])
    }

    @Test func `lists of plain values merge and shrink by directive`() throws {
        let start: JSON = ["metadata": ["finalizers": ["a/b", "c/d"]]]
        #expect(
            try strategic(["metadata": ["$deleteFromPrimitiveList/finalizers": ["a/b"]]], start) == [
                "metadata": ["finalizers": ["c/d"]]
            ])
        #expect(
            try strategic(["metadata": ["finalizers": ["e/f"]]], start) == [
                "metadata": ["finalizers": ["e/f", "a/b", "c/d"]]
            ])
    }

    @Test func `wrong directives and missing keys are refused in upstream's words`() {
        let cases: [(JSON, String)] = [
            (template([["image": "x"]]), "map: map[image:x] does not contain declared merge key: name"),
            (["spec": ["template": ["spec": ["$patch": "frob"]]]], "unknown patch type: frob in map: map[$patch:frob]"),
            ([], "json: cannot unmarshal array into Go value of type map[string]interface {}")
        ]
        for (patch, message) in cases {
            do throws(StatusError) {
                _ = try table.strategicMerge(patch, into: template([["name": "a"]]), as: deployment)
                Issue.record("accepted")
            } catch { #expect(error.message == message) }
        }
    }
}
