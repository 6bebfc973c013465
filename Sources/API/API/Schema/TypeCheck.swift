// Decoding of a client's tree by its definition: wrong types are refused with the words of Go's decoder (clients show
// them), unknown fields are reported and dropped, values are brought into the form in which upstream would answer them.
// It must never drop a member that the definition knows and that says something.

/// A tree that does not fit its definition: the text after `X in version "v1" cannot be handled as a X: `.
package struct DecodeError: Error, Sendable, Hashable, CustomStringConvertible {
    package var message: String
    package var description: String { message }

    package init(message: String) { self.message = message }
}

/// A tree as its definition wants it.
package struct CheckedObject: Sendable {
    /// Without unknown fields, nulls and meaningless empties; quantities and times in canonical form.
    package var object: JSON
    /// `unknown field "spec.x"`, in the order found: errors under Strict, warnings under Warn.
    package var unknownFields: [String]
}

extension SchemaTable {
    /// Types, unknown fields, normal form. `kind` decides the definition; a kind without one is taken as it is.
    package func check(_ tree: JSON, as kind: GroupVersionKind) throws(DecodeError) -> CheckedObject {
        guard let schema = type(of: kind) else { return CheckedObject(object: tree, unknownFields: []) }
        return try check(tree, as: schema)
    }

    package func check(_ tree: JSON, as schema: TypeSchema) throws(DecodeError) -> CheckedObject {
        guard case .object(let object) = tree else {
            throw DecodeError(
                message: "json: cannot unmarshal \(Go.jsonType(tree)) into Go value of type \(schema.goType)")
        }
        var check = TypeCheck(table: self)
        let result = try check.object(object, schema)
        return CheckedObject(object: .object(result), unknownFields: check.unknownFields)
    }
}

struct TypeCheck {
    let table: SchemaTable
    private(set) var unknownFields: [String] = []
    /// The way from the top to the value at hand.
    private var place: [Step] = []
    private static let unknownFieldsMax = 100

    private enum Step {
        case field(String)
        case key(String)
        case index(Int)
    }

    init(table: SchemaTable) { self.table = table }

    mutating func object(_ object: JSONObject, _ schema: TypeSchema) throws(DecodeError) -> JSONObject {
        var members: [JSONObject.Member] = []
        members.reserveCapacity(object.count)
        for member in object {
            guard let field = schema.field(member.key) else {
                reportUnknown(member.key)
                continue
            }
            if member.value.isNull { continue }
            place.append(.field(member.key))
            let value = try value(member.value, field.type, field, schema)
            place.removeLast()
            if !Self.isMeaningless(value, field) { members.append(.init(key: member.key, value: value)) }
        }
        return JSONObject(uniqueMembers: members)
    }

    private mutating func reportUnknown(_ key: String) {
        guard unknownFields.count < Self.unknownFieldsMax else { return }
        var path = ""
        for step in place + [.field(key)] {
            switch step {
            case .field(let name), .key(let name): path += path.isEmpty ? name : ".\(name)"
            case .index(let index): path += "[\(index)]"
            }
        }
        unknownFields.append("unknown field \(Go.quote(path))")
    }

    /// Go omits these when it writes the object again.
    private static func isMeaningless(_ value: JSON, _ field: FieldSchema) -> Bool {
        if field.isRequired || field.keepsEmpty { return false }
        switch value {
        case .string(let text): return text.isEmpty
        case .array(let values): return values.isEmpty
        case .object(let object):
            if case .map = field.type { return object.isEmpty }
            return false
        case .int(0), .bool(false): return field.dropsZero
        default: return false
        }
    }

    private mutating func value(
        _ json: JSON, _ type: FieldType, _ field: FieldSchema, _ owner: TypeSchema
    )
        throws(DecodeError) -> JSON
    {
        switch (type, json) {
        case (.raw, _), (.string, .string), (.bool, .bool), (.double, .int), (.double, .double): return json
        case (.int32, .int(let number)):
            guard Int32(exactly: number) != nil else { throw mismatch("number \(number)", type, field, owner) }
            return json
        case (.int64, .int): return json
        case (.int32, .double(let number)), (.int64, .double(let number)):
            guard let whole = json.int, type == .int64 || Int32(exactly: whole) != nil else {
                throw mismatch("number \(JSON.double(number).text)", type, field, owner)
            }
            return .int(whole)
        case (.quantity, _): return try quantity(json)
        case (.intOrString, .string), (.intOrString, .int): return try intOrString(json)
        case (.intOrString, _):
            let number = json.double == nil ? Go.jsonType(json) : "number \(json.text)"
            throw DecodeError(message: "json: cannot unmarshal \(number) into Go value of type int32")
        case (.time, _): return try time(json, isMicro: false)
        case (.microTime, _): return try time(json, isMicro: true)
        case (.bytes, .string(let text)): return try bytes(text)
        case (.list(let element), .array(let values)): return .array(try list(values, element, field, owner))
        case (.map(let element), .object(let object)): return .object(try map(object, element, field, owner))
        case (.reference(let id), .object(let inner)): return .object(try object(inner, table.type(id)))
        default: throw mismatch(Go.jsonType(json), type, field, owner)
        }
    }

    private mutating func list(
        _ values: [JSON], _ element: FieldType, _ field: FieldSchema, _ owner: TypeSchema
    ) throws(DecodeError) -> [JSON] {
        var result: [JSON] = []
        result.reserveCapacity(values.count)
        for (index, item) in values.enumerated() {
            place.append(.index(index))
            result.append(item.isNull ? Self.zero(element) : try value(item, element, field, owner))
            place.removeLast()
        }
        return result
    }

    private mutating func map(
        _ object: JSONObject, _ element: FieldType, _ field: FieldSchema, _ owner: TypeSchema
    ) throws(DecodeError) -> JSONObject {
        var members: [JSONObject.Member] = []
        members.reserveCapacity(object.count)
        for member in object {
            place.append(.key(member.key))
            var value = member.value.isNull ? Self.zero(element) : try value(member.value, element, field, owner)
            if element == .quantity, let amount = Quantity(value) { value = .string(amount.roundedUpToMilli.text) }
            members.append(.init(key: member.key, value: value))
            place.removeLast()
        }
        return JSONObject(uniqueMembers: members)
    }

    /// What Go makes of a null element.
    private static func zero(_ type: FieldType) -> JSON {
        switch type {
        case .string, .bytes: ""
        case .int32, .int64, .double: 0
        case .bool: false
        case .quantity: "0"
        case .reference, .map: .object([:])
        case .list: .array([])
        default: .null
        }
    }

    private func mismatch(_ found: String, _ type: FieldType, _ field: FieldSchema, _ owner: TypeSchema) -> DecodeError
    {
        let names = place.compactMap { step -> String? in if case .field(let name) = step { name } else { nil } }
        let path = ([owner.goName] + names).joined(separator: ".")
        return DecodeError(
            message: "json: cannot unmarshal \(found) into Go struct field \(path) of type \(goType(type, field))")
    }

    private func goType(_ type: FieldType, _ field: FieldSchema) -> String {
        switch type {
        case .string: field.goType ?? "string"
        case .int32: "int32"
        case .int64: "int64"
        case .bool: "bool"
        case .double: "float64"
        case .bytes: "[]uint8"
        case .list(let element): "[]\(goType(element, field))"
        case .map(let element): "map[string]\(goType(element, field))"
        case .reference(let id): table.type(id).goType
        case .quantity: "resource.Quantity"
        case .intOrString: "intstr.IntOrString"
        case .time: "v1.Time"
        case .microTime: "v1.MicroTime"
        case .raw: "runtime.RawExtension"
        }
    }
}

// Values with a form of their own.
extension TypeCheck {
    private func quantity(_ json: JSON) throws(DecodeError) -> JSON {
        let text: String
        switch json {
        case .string(let value): text = value
        default: text = json.text
        }
        if text.isEmpty { return "0" }
        do throws(QuantityError) {
            return .string(try Quantity(parsing: text.trimmedSpaces).text)
        } catch {
            throw DecodeError(message: error.rawValue)
        }
    }

    private func intOrString(_ json: JSON) throws(DecodeError) -> JSON {
        if case .int(let number) = json, Int32(exactly: number) == nil {
            throw DecodeError(message: "json: cannot unmarshal number \(number) into Go value of type int32")
        }
        return json
    }

    private func time(_ json: JSON, isMicro: Bool) throws(DecodeError) -> JSON {
        guard case .string(let text) = json else {
            throw DecodeError(message: "json: cannot unmarshal \(Go.jsonType(json)) into Go value of type string")
        }
        let layout = isMicro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00"
        guard let parts = Timestamp.parts(text) else {
            throw DecodeError(
                message:
                    "parsing time \(Go.quote(text)) as \(Go.quote(layout)): cannot parse \(Go.quote(text)) as \"2006\"")
        }
        if !isMicro { return .string(Timestamp.text(seconds: parts.seconds, microseconds: nil)) }
        let rest = text.utf8.dropFirst(19)
        let digits = rest.dropFirst().prefix { $0.isDigit }.count
        guard rest.first == UInt8(ascii: "."), digits == 6 else {
            let remainder = String(decoding: rest, as: UTF8.self)
            throw DecodeError(
                message:
                    "parsing time \(Go.quote(text)) as \(Go.quote(layout)): cannot parse \(Go.quote(remainder)) as "
                    + "\".000000\""
            )
        }
        return .string(Timestamp.text(seconds: parts.seconds, microseconds: parts.nanoseconds / 1000))
    }

    private func bytes(_ text: String) throws(DecodeError) -> JSON {
        do throws(Base64Error) {
            let decoded = try Base64.decode(text)
            return text.utf8.contains(10) || text.utf8.contains(13) ? .string(Base64.encode(decoded)) : .string(text)
        } catch {
            throw DecodeError(message: "illegal base64 data at input byte \(error.offset)")
        }
    }
}

extension String {
    fileprivate var trimmedSpaces: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
