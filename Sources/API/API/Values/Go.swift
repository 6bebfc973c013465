// Texts as Go prints them: messages that clients show or match quote strings and values in Go's way.

/// Go's notations.
package enum Go {
    /// `strconv.Quote`: the text in double quotes with escapes.
    package static func quote(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case "\r": out += "\\r"
            case "\u{07}": out += "\\a"
            case "\u{08}": out += "\\b"
            case "\u{0C}": out += "\\f"
            case "\u{0B}": out += "\\v"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: out += "\\x" + hex(scalar.value, 2)
            case "\u{FEFF}", "\u{FFFD}": out += scalar == "\u{FFFD}" ? "\u{FFFD}" : "\\ufeff"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    /// `fmt` with `%v` of a decoded JSON value: `map[a:1 b:x]`, `[1 2]`, `<nil>`.
    package static func value(_ json: JSON) -> String {
        switch json {
        case .null: "<nil>"
        case .bool(let value): value ? "true" : "false"
        case .int(let value): String(value)
        case .double(let value): String(value)
        case .string(let value): value
        case .array(let values): "[" + values.map(value).joined(separator: " ") + "]"
        case .object(let object):
            "map["
                + object.members.sorted { $0.key < $1.key }.map { "\($0.key):\(value($0.value))" }.joined(
                    separator: " ") + "]"
        }
    }

    static func hex(_ value: UInt32, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}

extension Go {
    /// What Go's decoder calls the JSON value that it met.
    package static func jsonType(_ json: JSON) -> String {
        switch json {
        case .null: "null"
        case .bool: "bool"
        case .int, .double: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }
}
