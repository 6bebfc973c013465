import API
import Testing

@Suite struct LabelSelectorTests {
    @Test(arguments: [
        ("a=b", true), ("a==b", true), ("a!=b", false), ("a in (b,c)", true), ("a notin (b)", false), ("a", true),
        ("!a", false),
        ("z!=b", true), ("a=b,!z", true), ("n>5", true), ("n gt 6", false), ("", true), ("e=", true),
        ("a in (c)", false)
    ])
    func `selectors match as upstream's do`(text: String, isMatch: Bool) throws {
        let labels = ["a": "b", "n": "6", "e": ""]
        #expect(try LabelSelector(text).matches(labels) == isMatch)
        #expect(try LabelSelector(text).matches(JSON(labels)) == isMatch)
    }

    @Test(arguments: [
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a foo b", "unable to parse requirement: found 'foo', expected: in, notin, =, ==, !=, gt, lt")
    ])
    func `refusals are upstream's`(text: String, message: String) {
        do throws(StatusError) {
            _ = try LabelSelector(text)
            Issue.record("accepted")
        } catch {
            #expect(error.message == message)
            #expect(error.code == 400)
        }
    }

    @Test func `objects become selectors`() throws {
        let object: JSON = [
            "matchLabels": ["app": "w"], "matchExpressions": [["key": "t", "operator": "NotIn", "values": ["x"]]]
        ]
        let selector = try LabelSelector(object: object)
        #expect(selector.matches(["app": "w"]))
        #expect(!selector.matches(["app": "w", "t": "x"]))
        #expect(selector.text == "app=w,t notin (x)")
        #expect(try LabelSelector(object: nil).matches([:]) == false)
        #expect(try LabelSelector(object: [:]).matches([:]))
        #expect(!LabelSelector(map: [:]).matches(["a": "b"]))
        #expect(throws: StatusError.self) {
            try LabelSelector(object: ["matchExpressions": [["key": "a", "operator": "Foo"]]])
        }
    }
}

@Suite struct FieldSelectorTests {
    let table = SchemaTable()

    @Test func `pods are selected by their fields`() throws {
        let pods = try #require(table.resource(.pods))
        let pod: JSON = [
            "metadata": ["name": "p"], "spec": ["nodeName": "n1"],
            "status": ["phase": "Running", "podIPs": [["ip": "1.2.3.4"]]]
        ]
        #expect(try FieldSelector("spec.nodeName=n1,status.phase!=Failed", for: pods).matches(pod))
        #expect(try FieldSelector("spec.host=n1", for: pods).matches(pod))
        #expect(try FieldSelector("status.podIPs=1.2.3.4", for: pods).matches(pod))
        #expect(try !FieldSelector("spec.nodeName=n2", for: pods).matches(pod))
        #expect(try FieldSelector("metadata.name=p", for: pods).required("metadata.name") == "p")
    }

    @Test func `refusals are upstream's`() throws {
        let maps = try #require(table.resource(.configMaps))
        let cases = [
            ("data.a=1", "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
            ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'")
        ]
        for (text, message) in cases {
            do throws(StatusError) {
                _ = try FieldSelector(text, for: maps)
                Issue.record("accepted \(text)")
            } catch { #expect(error.message == message) }
        }
        let pods = try #require(table.resource(.pods))
        do throws(StatusError) {
            _ = try FieldSelector("spec.nope=1", for: pods)
        } catch { #expect(error.message == "field label not supported: spec.nope") }
    }

    @Test func `both names of an event's subject select`() throws {
        let events = try #require(table.resource(.events))
        let event: JSON = ["involvedObject": ["name": "p"], "source": ["component": "kubelet"]]
        #expect(try FieldSelector("involvedObject.name=p,source=kubelet", for: events).matches(event))
        let newer = try #require(table.resource(GroupVersionResource("events.k8s.io", "v1", "events")))
        #expect(try FieldSelector("regarding.name=p", for: newer).matches(event))
    }
}
