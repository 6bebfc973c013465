// Protobuf bodies → trees by the schema table: kubectl ≥ 1.32 and Helm send typed writes so. The envelope is
// upstream's: `k8s\0`, then runtime.Unknown with apiVersion, kind and the message. The conventions are gogoproto's
// (maps as repeated entries, embedded messages inline in JSON). Hostile bytes end in an error.

extension SchemaTable {
    package static let protobufMagic: [UInt8] = [0x6B, 0x38, 0x73, 0]

    /// Decodes an envelope; the tree carries apiVersion and kind from it. Run `check` on the result as for JSON.
    package func decodeProtobuf(_ bytes: [UInt8]) throws(ProtobufError) -> JSON {
        guard bytes.starts(with: Self.protobufMagic) else {
            throw ProtobufError(
                message: "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
        }
        let envelope = try ProtobufEnvelope(bytes)
        let kind = GroupVersionKind(apiVersion: envelope.apiVersion, kind: envelope.kind)
        if envelope.contentType.contains("json") { return try Self.embedded(bytes, envelope.body) }
        guard let schema = type(of: kind) else {
            throw ProtobufError(
                message: "no kind \(Go.quote(kind.kind)) is registered for version \(Go.quote(kind.apiVersion))")
        }
        let decoder = ProtobufDecoder(table: self, bytes: bytes)
        let members = try decoder.message(envelope.body, schema, depth: 0).members
        let head: [JSONObject.Member] = [
            .init(key: "kind", value: .string(envelope.kind)),
            .init(key: "apiVersion", value: .string(envelope.apiVersion))
        ]
        return .object(JSONObject(uniqueMembers: head + members.filter { $0.key != "kind" && $0.key != "apiVersion" }))
    }

    fileprivate static func embedded(_ bytes: [UInt8], _ span: Range<Int>) throws(ProtobufError) -> JSON {
        if span.isEmpty { return .null }
        do throws(JSONError) { return try JSON.parse(Array(bytes[span])) } catch {
            throw ProtobufError(message: error.message)
        }
    }
}

/// runtime.Unknown.
struct ProtobufEnvelope {
    private(set) var apiVersion = ""
    private(set) var kind = ""
    private(set) var contentType = ""
    private(set) var body = 0..<0

    init(_ bytes: [UInt8]) throws(ProtobufError) {
        var reader = ProtobufReader(bytes, SchemaTable.protobufMagic.count..<bytes.count)
        while let field = try reader.next() {
            guard case .bytes(let span) = field.value else { continue }
            switch field.number {
            case 1: try readType(bytes, span)
            case 2: body = span
            case 4: contentType = String(decoding: bytes[span], as: UTF8.self)
            default: break
            }
        }
    }

    private mutating func readType(_ bytes: [UInt8], _ span: Range<Int>) throws(ProtobufError) {
        var reader = ProtobufReader(bytes, span)
        while let field = try reader.next() {
            guard case .bytes(let text) = field.value else { continue }
            if field.number == 1 { apiVersion = String(decoding: bytes[text], as: UTF8.self) }
            if field.number == 2 { kind = String(decoding: bytes[text], as: UTF8.self) }
        }
    }
}

struct ProtobufDecoder {
    let table: SchemaTable
    let bytes: [UInt8]
    private static let depthMax = 128

    init(table: SchemaTable, bytes: [UInt8]) {
        self.table = table
        self.bytes = bytes
    }

    func message(_ span: Range<Int>, _ schema: TypeSchema, depth: Int) throws(ProtobufError) -> JSONObject {
        var object = JSONObject()
        try read(span, schema.wire, schema, depth, into: &object)
        return object
    }

    private func read(
        _ span: Range<Int>, _ node: WireNode, _ schema: TypeSchema, _ depth: Int, into object: inout JSONObject
    ) throws(ProtobufError) {
        guard depth <= Self.depthMax else { throw ProtobufError(message: "exceeded max depth") }
        var reader = ProtobufReader(bytes, span)
        while let (number, value) = try reader.next() {
            switch node.targets[number] {
            case .inline(let inner):
                guard case .bytes(let innerSpan) = value else { throw wrongType(schema.goName, number) }
                try read(innerSpan, inner, schema, depth + 1, into: &object)
            case .field(let index): try set(schema.fields[index], value, depth, in: &object)
            case nil: break
            }
        }
    }

    private func set(
        _ field: FieldSchema, _ value: ProtobufReader.Value, _ depth: Int, in object: inout JSONObject
    ) throws(ProtobufError) {
        switch field.type {
        case .list(let element):
            let items = try elements(value, element, field, depth)
            object.modify(field.name, default: .array([])) { list in
                guard case .array(var values) = list else { return }
                list = .null
                values += items
                list = .array(values)
            }
        case .map(let element):
            let entry = try mapEntry(value, element, field, depth)
            object.modify(field.name, default: .object([:])) { $0[entry.key] = entry.value }
        case .reference(let id):
            guard case .bytes(let span) = value else { throw wrongType(field.name, 0) }
            object[field.name] = .object(try message(span, table.type(id), depth: depth + 1))
        default:
            let decoded = try scalar(value, field.type, field, depth)
            if !decoded.isNull { object[field.name] = decoded }
        }
    }

    /// One element; several when numbers are packed.
    private func elements(
        _ value: ProtobufReader.Value, _ type: FieldType, _ field: FieldSchema, _ depth: Int
    ) throws(ProtobufError) -> [JSON] {
        if case .bytes(let span) = value, [.int32, .int64, .bool].contains(type) {
            var reader = ProtobufReader(bytes, span)
            var values: [JSON] = []
            while !reader.isAtEnd { values.append(try scalar(.varint(try reader.varint()), type, field, depth)) }
            return values
        }
        if case .reference(let id) = type {
            guard case .bytes(let span) = value else { throw wrongType(field.name, 0) }
            return [.object(try message(span, table.type(id), depth: depth + 1))]
        }
        return [try scalar(value, type, field, depth)]
    }

    private func mapEntry(
        _ value: ProtobufReader.Value, _ type: FieldType, _ field: FieldSchema, _ depth: Int
    ) throws(ProtobufError) -> JSONObject.Member {
        guard case .bytes(let span) = value else { throw wrongType(field.name, 0) }
        var reader = ProtobufReader(bytes, span)
        var entry = JSONObject.Member(key: "", value: Self.absent(type))
        while let (number, part) = try reader.next() {
            if number == 1, case .bytes(let text) = part { entry.key = try string(text) }
            if number == 2 { entry.value = try mapValue(part, type, field, depth) }
        }
        return entry
    }

    private static func absent(_ type: FieldType) -> JSON {
        switch type {
        case .string, .bytes: ""
        case .quantity: "0"
        case .list: .array([])
        default: .object([:])
        }
    }

    private func mapValue(
        _ part: ProtobufReader.Value, _ type: FieldType, _ field: FieldSchema, _ depth: Int
    ) throws(ProtobufError) -> JSON {
        // A list inside a map is a message of its own with the items as field 1 (ExtraValue).
        if case .list(let element) = type, case .bytes(let inner) = part {
            var reader = ProtobufReader(bytes, inner)
            var items: [JSON] = []
            while let (number, item) = try reader.next() {
                if number == 1 { items += try elements(item, element, field, depth + 1) }
            }
            return .array(items)
        }
        if case .reference(let id) = type, case .bytes(let inner) = part {
            return .object(try message(inner, table.type(id), depth: depth + 1))
        }
        return try scalar(part, type, field, depth)
    }

    private func wrongType(_ name: String, _ number: UInt32) -> ProtobufError {
        ProtobufError(message: "proto: wrong wireType for field \(number == 0 ? name : "\(name) \(number)")")
    }
}

// Values.
extension ProtobufDecoder {
    private func scalar(
        _ value: ProtobufReader.Value, _ type: FieldType, _ field: FieldSchema, _ depth: Int
    )
        throws(ProtobufError) -> JSON
    {
        switch (type, value) {
        case (.string, .bytes(let span)): return .string(try string(span))
        case (.bytes, .bytes(let span)): return .string(Base64.encode(bytes[span]))
        case (.int32, .varint(let number)): return .int(Int64(Int32(truncatingIfNeeded: number)))
        case (.int64, .varint(let number)): return .int(Int64(truncatingIfNeeded: number))
        case (.bool, .varint(let number)): return .bool(number != 0)
        case (.double, .fixed64(let bits)): return .double(Double(bitPattern: bits))
        case (.quantity, .bytes(let span)): return .string(try text(in: span, number: 1) ?? "0")
        case (.intOrString, .bytes(let span)): return try intOrString(span)
        case (.time, .bytes(let span)): return try time(span, isMicro: false)
        case (.microTime, .bytes(let span)): return try time(span, isMicro: true)
        case (.raw, .bytes(let span)): return try raw(span)
        default: throw wrongType(field.name, 0)
        }
    }

    private func string(_ span: Range<Int>) throws(ProtobufError) -> String {
        guard let text = String(validating: bytes[span], as: UTF8.self) else {
            throw ProtobufError(message: "proto: invalid UTF-8 in string")
        }
        return text
    }

    /// A string field of a small message.
    private func text(in span: Range<Int>, number: UInt32) throws(ProtobufError) -> String? {
        var reader = ProtobufReader(bytes, span)
        var found: String?
        while let field = try reader.next() {
            if field.number == number, case .bytes(let text) = field.value { found = try string(text) }
        }
        return found
    }

    private func intOrString(_ span: Range<Int>) throws(ProtobufError) -> JSON {
        var reader = ProtobufReader(bytes, span)
        var isString = false
        var number: Int64 = 0
        while let field = try reader.next() {
            guard case .varint(let value) = field.value else { continue }
            if field.number == 1 { isString = value == 1 }
            if field.number == 2 { number = Int64(Int32(truncatingIfNeeded: value)) }
        }
        return isString ? .string(try text(in: span, number: 3) ?? "") : .int(number)
    }

    /// An empty message is no time at all.
    private func time(_ span: Range<Int>, isMicro: Bool) throws(ProtobufError) -> JSON {
        if span.isEmpty { return .null }
        var reader = ProtobufReader(bytes, span)
        var seconds: Int64 = 0
        var nanoseconds: Int64 = 0
        while let field = try reader.next() {
            guard case .varint(let value) = field.value else { continue }
            if field.number == 1 { seconds = Int64(truncatingIfNeeded: value) }
            if field.number == 2 { nanoseconds = Int64(truncatingIfNeeded: value) }
        }
        guard abs(Double(seconds)) < 2e11, (0..<1_000_000_000).contains(nanoseconds) else {
            throw ProtobufError(message: "time out of range")
        }
        return .string(Timestamp.text(seconds: seconds, microseconds: isMicro ? nanoseconds / 1000 : nil))
    }

    /// RawExtension and FieldsV1: JSON bytes in field 1.
    private func raw(_ span: Range<Int>) throws(ProtobufError) -> JSON {
        var reader = ProtobufReader(bytes, span)
        while let field = try reader.next() {
            if field.number == 1, case .bytes(let inner) = field.value { return try SchemaTable.embedded(bytes, inner) }
        }
        return .null
    }
}
