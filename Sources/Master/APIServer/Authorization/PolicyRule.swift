// A rule of a Role: whom it lets do what. `covers` compares rules with rules, for the check that nobody grants more
// than they hold. Pure values, compiled once from the objects and kept.
import API

package struct PolicyRule: Sendable, Hashable {
    package var verbs: [String]
    package var groups: [String]
    package var resources: [String]
    package var names: [String]
    package var urls: [String]

    package init(
        verbs: [String], groups: [String] = [], resources: [String] = [], names: [String] = [], urls: [String] = []
    ) {
        self.verbs = verbs
        self.groups = groups
        self.resources = resources
        self.names = names
        self.urls = urls
    }

    package init(_ rule: JSON) {
        func list(_ member: String) -> [String] { rule[member]?.elements.compactMap(\.string) ?? [] }
        self.init(
            verbs: list("verbs"), groups: list("apiGroups"), resources: list("resources"), names: list("resourceNames"),
            urls: list("nonResourceURLs"))
    }

    package var json: JSON {
        var rule = JSON.object([:])
        for (member, values) in [
            ("verbs", verbs), ("apiGroups", groups), ("resources", resources), ("resourceNames", names),
            ("nonResourceURLs", urls)
        ] where !values.isEmpty {
            rule[member] = .array(values.map { .string($0) })
        }
        return rule
    }

    package func allows(_ request: RequestAttributes) -> Bool {
        guard Self.has(verbs, request.verb) else { return false }
        if !request.isResourceRequest { return urls.contains { Self.matches(url: request.path, rule: $0) } }
        return Self.has(groups, request.group) && matches(request.resource, request.subresource)
            && (names.isEmpty || names.contains(request.name))
    }

    private static func has(_ list: [String], _ value: String) -> Bool { list.contains("*") || list.contains(value) }

    private func matches(_ resource: String, _ subresource: String) -> Bool {
        let full = subresource.isEmpty ? resource : "\(resource)/\(subresource)"
        return resources.contains { $0 == "*" || $0 == full || (!subresource.isEmpty && $0 == "*/\(subresource)") }
    }

    private static func matches(url: String, rule: String) -> Bool {
        rule == "*" || rule == url || (rule.hasSuffix("*") && url.hasPrefix(rule.dropLast()))
    }
}

/// Rules against rules.
extension PolicyRule {
    /// What of `wanted` the `owned` rules do not give, one permission a rule, in the order asked.
    static func missing(_ wanted: [PolicyRule], owned: [PolicyRule]) -> [PolicyRule] {
        wanted.flatMap(\.atoms).filter { atom in !owned.contains { $0.covers(atom) } }
    }

    /// Single permissions that one rule is taken apart into; a rule of more is judged as a whole.
    static let atomsMax = 10_000

    private var isHuge: Bool {
        let counts = [max(groups.count, urls.count), max(resources.count, 1), verbs.count, max(names.count, 1)]
        return counts.reduce(1) { min($0, Self.atomsMax + 1) * min($1, Self.atomsMax + 1) } > Self.atomsMax
    }

    /// The rule as single permissions.
    private var atoms: [PolicyRule] {
        if isHuge { return [self] }
        var atoms: [PolicyRule] = []
        for group in groups {
            for resource in resources {
                for verb in verbs {
                    if names.isEmpty { atoms.append(PolicyRule(verbs: [verb], groups: [group], resources: [resource])) }
                    for name in names {
                        atoms.append(PolicyRule(verbs: [verb], groups: [group], resources: [resource], names: [name]))
                    }
                }
            }
        }
        for url in urls {
            for verb in verbs { atoms.append(PolicyRule(verbs: [verb], urls: [url])) }
        }
        return atoms
    }

    private func covers(_ atom: PolicyRule) -> Bool {
        guard atom.verbs.allSatisfy({ Self.has(verbs, $0) }) else { return false }
        if !atom.urls.isEmpty {
            return atom.urls.allSatisfy { url in
                urls.contains { $0 == url || ($0.hasSuffix("*") && url.hasPrefix($0.dropLast())) }
            }
        }
        guard atom.groups.allSatisfy({ Self.has(groups, $0) }) else { return false }
        let isCovered = atom.resources.allSatisfy { wanted in
            guard let slash = wanted.firstIndex(of: "/") else { return Self.has(resources, wanted) }
            return Self.has(resources, wanted) || resources.contains("*" + wanted[slash...])
        }
        return isCovered && (names.isEmpty || (!atom.names.isEmpty && atom.names.allSatisfy(names.contains)))
    }

    /// Single permissions on one resource, put together again.
    static func compact(_ atoms: [PolicyRule]) -> [PolicyRule] {
        var compacted: [PolicyRule] = []
        var places: [[String]: Int] = [:]
        for atom in atoms {
            guard atom.names.isEmpty, atom.urls.isEmpty else {
                compacted.append(atom)
                continue
            }
            if let place = places[atom.groups + ["/"] + atom.resources] {
                for verb in atom.verbs where !compacted[place].verbs.contains(verb) {
                    compacted[place].verbs.append(verb)
                }
            } else {
                places[atom.groups + ["/"] + atom.resources] = compacted.count
                compacted.append(atom)
            }
        }
        return compacted
    }

    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`
    var description: String {
        let parts = [
            ("APIGroups", groups), ("Resources", resources), ("NonResourceURLs", urls), ("ResourceNames", names),
            ("Verbs", verbs)
        ]
        let shown = parts.filter { !$0.1.isEmpty }.map {
            "\($0.0):[\($0.1.map { Go.quote($0) }.joined(separator: " "))]"
        }
        return "{\(shown.joined(separator: ", "))}"
    }
}
