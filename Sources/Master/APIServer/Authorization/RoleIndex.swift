// Roles and bindings, compiled for questions by subject: which bindings name this user or one of these groups, and
// what rules they bring. It is rebuilt only when one of the objects changed; a question costs a few dictionary
// look-ups.
import API
import Synchronization

/// Roles and bindings at one moment.
struct RoleIndex: Sendable {
    struct Binding: Sendable {
        var name: String
        var namespace: String
        var roleKind: String
        var roleName: String
        /// Subject in words, by the key under which it is found.
        var subjects: [String: String]
    }

    private var bindings: [Binding] = []
    private var bySubject: [String: [Int]] = [:]
    private var roles: [String: [PolicyRule]] = [:]

    init() {}

    init(reader: any ObjectReader) {
        for role in reader.list(.clusterRoles, namespace: nil) { roles["/\(role.name)"] = Self.rules(role) }
        for role in reader.list(.roles, namespace: nil) { roles["\(role.namespace)/\(role.name)"] = Self.rules(role) }
        for binding in reader.list(.clusterRoleBindings, namespace: nil) { add(binding) }
        for binding in reader.list(.roleBindings, namespace: nil) { add(binding) }
    }

    static func rules(_ role: JSON) -> [PolicyRule] { (role["rules"]?.elements ?? []).map { PolicyRule($0) } }

    private mutating func add(_ object: JSON) {
        var binding = Binding(
            name: object.name, namespace: object.namespace, roleKind: object["roleRef", "kind"]?.string ?? "",
            roleName: object["roleRef", "name"]?.string ?? "", subjects: [:])
        for subject in object["subjects"]?.elements ?? [] {
            let name = subject["name"]?.string ?? ""
            switch subject.kind {
            case "User": binding.subjects["u:\(name)"] = "User \(Go.quote(name))"
            case "Group": binding.subjects["g:\(name)"] = "Group \(Go.quote(name))"
            case "ServiceAccount":
                let given = subject["namespace"]?.string ?? ""
                let namespace = given.isEmpty ? object.namespace : given
                binding.subjects["u:system:serviceaccount:\(namespace):\(name)"] =
                    "ServiceAccount \(Go.quote("\(name)/\(namespace)"))"
            default: break
            }
        }
        for key in binding.subjects.keys { bySubject[key, default: []].append(bindings.count) }
        bindings.append(binding)
    }

    /// The rules of a role that a binding names; nil when there is no such role.
    func rules(of binding: Binding) -> [PolicyRule]? {
        roles[binding.roleKind == "Role" ? "\(binding.namespace)/\(binding.roleName)" : "/\(binding.roleName)"]
    }

    /// The bindings that hold for a user: those of the cluster, and those of the namespace when one is given; each
    /// with its subject in words.
    func bindings(for user: UserInfo, namespace: String) -> [(binding: Binding, subject: String)] {
        var found: [Int: String] = [:]
        for key in ["u:\(user.name)"] + user.groups.map({ "g:\($0)" }) {
            for place in bySubject[key] ?? [] where found[place] == nil {
                found[place] = bindings[place].subjects[key] ?? ""
            }
        }
        return found.keys.sorted().compactMap { place in
            let binding = bindings[place]
            guard binding.namespace.isEmpty || (!namespace.isEmpty && binding.namespace == namespace) else {
                return nil
            }
            return (binding, found[place] ?? "")
        }
    }

    /// All rules of a user, and the texts of roles that are missing.
    func rules(for user: UserInfo, namespace: String) -> (rules: [PolicyRule], errors: [String]) {
        var all: [PolicyRule] = []
        var errors: [String] = []
        for (binding, _) in bindings(for: user, namespace: namespace) {
            if let rules = rules(of: binding) { all += rules } else { errors.append(Self.missing(binding)) }
        }
        return (all, errors)
    }

    static func missing(_ binding: Binding) -> String {
        "\(binding.roleKind.lowercased()).rbac.authorization.k8s.io \(Go.quote(binding.roleName)) not found"
    }
}

/// Keeps the index while nothing changed.
final class RoleIndexCache: Sendable {
    private struct State {
        var stamp: Int64?
        var signature: [String] = []
        var index = RoleIndex()
    }
    private let state = Mutex(State())
    private static let resources: [GroupVersionResource] = [.clusterRoles, .roles, .clusterRoleBindings, .roleBindings]

    func index(_ reader: any ObjectReader) -> RoleIndex {
        let stamp = reader.stamp
        if let stamp, let index = state.withLock({ $0.stamp == stamp ? $0.index : nil }) { return index }
        let signature = Self.resources.flatMap { resource in
            [resource.resource] + reader.list(resource, namespace: nil).map { "\($0.uid)/\($0.resourceVersion)" }
        }
        let kept = state.withLock { state -> RoleIndex? in
            guard state.signature == signature else { return nil }
            state.stamp = stamp
            return state.index
        }
        if let kept { return kept }
        let index = RoleIndex(reader: reader)
        state.withLock { $0 = State(stamp: stamp, signature: signature, index: index) }
        return index
    }
}
