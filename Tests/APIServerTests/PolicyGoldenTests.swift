// Creates that a real API server answered: the same causes must come, in the same order and in the same words.
import API
import APIServer
import Foundation
import KVCore
import Testing

struct GoldenCase: Sendable, CustomStringConvertible {
    var id: String
    var title: String
    var resource: GroupVersionResource
    var namespace: String
    var body: JSON
    var expected: String
    var description: String { "\(id) \(title)" }

    static let validation = read("validation")
    static let objects = read("objects")

    private static func read(_ name: String) -> [GoldenCase] {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Golden/policy/\(name).tsv")
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
    }
}

@Suite struct PolicyGoldenTests {
    @Test func `the recorded cases are there`() {
        #expect(GoldenCase.validation.count > 80)
        #expect(GoldenCase.objects.count > 30)
    }

    @Test(arguments: GoldenCase.validation)
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

    @Test(arguments: GoldenCase.objects)
    func `a created object is what the real server made of it`(_ golden: GoldenCase) throws {
        let made = try create(golden)
        let differences = Self.differences(made, try JSON.parse(golden.expected), at: "")
        #expect(differences.isEmpty, "\(differences.joined(separator: "\n"))")
    }

    private func create(_ golden: GoldenCase) throws -> JSON {
        let schema = SchemaTable()
        let policy = try Fixture.policy()
        let kind = GroupVersionKind(apiVersion: golden.body.apiVersion, kind: golden.body.kind)
        var object = try schema.check(golden.body, as: kind).object
        if !golden.namespace.isEmpty { object["metadata", "namespace"] = .string(golden.namespace) }
        if object.name.isEmpty { object["metadata", "name"] = "generated" }
        schema.applyDefaults(&object, as: kind)
        let user = UserInfo(name: "admin", uid: "1", groups: ["system:masters", "system:authenticated"])
        let attributes = Fixture.request(user, "create", golden.resource, namespace: golden.namespace)
        var write = Fixture.write(.create, attributes, object)
        try policy.admission.admit(&write, reader: MemoryReader.cluster)
        let behavior = policy.kinds.behavior(golden.resource)
        behavior.prepareForCreate(&write)
        #expect(behavior.validateCreate(write).isEmpty, "\(behavior.validateCreate(write))")
        try policy.admission.validate(write, reader: MemoryReader.cluster)
        try behavior.allocate(&write, reader: MemoryReader.cluster, view: KVView())
        return write.object
    }

    /// Where the trees differ; what the recording replaced by `<...>` may be anything, and nulls and empty objects are as absent.
    private static func differences(_ made: JSON?, _ wanted: JSON?, at path: String) -> [String] {
        if let text = wanted?.string, text.contains("<") && text.contains(">") { return [] }
        if case .object(let left) = made ?? [:], case .object(let right) = wanted ?? [:] {
            let ignored: Set<String> = [
                ".metadata.uid", ".metadata.resourceVersion", ".metadata.creationTimestamp", ".metadata.name"
            ]
            return Set(left.keys + right.keys).sorted().filter { !ignored.contains("\(path).\($0)") }
                .flatMap { differences(left[$0], right[$0], at: "\(path).\($0)") }
        }
        if case .array(let left)? = made, case .array(let right)? = wanted, left.count == right.count {
            return zip(left, right).enumerated().flatMap { differences($1.0, $1.1, at: "\(path)[\($0)]") }
        }
        func isNothing(_ value: JSON?) -> Bool { value == nil || value == .null || value == [:] }
        if made == wanted || (isNothing(made) && isNothing(wanted)) { return [] }
        return [
            "\(path): made \(made.map(\.messageText) ?? "nothing"), wanted \(wanted.map(\.messageText) ?? "nothing")"
        ]
    }
}
