// Label selectors: which objects a list, a watch or a controller means. Made from text (`a=b,c in (d,e),!f`), from a
// LabelSelector object or from a plain map. Pure values; a selector that cannot be understood is refused, never
// widened.

/// A label selector.
package struct LabelSelector: Sendable, Hashable {
    package enum Operator: String, Sendable {
        case equals = "=", doubleEquals = "==", notEquals = "!=", `in`, notIn = "notin", exists, notExists = "!",
            greater = "gt", less = "lt"
    }

    package struct Requirement: Sendable, Hashable {
        package var key: String
        package var op: Operator
        /// Sorted.
        package var values: [String]

        package init(key: String, op: Operator, values: [String] = []) {
            self.key = key
            self.op = op
            self.values = values.sorted()
        }
    }

    package var requirements: [Requirement]
    /// Selects nothing at all (an absent LabelSelector object).
    package var isNothing: Bool

    package static let everything = LabelSelector(requirements: [])
    package static let nothing = LabelSelector(requirements: [], isNothing: true)

    package init(requirements: [Requirement], isNothing: Bool = false) {
        self.requirements = requirements.sorted { $0.key < $1.key }
        self.isNothing = isNothing
    }

    /// From text: `a=b,c in (d,e),!f`; refuses with 400.
    package init(_ text: String) throws(StatusError) {
        var parser = LabelSelectorParser(text)
        let requirements = try parser.requirements()
        for requirement in requirements { try requirement.checkText() }
        self.init(requirements: requirements)
    }

    /// From a LabelSelector object: absent selects nothing, an empty one everything.
    package init(object: JSON?) throws(StatusError) {
        guard let object, !object.isNull else {
            self = .nothing
            return
        }
        var requirements = (object["matchLabels"]?.stringMap ?? [:]).map {
            Requirement(key: $0.key, op: .equals, values: [$0.value])
        }
        for expression in object["matchExpressions"]?.elements ?? [] {
            requirements.append(try Requirement(expression: expression))
        }
        self.init(requirements: requirements)
    }

    /// From a plain map (`spec.selector` of a Service or ReplicationController): absent and empty select nothing.
    package init(map: JSON?) {
        let labels = map?.stringMap ?? [:]
        self.init(
            requirements: labels.map { Requirement(key: $0.key, op: .equals, values: [$0.value]) },
            isNothing: labels.isEmpty)
    }

    package var isEverything: Bool { requirements.isEmpty && !isNothing }

    package func matches(_ labels: [String: String]) -> Bool {
        !isNothing && requirements.allSatisfy { $0.matches(labels[$0.key]) }
    }

    /// `labels` is the object under `metadata.labels`.
    package func matches(_ labels: JSON?) -> Bool {
        !isNothing && requirements.allSatisfy { $0.matches(labels?[$0.key]?.string) }
    }

    /// The text of the selector, as upstream writes it.
    package var text: String { requirements.map(\.text).joined(separator: ",") }

    /// The LabelSelector text that selects exactly these labels.
    package static func text(of labels: [String: String]) -> String {
        labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    }
}

extension LabelSelector.Requirement {
    /// An element of `matchExpressions`.
    init(expression: JSON) throws(StatusError) {
        let op = expression["operator"]?.string ?? ""
        let known: [String: LabelSelector.Operator] = [
            "In": .in, "NotIn": .notIn, "Exists": .exists, "DoesNotExist": .notExists
        ]
        guard let found = known[op] else {
            throw Status.badRequest("\(Go.quote(op)) is not a valid label selector operator")
        }
        self.init(
            key: expression["key"]?.string ?? "", op: found,
            values: expression["values"]?.elements.compactMap(\.string) ?? [])
        try checkValues()
    }

    func matches(_ value: String?) -> Bool {
        switch op {
        case .equals, .doubleEquals, .in: value.map(values.contains) ?? false
        case .notEquals, .notIn: !(value.map(values.contains) ?? false)
        case .exists: value != nil
        case .notExists: value == nil
        case .greater: compare(value) { $0 > $1 }
        case .less: compare(value) { $0 < $1 }
        }
    }

    private func compare(_ value: String?, _ order: (Int64, Int64) -> Bool) -> Bool {
        guard let value, let left = Int64(value), let text = values.first, let right = Int64(text) else { return false }
        return order(left, right)
    }

    /// Key and values must be a label's.
    func checkText() throws(StatusError) {
        if let problem = Names.qualifiedName(key).first { throw invalid("key", key, problem) }
        for (index, value) in values.enumerated() where op != .greater && op != .less {
            if let problem = Names.labelValue(value).first { throw invalid("values[\(index)][\(key)]", value, problem) }
        }
        try checkValues()
    }

    private func checkValues() throws(StatusError) {
        switch op {
        case .in, .notIn:
            if values.isEmpty {
                throw Status.badRequest(
                    "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
            }
        case .exists, .notExists:
            if !values.isEmpty {
                throw Status.badRequest(
                    "values: Invalid value: \(valuesText): values set must be empty for exists and does not exist")
            }
        case .greater, .less:
            if values.count != 1 || Int64(values[0]) == nil {
                throw Status.badRequest(
                    "values[0]: Invalid value: \(valuesText): for 'Gt', 'Lt' operators, the value must be an integer")
            }
        case .equals, .doubleEquals, .notEquals: break
        }
    }

    private var valuesText: String { JSON.array(values.map { .string($0) }).text }

    private func invalid(_ field: String, _ value: String, _ problem: String) -> StatusError {
        Status.badRequest("unable to parse requirement: \(field): Invalid value: \(Go.quote(value)): \(problem)")
    }

    var text: String {
        switch op {
        case .exists: key
        case .notExists: "!\(key)"
        case .in: "\(key) in (\(values.joined(separator: ",")))"
        case .notIn: "\(key) notin (\(values.joined(separator: ",")))"
        case .greater: "\(key)>\(values.first ?? "")"
        case .less: "\(key)<\(values.first ?? "")"
        default: "\(key)\(op.rawValue)\(values.first ?? "")"
        }
    }
}
