// Trees → YAML text in block style, keys sorted, as upstream answers `application/yaml`. What could be read as
// something else is quoted.

extension YAML {
    package static func write(_ value: JSON) -> [UInt8] { Array(text(value).utf8) }

    package static func text(_ value: JSON) -> String {
        var out = ""
        switch value {
        case .object(let object) where !object.isEmpty: writeObject(object, 0, &out)
        case .array(let values) where !values.isEmpty: writeArray(values, 0, &out)
        default: out = scalar(value, 0) + "\n"
        }
        return out
    }

    private static func writeObject(_ object: JSONObject, _ indent: Int, _ out: inout String) {
        for (index, member) in object.members.sorted(by: { $0.key < $1.key }).enumerated() {
            if index > 0 || !out.hasSuffix("- ") { out += String(repeating: " ", count: indent) }
            out += quoted(member.key) + ":"
            switch member.value {
            case .object(let inner) where !inner.isEmpty:
                out += "\n"
                writeObject(inner, indent + 2, &out)
            case .array(let values) where !values.isEmpty:
                out += "\n"
                writeArray(values, indent, &out)
            default: out += " \(scalar(member.value, indent + 2))\n"
            }
        }
    }

    private static func writeArray(_ values: [JSON], _ indent: Int, _ out: inout String) {
        for value in values {
            out += String(repeating: " ", count: indent) + "- "
            switch value {
            case .object(let object) where !object.isEmpty: writeObject(object, indent + 2, &out)
            case .array(let inner) where !inner.isEmpty:
                out.removeLast()
                out += "\n"
                writeArray(inner, indent + 2, &out)
            default: out += "\(scalar(value, indent + 2))\n"
            }
        }
    }

    private static func scalar(_ value: JSON, _ indent: Int) -> String {
        switch value {
        case .string(let text): literal(text, indent) ?? quoted(text)
        case .object: "{}"
        case .array: "[]"
        default: value.text
        }
    }

    /// Several lines as a literal block, where nothing in them would be lost.
    private static func literal(_ text: String, _ indent: Int) -> String? {
        guard text.contains("\n"), !text.hasPrefix(" "), !text.hasPrefix("\n"), !text.hasSuffix("\n\n") else {
            return nil
        }
        guard text.unicodeScalars.allSatisfy({ $0 == "\n" || ($0.value >= 0x20 && $0.value < 0x7F) }),
            !text.contains(" \n")
        else { return nil }
        let lines = (text.hasSuffix("\n") ? text.dropLast() : text[...]).split(
            separator: "\n", omittingEmptySubsequences: false)
        let pad = String(repeating: " ", count: indent)
        let body = lines.map { $0.isEmpty ? "" : pad + $0 }.joined(separator: "\n")
        return (text.hasSuffix("\n") ? "|\n" : "|-\n") + body
    }

    private static func quoted(_ text: String) -> String { isPlain(text) ? text : JSON.string(text).text }

    /// Whether a text, unquoted, is read back as the same string.
    private static func isPlain(_ text: String) -> Bool {
        guard let first = text.utf8.first,
            first.isAlphanumeric || first == UInt8(ascii: "_") || first == UInt8(ascii: "/")
                || first == UInt8(ascii: ".")
        else { return false }
        guard text.utf8.allSatisfy({ $0.isAlphanumeric || "_-./:@+=(),;<>$% ".utf8.contains($0) }) else { return false }
        if text.hasSuffix(":") || text.contains(": ") || text.contains(" #") || text.hasSuffix(" ") { return false }
        return YAMLScalar.isString(text)
    }
}
