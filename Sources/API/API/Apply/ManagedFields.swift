// Who owns which field of an object: the entries of `metadata.managedFields`, and the rules by which an apply or an
// update changes them. Values in, values out; time is an argument.

/// One owner.
package struct FieldManager: Sendable, Hashable {
    package var name: String
    /// `Apply` or `Update`.
    package var operation: String
    package var apiVersion: String
    package var subresource: String
    package var time: String?
    package var fields: FieldSet

    package init(
        name: String, operation: String, apiVersion: String, subresource: String = "", time: String? = nil,
        fields: FieldSet = FieldSet()
    ) {
        self.name = name
        self.operation = operation
        self.apiVersion = apiVersion
        self.subresource = subresource
        self.time = time
        self.fields = fields
    }

    init?(_ entry: JSON) {
        guard let operation = entry["operation"]?.string, ["Apply", "Update"].contains(operation),
            let apiVersion = entry["apiVersion"]?.string, let fields = FieldSet(fieldsV1: entry["fieldsV1"] ?? .null)
        else { return nil }
        self.init(
            name: entry["manager"]?.string ?? "", operation: operation, apiVersion: apiVersion,
            subresource: entry["subresource"]?.string ?? "", time: entry["time"]?.string, fields: fields)
    }

    var tree: JSON {
        var entry: JSON = ["manager": .string(name), "operation": .string(operation), "apiVersion": .string(apiVersion)]
        entry["time"] = time.map { .string($0) }
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = fields.fieldsV1
        if !subresource.isEmpty { entry["subresource"] = .string(subresource) }
        return entry
    }

    /// The same owner, whatever it owns.
    func isSame(_ other: FieldManager) -> Bool {
        name == other.name && operation == other.operation && apiVersion == other.apiVersion
            && subresource == other.subresource
    }

    /// As a conflict names it.
    var title: String {
        var text = Go.quote(name)
        if !subresource.isEmpty { text += " with subresource \(Go.quote(subresource))" }
        if operation == "Update" { text += " using \(apiVersion)" }
        return text
    }
}

/// All owners of an object.
package struct ManagedFields: Sendable, Hashable {
    package private(set) var managers: [FieldManager]

    package init(_ managers: [FieldManager] = []) { self.managers = managers }

    /// From `metadata.managedFields`; nil when an entry is none.
    package init?(_ tree: JSON?) {
        var managers: [FieldManager] = []
        for entry in tree?.elements ?? [] {
            guard let manager = FieldManager(entry) else { return nil }
            managers.append(manager)
        }
        self.managers = managers
    }

    package var isEmpty: Bool { managers.isEmpty }

    /// Nil when nobody owns anything.
    package var tree: JSON? {
        let sorted = managers.sorted {
            ($0.operation, $0.time ?? "", $0.name, $0.apiVersion, $0.subresource)
                < ($1.operation, $1.time ?? "", $1.name, $1.apiVersion, $1.subresource)
        }
        return sorted.isEmpty ? nil : .array(sorted.map(\.tree))
    }

    func fields(of manager: FieldManager) -> FieldSet {
        managers.first { $0.isSame(manager) }?.fields ?? FieldSet()
    }

    func others(than manager: FieldManager) -> [FieldManager] { managers.filter { !$0.isSame(manager) } }

    /// Everybody but `manager` gives up `lost`; `manager` owns what it carries.
    func changed(_ manager: FieldManager, othersLose lost: FieldSet) -> ManagedFields {
        var result = others(than: manager).compactMap { other -> FieldManager? in
            var other = other
            other.fields = other.fields.subtracting(lost)
            return other.fields.isEmpty ? nil : other
        }
        if !manager.fields.isEmpty { result.append(manager) }
        return ManagedFields(result)
    }
}
