// Collects the causes of a 422 answer. Every message has the shape that upstream's clients know: the type of the
// error, the value (strings quoted, structures as JSON) and a detail. Paths are texts such as
// `spec.containers[0].name`. Pure: it never decides whether a request is refused, it only lists why it would be.
import API

/// Where in an object something is wrong.
package struct FieldPath: Sendable, Hashable, ExpressibleByStringLiteral {
    package let text: String
    package init(_ text: String) { self.text = text }
    package init(stringLiteral value: String) { text = value }
    package static let root = FieldPath("")

    package subscript(child: String) -> FieldPath { FieldPath(text.isEmpty ? child : "\(text).\(child)") }
    package subscript(index: Int) -> FieldPath { FieldPath("\(text)[\(index)]") }
    package func key(_ key: String) -> FieldPath { FieldPath("\(text)[\(key)]") }
}

/// A list of field errors in the making.
package struct Issues: Sendable {
    package private(set) var list: [FieldError] = []
    package init() {}
    package var isEmpty: Bool { list.isEmpty }

    package mutating func add(_ errors: [FieldError]) { list += errors }

    package mutating func required(_ path: FieldPath, _ detail: String = "") {
        append("FieldValueRequired", "Required value", path, detail)
    }

    package mutating func forbidden(_ path: FieldPath, _ detail: String) {
        append("FieldValueForbidden", "Forbidden", path, detail)
    }

    package mutating func invalid(_ path: FieldPath, _ value: JSON?, _ detail: String) {
        append("FieldValueInvalid", "Invalid value: \((value ?? .null).messageText)", path, detail)
    }

    /// One error for each detail.
    package mutating func invalid(_ path: FieldPath, _ value: JSON?, _ details: [String]) {
        for detail in details { invalid(path, value, detail) }
    }

    package mutating func duplicate(_ path: FieldPath, _ value: JSON?) {
        append("FieldValueDuplicate", "Duplicate value: \((value ?? .null).messageText)", path, "")
    }

    package mutating func notFound(_ path: FieldPath, _ value: JSON?) {
        append("FieldValueNotFound", "Not found: \((value ?? .null).messageText)", path, "")
    }

    package mutating func unsupported(_ path: FieldPath, _ value: JSON?, _ supported: [String]) {
        let list = supported.map { JSON.string($0).messageText }.joined(separator: ", ")
        let detail = supported.isEmpty ? "" : "supported values: \(list)"
        append("FieldValueNotSupported", "Unsupported value: \((value ?? .null).messageText)", path, detail)
    }

    package mutating func tooLong(_ path: FieldPath, bytesMax: Int) {
        append("FieldValueTooLong", "Too long", path, "may not be more than \(bytesMax) bytes")
    }

    package mutating func tooMany(_ path: FieldPath, count: Int, max: Int) {
        append("FieldValueTooMany", "Too many: \(count)", path, "must have at most \(max) items")
    }

    private mutating func append(_ reason: String, _ message: String, _ path: FieldPath, _ detail: String) {
        let text = detail.isEmpty ? message : "\(message): \(detail)"
        list.append(FieldError(reason: reason, message: text, field: path.text.isEmpty ? "[]" : path.text))
    }
}

// What several kinds check the same way.
extension Issues {
    package mutating func nonNegative(_ path: FieldPath, _ value: JSON?) {
        guard let number = value?.int, number < 0 else { return }
        invalid(path, value, "must be greater than or equal to 0")
    }

    package mutating func port(_ path: FieldPath, _ value: JSON?) {
        let number = value?.int ?? 0
        if number < 1 || number > 65535 { invalid(path, .int(number), "must be between 1 and 65535, inclusive") }
    }

    /// A member that must be one of a few values; an absent one is left to the caller.
    package mutating func oneOf(_ path: FieldPath, _ value: JSON?, _ supported: [String]) {
        guard let text = value?.string, !supported.contains(text) else { return }
        unsupported(path, value, supported)
    }

    package mutating func immutable(_ path: FieldPath, _ new: JSON?, _ old: JSON?) {
        if (new ?? .null) != (old ?? .null) { invalid(path, new, "field is immutable") }
    }
}

extension JSON {
    /// The value as upstream prints it in an error: strings quoted, the rest as compact JSON.
    package var messageText: String {
        if case .string(let value) = self { Go.quote(value) } else { text }
    }
}
