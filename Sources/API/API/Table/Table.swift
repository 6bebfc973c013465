// Objects as rows of a Table: what `kubectl get` shows. The columns are in the schema table, the cells are made here,
// kind by kind, as upstream's printers make them. `now` is an argument; nothing is read from a clock. Absent fields
// never trap.

/// One row of a Table.
package struct TableRow: Sendable, Hashable {
    package var cells: [JSON]
    /// `conditions` of the row (completed pods); empty for most.
    package var conditions: [JSON]

    package init(cells: [JSON], conditions: [JSON] = []) {
        self.cells = cells
        self.conditions = conditions
    }
}

extension SchemaTable {
    /// `columnDefinitions` of a resource's Table.
    package func columnDefinitions(_ resource: ResourceSchema) -> JSON {
        .array(
            Self.columns(of: resource).map { column in
                [
                    "name": .string(column.name), "type": .string(column.type), "format": .string(column.format),
                    "description": .string(column.description), "priority": .int(Int64(column.priority))
                ]
            })
    }

    /// The cells of one object; `now` in seconds since 1970.
    package func tableRow(_ object: JSON, of resource: ResourceSchema, now: Double) -> TableRow {
        let row = CellContext(object: object, now: now)
        guard !resource.columns.isEmpty else {
            return TableRow(cells: [row.name, object["metadata", "creationTimestamp"] ?? .null])
        }
        if resource.kind.kind == "Pod" && resource.kind.group.isEmpty { return row.pod() }
        let cells = row.workload(resource.kind.kind) ?? row.core(resource.kind.kind) ?? row.access(resource.kind.kind)
        guard let cells, cells.count == resource.columns.count else {
            return TableRow(cells: resource.columns.map { row.plain($0.name) })
        }
        return TableRow(cells: cells)
    }

    /// Kinds without columns of their own show when they were made.
    private static func columns(of resource: ResourceSchema) -> [ColumnSchema] {
        if !resource.columns.isEmpty { return resource.columns }
        return [
            ColumnSchema(name: "Name", type: "string", format: "name", priority: 0),
            ColumnSchema(name: "Created At", type: "date", format: "", priority: 0)
        ]
    }
}

/// An object on its way to cells.
struct CellContext {
    let object: JSON
    let now: Double

    var name: JSON { .string(object.name) }
    var age: JSON { .string(Timestamp.age(object["metadata", "creationTimestamp"]?.string, now: now)) }

    /// A cell of a kind that has no code here.
    func plain(_ column: String) -> JSON {
        switch column {
        case "Name": name
        case "Age": age
        default: ""
        }
    }

    func text(_ path: String..., or fallback: String = "") -> JSON {
        let value = object.value(at: path)?.string ?? ""
        return .string(value.isEmpty ? fallback : value)
    }

    func number(_ path: String...) -> JSON { .int(object.value(at: path)?.int ?? 0) }

    func count(_ path: String...) -> Int {
        switch object.value(at: path) {
        case .array(let values): values.count
        case .object(let members): members.count
        default: 0
        }
    }

    /// Names and images of a template's containers.
    func containers(_ path: String...) -> [JSON] {
        let containers = object.value(at: path)?["spec"]?["containers"]?.elements ?? []
        let names = containers.compactMap { $0["name"]?.string }.joined(separator: ",")
        let images = containers.compactMap { $0["image"]?.string }.joined(separator: ",")
        return [.string(names), .string(images)]
    }

    /// A LabelSelector object as text.
    static func selector(_ tree: JSON?) -> JSON {
        do throws(StatusError) {
            let text = try LabelSelector(object: tree).text
            return .string(text.isEmpty ? "<none>" : text)
        } catch {
            return "<error>"
        }
    }

    /// A plain map of labels as text.
    static func labels(_ tree: JSON?) -> JSON {
        let text = LabelSelector.text(of: tree?.stringMap ?? [:])
        return .string(text.isEmpty ? "<none>" : text)
    }

    static func joined(_ values: [String], or fallback: String = "<none>") -> JSON {
        .string(values.isEmpty ? fallback : values.joined(separator: ","))
    }

    /// The first `limit` of `values`, then how many more there are.
    static func shortened(_ values: [String], limit: Int = 3) -> String {
        let shown = values.prefix(limit).joined(separator: ",")
        return values.count > limit ? "\(shown) + \(values.count - limit) more..." : shown
    }
}
