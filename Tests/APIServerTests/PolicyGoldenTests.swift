// Creates that a real API server answered: the same causes must come, in the same order and in the same words.
import API
import APIServer
import Foundation
import Testing

struct GoldenCase: Sendable, CustomStringConvertible {
    var id: String
    var title: String
    var resource: GroupVersionResource
    var namespace: String
    var body: JSON
    var expected: String
    var description: String { "\(id) \(title)" }

    static let all: [GoldenCase] = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Golden/policy/validation.tsv")
        guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").compactMap { line in
            let columns = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard columns.count == 6, let body = try? JSON.parse(columns[4]) else { return nil }
            let parts = columns[2].split(separator: "/").map(String.init)
            let resource = GroupVersionResource(parts[0] == "core" ? "" : parts[0], parts[1], parts[2])
            return GoldenCase(
                id: columns[0], title: columns[1], resource: resource, namespace: columns[3], body: body,
                expected: columns[5])
        }
    }()
}

@Suite struct PolicyGoldenTests {
    @Test func `the recorded cases are there`() {
        #expect(GoldenCase.all.count > 80)
    }

    @Test(arguments: GoldenCase.all)
    func `a create is judged as the real server judged it`(_ golden: GoldenCase) throws {
        let kinds = KindTable(network: ServiceNetwork(cidr: "10.0.0.0/24"))
        #expect(try judge(golden, kinds) == golden.expected)
    }

    private func judge(_ golden: GoldenCase, _ kinds: KindTable) throws -> String {
        let schema = SchemaTable()
        let kind = GroupVersionKind(apiVersion: golden.body.apiVersion, kind: golden.body.kind)
        var object = try schema.check(golden.body, as: kind).object
        if !golden.namespace.isEmpty { object["metadata", "namespace"] = .string(golden.namespace) }
        if let prefix = object["metadata", "generateName"]?.string {
            object["metadata", "name"] = .string(prefix + "s7lkn")
        }
        schema.applyDefaults(&object, as: kind)
        let behavior = kinds.behavior(golden.resource)
        let attributes = Fixture.request(Fixture.user("admin"), "create", golden.resource, namespace: golden.namespace)
        var write = Fixture.write(.create, attributes, object)
        behavior.prepareForCreate(&write)
        let errors = behavior.validateCreate(write)
        if errors.isEmpty {
            let warnings = behavior.warnings(write).map { "299 - \(Go.quote($0))" }
            return (["ok"] + warnings).joined(separator: " ## ")
        }
        return errors.map { "\($0.field): \($0.message)" }.joined(separator: " ## ")
    }
}
