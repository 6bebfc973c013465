import API
import APIServer
import Testing

@Suite struct RoleReconciliationTests {
    @Test func `a default role that needs nothing is left alone`() {
        for object in DefaultRoles.objects() {
            #expect(RoleReconciliation.merged(object, object) == nil, "\(object.kind) \(object.name)")
        }
    }

    @Test func `a default role that lost a rule gets it back and keeps what somebody added`() throws {
        let wanted = try #require(
            DefaultRoles.objects().first { $0.kind == "ClusterRole" && ($0["rules"]?.elements.count ?? 0) > 1 })
        let added: JSON = ["apiGroups": ["example.org"], "resources": ["things"], "verbs": ["get"]]
        var present = wanted
        present["rules"] = .array(Array((wanted["rules"]?.elements ?? []).dropFirst()) + [added])
        let merged = try #require(RoleReconciliation.merged(present, wanted))
        let rules = merged["rules"]?.elements ?? []
        #expect(rules.contains(added) && rules.count == (wanted["rules"]?.elements.count ?? 0) + 1)
        #expect(merged.kind == wanted.kind && merged.name == wanted.name)
    }
}
