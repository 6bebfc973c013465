// YAML text ⇄ trees, through Yams (libyaml). Plain scalars mean what upstream's converter makes of them: YAML 1.1
// booleans (`y`, `on`), octal and hexadecimal numbers, `~`. Size, depth and the number of nodes that aliases make are
// limited.
import Yams

/// Text that is no YAML, in upstream's words (`yaml: line 3: …`).
package struct YAMLError: Error, Sendable, Hashable, CustomStringConvertible {
    package var message: String
    package var description: String { message }

    package init(message: String) { self.message = message }
}

package enum YAML {
    package static let bytesMax = 8 << 20
    package static let nodesMax = 1_000_000
    package static let depthMax = 256

    /// One document; doubled keys are an error in upstream's words. An empty text is null.
    package static func parse(_ bytes: [UInt8]) throws(YAMLError) -> JSON {
        try parseAll(bytes, keepingEmpty: true).first ?? .null
    }

    /// All documents; empty ones are left out.
    package static func parseAll(_ bytes: [UInt8]) throws(YAMLError) -> [JSON] {
        try parseAll(bytes, keepingEmpty: false)
    }

    /// One document in which the last of doubled keys counts; `duplicates` gets upstream's words for each:
    /// `line 5: key "data" already set in map`.
    package static func parse(_ bytes: [UInt8], duplicates: inout [String]) throws(YAMLError) -> JSON {
        var text = try checked(bytes)
        var doubled = YAMLDuplicates()
        while true {
            do {
                guard let node = try Parser(yaml: text).nextRoot() else { return .null }
                var converter = YAMLConverter(doubled)
                let tree = try converter.tree(node, depth: 0)
                duplicates += converter.duplicates
                return tree
            } catch let error as YAMLError {
                throw error
            } catch let error as YamlError {
                guard case .duplicatedKeysInMapping(let keys, let context) = error, let key = keys.first,
                    let renamed = doubled.renamed(key, at: context.mark, in: text)
                else { throw YAMLError(message: message(of: error)) }
                text = renamed
            } catch {
                throw YAMLError(message: "yaml: \(error)")
            }
        }
    }

    package static func parse(_ text: String) throws(YAMLError) -> JSON { try parse(Array(text.utf8)) }

    private static func checked(_ bytes: [UInt8]) throws(YAMLError) -> String {
        guard bytes.count <= bytesMax else {
            throw YAMLError(message: "yaml: document is larger than \(bytesMax) bytes")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw YAMLError(message: "yaml: invalid UTF-8")
        }
        guard !nestsTooDeep(bytes) else { throw YAMLError(message: "yaml: exceeded max depth") }
        return text
    }

    private static func parseAll(_ bytes: [UInt8], keepingEmpty: Bool) throws(YAMLError) -> [JSON] {
        let text = try checked(bytes)
        var documents: [JSON] = []
        do {
            let parser = try Parser(yaml: text)
            while let node = try parser.nextRoot() {
                var converter = YAMLConverter()
                let value = try converter.tree(node, depth: 0)
                if keepingEmpty || !value.isNull { documents.append(value) }
            }
        } catch let error as YAMLError {
            throw error
        } catch let error as YamlError {
            throw YAMLError(message: message(of: error))
        } catch {
            throw YAMLError(message: "yaml: \(error)")
        }
        return documents
    }

    /// A bound on the nesting that the text can reach, found before the recursive parser sees it.
    private static func nestsTooDeep(_ bytes: [UInt8]) -> Bool {
        var flow = 0
        var indicators = 0
        var isLineStart = true
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"): flow += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): flow = max(0, flow - 1)
            case UInt8(ascii: "-"), UInt8(ascii: "?"), UInt8(ascii: ":"):
                if isLineStart || byte != UInt8(ascii: ":"), index + 1 < bytes.count, bytes[index + 1] == 0x20 {
                    indicators += 1
                }
            case 10: indicators = 0
            default: break
            }
            isLineStart = byte == 10 || (isLineStart && byte == 0x20)
            if flow > depthMax * 4 || indicators > depthMax * 4 { return true }
        }
        return false
    }

    private static func message(of error: YamlError) -> String {
        switch error {
        case .scanner(let context, let problem, let mark, _):
            return "yaml: \(place(context, mark, isScanner: true))\(problem)"
        case .parser(let context, let problem, let mark, _), .composer(let context, let problem, let mark, _):
            return "yaml: \(place(context, mark, isScanner: false))\(problem)"
        case .duplicatedKeysInMapping(let duplicates, let context):
            let lines = duplicates.map { "  line \(context.mark.line): key \(Go.quote($0)) already set in map" }
            return "yaml: unmarshal errors:\n\(lines.joined(separator: "\n"))"
        case .reader(let problem, _, _, _): return "yaml: \(problem)"
        default: return "yaml: \(error)"
        }
    }
}

extension YAML {
    /// The line as upstream's parser names it: that of the context, else of the problem, counted from 0 except by the
    /// scanner; the first line is not named.
    private static func place(_ context: YamlError.Context?, _ mark: Mark, isScanner: Bool) -> String {
        let lines = [context?.mark.line ?? 1, mark.line].map { $0 - 1 }
        guard let line = lines.first(where: { $0 > 0 }) else { return "" }
        return "line \(isScanner ? line + 1 : line): "
    }
}

/// Nodes → trees.
struct YAMLConverter {
    private var nodes = 0
    private let doubled: YAMLDuplicates
    /// Keys that were set twice, in upstream's words.
    private(set) var duplicates: [String] = []

    init(_ doubled: YAMLDuplicates = YAMLDuplicates()) { self.doubled = doubled }

    mutating func tree(_ node: Node, depth: Int) throws(YAMLError) -> JSON {
        nodes += 1
        guard nodes <= YAML.nodesMax else { throw YAMLError(message: "yaml: document contains excessive aliasing") }
        guard depth <= YAML.depthMax else { throw YAMLError(message: "yaml: exceeded max depth") }
        switch node {
        case .scalar(let scalar): return try YAMLScalar.value(scalar)
        case .sequence(let sequence):
            var values: [JSON] = []
            for item in sequence { values.append(try tree(item, depth: depth + 1)) }
            return .array(values)
        case .mapping(let mapping): return .object(try object(mapping, depth))
        case .alias: throw YAMLError(message: "yaml: unknown anchor")
        }
    }

    private mutating func object(_ mapping: Node.Mapping, _ depth: Int) throws(YAMLError) -> JSONObject {
        var object = JSONObject()
        var inherited: [JSONObject] = []
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key else { throw YAMLError(message: "yaml: invalid map key") }
            if let original = doubled.original(scalar.string) {
                let later = mapping.first { $0.key.string == original }
                duplicates.append("line \(later?.key.mark?.line ?? 0): key \(Go.quote(original)) already set in map")
                continue
            }
            let tree = try tree(value, depth: depth + 1)
            if scalar.string == "<<" && scalar.style == .plain {
                inherited += (tree.array ?? [tree]).compactMap(\.object)
            } else {
                object[try YAMLScalar.key(scalar)] = tree
            }
        }
        for source in inherited {
            for member in source where object[member.key] == nil { object[member.key] = member.value }
        }
        return object
    }
}

/// What a scalar means.
enum YAMLScalar {
    static func value(_ scalar: Node.Scalar) throws(YAMLError) -> JSON {
        let text = scalar.string
        if ["tag:yaml.org,2002:binary", "tag:yaml.org,2002:str"].contains(scalar.tag.description) {
            return .string(text)
        }
        guard scalar.style == .plain || scalar.style == .any else { return .string(text) }
        return try plain(text)
    }

    /// A key as JSON writes it: numbers and booleans become their text.
    static func key(_ scalar: Node.Scalar) throws(YAMLError) -> String {
        // The tag of a key may have been resolved by the parser already: only its style tells.
        guard scalar.style == .plain || scalar.style == .any else { return scalar.string }
        switch try plain(scalar.string) {
        case .string(let text): return text
        case .null: return "null"
        case let other: return other.text
        }
    }

    /// Whether an unquoted text means itself.
    static func isString(_ text: String) -> Bool {
        do throws(YAMLError) { return try plain(text) == .string(text) } catch { return false }
    }

    private static func plain(_ text: String) throws(YAMLError) -> JSON {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": return true
        case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": return false
        case ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF":
            throw YAMLError(message: "error converting YAML to JSON: json: unsupported value: \(text)")
        default: return number(text) ?? .string(text)
        }
    }

    private static func number(_ text: String) -> JSON? {
        guard let first = text.utf8.first, first.isDigit || "+-.".utf8.contains(first) else { return nil }
        let digits = text.replacing("_", with: "")
        if let whole = integer(digits) { return .int(whole) }
        let body = digits.drop { $0 == "+" || $0 == "-" }
        let isDecimal =
            body.utf8.contains(where: \.isDigit) && body.utf8.allSatisfy { $0.isDigit || ".eE+-".utf8.contains($0) }
        guard isDecimal, text.utf8.first != UInt8(ascii: "+") || body.count + 1 == digits.count,
            let value = Double(digits)
        else { return nil }
        return value.isFinite ? .double(value) : nil
    }

    /// As Go's base-0 integers: `0x`, `0o`, `0b`, and a leading zero for octal.
    private static func integer(_ text: String) -> Int64? {
        let isNegative = text.hasPrefix("-")
        let body = text.drop { $0 == "+" || $0 == "-" }
        guard text.count - body.count <= 1, body.utf8.first?.isDigit == true else { return nil }
        let sign = isNegative ? "-" : ""
        let lower = body.lowercased()
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where lower.hasPrefix(prefix) {
            return Int64(sign + lower.dropFirst(2), radix: radix)
        }
        if body.count > 1, body.hasPrefix("0") { return Int64(sign + body.dropFirst(), radix: 8) }
        return Int64(sign + body)
    }
}
