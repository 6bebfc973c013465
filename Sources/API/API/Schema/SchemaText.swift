// Reads the text format of the schema table. One line is one row, fields are separated by tabs; the first field tells
// the row: `R` resource, `S` subresource and `C` column of the R above, `T` definition, `F` field of the T above. The
// text is ours and is checked by a test: an unreadable row is a broken build and traps.
import CSchema

/// The embedded bytes.
struct SchemaText: Sendable {
    static let embedded = SchemaText()

    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: tern_schema_bytes(), count: Int(tern_schema_length()))
    }

    /// The tab-separated fields of the line in `span`.
    func columns(_ span: Range<Int>) -> [String] {
        let line = UnsafeRawBufferPointer(rebasing: bytes[span])
        return line.split(separator: 9, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Calls `body` with each line's span and first byte.
    func eachLine(in span: Range<Int>, _ body: (Range<Int>, UInt8) -> Void) {
        let bytes = bytes
        var start = span.lowerBound
        while start < span.upperBound {
            var end = start
            while end < span.upperBound && bytes[end] != 10 { end += 1 }
            if end > start { body(start..<end, bytes[start]) }
            start = end + 1
        }
    }

    /// The fields of the definition whose `F` rows are in `span`.
    func fields(in span: Range<Int>, _ resolve: (String) -> TypeID?) -> [FieldSchema] {
        var fields: [FieldSchema] = []
        eachLine(in: span) { line, _ in fields.append(FieldRow(columns(line), resolve).field) }
        return fields
    }

    /// `meta.v1.ObjectMeta` → `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta`.
    static func fullName(_ short: String) -> String {
        let prefixes = [
            ("meta.", "io.k8s.apimachinery.pkg.apis."), ("apiextensions.", "io.k8s.apiextensions-apiserver.pkg.apis."),
            ("apiregistration.", "io.k8s.kube-aggregator.pkg.apis.")
        ]
        return (prefixes.first { short.hasPrefix($0.0) }?.1 ?? "io.k8s.api.") + short
    }

    /// `policy/v1/Eviction` or `v1/Pod`.
    static func kind(_ text: String) -> GroupVersionKind {
        let parts = text.split(separator: "/").map(String.init)
        return parts.count == 3
            ? GroupVersionKind(parts[0], parts[1], parts[2]) : GroupVersionKind("", parts.first ?? "", parts.last ?? "")
    }
}

/// One pass over the table: resources whole, definitions by name and place only.
struct SchemaScan {
    private(set) var resources: [ResourceSchema] = []
    private(set) var definitionNames: [String] = []
    private(set) var definitionSpans: [Range<Int>] = []
    private(set) var kinds: [(GroupVersionKind, TypeID)] = []

    init(_ text: SchemaText) {
        var open = 0
        text.eachLine(in: 0..<text.bytes.count) { line, mark in
            if mark == UInt8(ascii: "F") {
                open = line.upperBound
                return
            }
            closeDefinition(at: open)
            addRow(text.columns(line), mark, end: line.upperBound)
            open = line.upperBound
        }
        closeDefinition(at: open)
    }

    private mutating func closeDefinition(at end: Int) {
        guard let last = definitionSpans.indices.last, definitionSpans[last].isEmpty,
            end > definitionSpans[last].lowerBound
        else { return }
        definitionSpans[last] = definitionSpans[last].lowerBound..<end
    }

    private mutating func addRow(_ columns: [String], _ mark: UInt8, end: Int) {
        switch mark {
        case UInt8(ascii: "R"): resources.append(Self.resource(columns))
        case UInt8(ascii: "S"): resources[resources.count - 1].subresources.append(Self.subresource(columns))
        case UInt8(ascii: "C"): resources[resources.count - 1].columns.append(Self.column(columns))
        case UInt8(ascii: "T"):
            definitionNames.append(SchemaText.fullName(columns[1]))
            definitionSpans.append(end..<end)
            for kind in columns[2].split(separator: ",") {
                kinds.append((SchemaText.kind(String(kind)), TypeID(definitionNames.count - 1)))
            }
        default: break
        }
    }

    private static func resource(_ row: [String]) -> ResourceSchema {
        ResourceSchema(
            resource: GroupVersionResource(row[1], row[2], row[4]), kind: GroupVersionKind(row[1], row[2], row[3]),
            singular: row[5],
            shortNames: names(row[6]), isNamespaced: row[7].contains("n"), verbs: verbs(row[8]),
            categories: names(row[9]),
            isServed: row[7].contains("s"), definition: SchemaText.fullName(row[10]), subresources: [], columns: [],
            selectableFields: names(row[11]))
    }

    private static func subresource(_ row: [String]) -> SubresourceSchema {
        SubresourceSchema(name: row[1], kind: SchemaText.kind(row[2]), verbs: verbs(row[3]))
    }

    private static func column(_ row: [String]) -> ColumnSchema {
        ColumnSchema(name: row[1], type: row[2], format: row[3], priority: Int(row[4]) ?? 0)
    }

    private static func names(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }

    private static func verbs(_ text: String) -> [String] {
        text == "*" ? ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"] : names(text)
    }
}

/// One `F` row: name, type, field numbers, then attributes, each begun by its letter.
struct FieldRow {
    let field: FieldSchema

    init(_ row: [String], _ resolve: (String) -> TypeID?) {
        var flags: [Character: String] = [:]
        for attribute in row.dropFirst(4) {
            if let letter = attribute.first { flags[letter] = String(attribute.dropFirst()) }
        }
        field = FieldSchema(
            name: row[1], type: Self.type(row[2][...], resolve), isRequired: flags["r"] != nil,
            protoPath: row[3].split(separator: ".").compactMap { UInt32($0) },
            defaultValue: flags["D"].flatMap(Self.constant),
            enumValues: (flags["E"] ?? "").split(separator: "|").map(String.init),
            listType: flags["L"].map(Self.listType),
            isAtomicMap: flags["A"] != nil, mergesPatch: flags["M"] != nil, retainsKeys: flags["K"] != nil,
            mergeKey: flags["M"].flatMap { $0.isEmpty ? nil : $0 }, dropsZero: flags["z"] != nil,
            keepsEmpty: flags["e"] != nil,
            goType: flags["g"])
    }

    private static func listType(_ text: String) -> ListType {
        switch text {
        case "a": .atomic
        case "s": .set
        default: .map(keys: text.split(separator: ",").map(String.init))
        }
    }

    private static func constant(_ text: String) -> JSON? {
        do { return try JSON.parse(Array(text.utf8)) } catch { return .string(text) }
    }

    private static func type(_ text: Substring, _ resolve: (String) -> TypeID?) -> FieldType {
        let rest = text.dropFirst()
        switch text.first {
        case "[": return .list(type(rest, resolve))
        case "{": return .map(type(rest, resolve))
        case "@": return resolve(SchemaText.fullName(String(rest))).map { .reference($0) } ?? .raw
        default: return scalars[String(text)] ?? .raw
        }
    }

    private static let scalars: [String: FieldType] = [
        "s": .string, "i": .int32, "l": .int64, "b": .bool, "d": .double, "q": .quantity, "o": .intOrString, "t": .time,
        "u": .microTime,
        "y": .bytes, "x": .raw
    ]
}
