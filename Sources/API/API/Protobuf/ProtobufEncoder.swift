// Trees → protobuf bodies by the schema table, with upstream's envelope. Fields go out by number; absent members are
// left out.

extension SchemaTable {
    /// Whether a kind has a protobuf form.
    package func hasProtobuf(_ kind: GroupVersionKind) -> Bool {
        type(of: kind).map { !$0.wire.targets.isEmpty } ?? false
    }

    /// Encodes a tree with its envelope; throws for kinds without protobuf and for trees that do not fit their
    /// definition.
    package func encodeProtobuf(_ object: JSON) throws(ProtobufError) -> [UInt8] {
        let kind = GroupVersionKind(apiVersion: object.apiVersion, kind: object.kind)
        guard let schema = type(of: kind), !schema.wire.targets.isEmpty else {
            throw ProtobufError(
                message: "object *\(kind.version).\(kind.kind) does not implement the protobuf marshalling interface")
        }
        var type = ProtobufWriter()
        type.field(1, string: object.apiVersion)
        type.field(2, string: object.kind)
        let body = try ProtobufEncoder(table: self).message(object.object ?? [:], schema.wire, schema)
        var envelope = ProtobufWriter()
        envelope.field(1, bytes: type.bytes)
        envelope.field(2, bytes: body)
        envelope.field(3, bytes: [])
        envelope.field(4, bytes: [])
        return Self.protobufMagic + envelope.bytes
    }
}

struct ProtobufEncoder {
    let table: SchemaTable

    func message(_ object: JSONObject, _ node: WireNode, _ schema: TypeSchema) throws(ProtobufError) -> [UInt8] {
        var writer = ProtobufWriter()
        for (number, target) in node.targets.sorted(by: { $0.key < $1.key }) {
            switch target {
            case .inline(let inner):
                let bytes = try message(object, inner, schema)
                if !bytes.isEmpty { writer.field(number, bytes: bytes) }
            case .field(let index):
                let field = schema.fields[index]
                if let value = object[field.name], !value.isNull { try write(value, field.type, number, &writer) }
            }
        }
        return writer.bytes
    }

    private func write(
        _ value: JSON, _ type: FieldType, _ number: UInt32, _ writer: inout ProtobufWriter
    )
        throws(ProtobufError)
    {
        switch (type, value) {
        case (.string, .string(let text)): writer.field(number, string: text)
        case (.int32, .int(let whole)), (.int64, .int(let whole)):
            writer.field(number, varint: UInt64(bitPattern: whole))
        case (.bool, .bool(let flag)): writer.field(number, varint: flag ? 1 : 0)
        case (.double, _):
            guard let double = value.double else { throw mismatch(value, type) }
            writer.field(number, double: double)
        case (.list(let element), .array(let values)):
            for item in values { try write(item, element, number, &writer) }
        case (.map(let element), .object(let object)):
            for member in object { try writeEntry(member, element, number, &writer) }
        case (.reference(let id), .object(let object)):
            let schema = table.type(id)
            writer.field(number, bytes: try message(object, schema.wire, schema))
        default: writer.field(number, bytes: try small(value, type))
        }
    }

    private func writeEntry(
        _ member: JSONObject.Member, _ element: FieldType, _ number: UInt32, _ writer: inout ProtobufWriter
    ) throws(ProtobufError) {
        var entry = ProtobufWriter()
        entry.field(1, string: member.key)
        if case .list(let item) = element {
            var items = ProtobufWriter()
            for value in member.value.elements { try write(value, item, 1, &items) }
            entry.field(2, bytes: items.bytes)
        } else {
            try write(member.value, element, 2, &entry)
        }
        writer.field(number, bytes: entry.bytes)
    }

    /// The bytes of values that are small messages, or bytes themselves.
    private func small(_ value: JSON, _ type: FieldType) throws(ProtobufError) -> [UInt8] {
        var writer = ProtobufWriter()
        switch (type, value) {
        case (.bytes, .string(let text)):
            do throws(Base64Error) { return try Base64.decode(text) } catch { throw mismatch(value, type) }
        case (.quantity, .string(let text)): writer.field(1, string: text)
        case (.quantity, .int), (.quantity, .double): writer.field(1, string: value.text)
        case (.intOrString, .int(let whole)):
            writer.field(1, varint: 0)
            writer.field(2, varint: UInt64(bitPattern: whole))
            writer.field(3, string: "")
        case (.intOrString, .string(let text)):
            writer.field(1, varint: 1)
            writer.field(2, varint: 0)
            writer.field(3, string: text)
        case (.time, .string(let text)), (.microTime, .string(let text)):
            guard let parts = Timestamp.parts(text) else { throw mismatch(value, type) }
            writer.field(1, varint: UInt64(bitPattern: parts.seconds))
            writer.field(2, varint: UInt64(bitPattern: parts.nanoseconds))
        case (.raw, _): writer.field(1, bytes: value.serialized())
        default: throw mismatch(value, type)
        }
        return writer.bytes
    }

    private func mismatch(_ value: JSON, _ type: FieldType) -> ProtobufError {
        ProtobufError(message: "cannot encode \(Go.jsonType(value)) as \(type)")
    }
}
