// JSON text → tree, in one pass over the bytes: the hot path of every request. Strict: bad UTF-8, bad escapes, trailing
// bytes and too deep nesting are refused, whole numbers of 64 bits are exact. Messages are those of Go's decoder, since
// clients show them. It must never read outside its buffer, whatever the bytes are.
import Glibc

/// Bytes that are no JSON.
package struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
    /// In Go's words: `invalid character 'b' looking for beginning of value`.
    package var message: String
    package var offset: Int
    package var description: String { message }

    package init(message: String, offset: Int) {
        self.message = message
        self.offset = offset
    }
}

extension JSON {
    /// Nesting beyond this is refused.
    package static let depthMax = 512

    package static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON {
        var duplicates: [String] = []
        return try parse(bytes, duplicates: &duplicates)
    }

    package static func parse(_ text: String) throws(JSONError) -> JSON { try parse(Array(text.utf8)) }

    package static func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSON {
        var duplicates: [String] = []
        return try parse(bytes, duplicates: &duplicates)
    }

    /// Also gives the paths of members that occur twice (the last one counts): `data.a`, `spec.containers[0].name`.
    package static func parse(_ bytes: [UInt8], duplicates: inout [String]) throws(JSONError) -> JSON {
        var found: [String] = []
        let result = bytes.withUnsafeBytes { buffer -> Result<JSON, JSONError> in
            do throws(JSONError) {
                return .success(try parse(buffer, duplicates: &found))
            } catch {
                return .failure(error)
            }
        }
        duplicates += found
        return try result.get()
    }

    package static func parse(_ bytes: UnsafeRawBufferPointer, duplicates: inout [String]) throws(JSONError) -> JSON {
        guard let base = bytes.baseAddress else { throw JSONError(message: "unexpected end of JSON input", offset: 0) }
        var parser = JSONParser(base.assumingMemoryBound(to: UInt8.self), bytes.count)
        let value = try parser.document()
        duplicates += parser.duplicates
        return value
    }
}

/// A stack whose top can be moved out as an array without touching reference counts.
struct ParseStack<Element>: ~Copyable {
    private var base: UnsafeMutablePointer<Element>
    private var capacity: Int
    private(set) var count = 0

    init() {
        capacity = 32
        base = .allocate(capacity: capacity)
    }

    deinit {
        base.deinitialize(count: count)
        base.deallocate()
    }

    @inline(__always)
    mutating func append(_ element: consuming Element) {
        if count == capacity { grow() }
        (base + count).initialize(to: element)
        count += 1
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: base, count: count)
        base.deallocate()
        base = larger
        capacity *= 2
    }

    /// Moves everything from `start` on out of the stack.
    mutating func take(from start: Int) -> [Element] {
        precondition(start <= count, "a stack of \(count) has no \(start)")
        let taken = count - start
        let source = base + start
        count = start
        return Array(unsafeUninitializedCapacity: taken) { buffer, initialized in
            if let target = buffer.baseAddress { target.moveInitialize(from: source, count: taken) }
            initialized = taken
        }
    }
}

struct JSONParser: ~Copyable {
    private let bytes: UnsafePointer<UInt8>
    private let count: Int
    private var at = 0
    private var depth = 0
    /// Paths, complete once the parser has unwound to the top.
    private(set) var duplicates: [String] = []
    /// Members and elements of the containers that are open; each container takes its own when it closes, in one exact
    /// allocation.
    private var members = ParseStack<JSONObject.Member>()
    private var elements = ParseStack<JSON>()
    private var keySpans: [KeySpan] = []

    private struct KeySpan {
        var start: Int
        var count: Int
        var isEscaped: Bool
    }

    init(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        self.bytes = bytes
        self.count = count
    }

    mutating func document() throws(JSONError) -> JSON {
        skipSpace()
        let value = try value()
        skipSpace()
        guard at == count else { throw unexpected("after top-level value") }
        return value
    }

    private mutating func value() throws(JSONError) -> JSON {
        guard at < count else { throw end() }
        switch bytes[at] {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw unexpected("looking for beginning of value")
        }
    }

    private mutating func object() throws(JSONError) -> JSON {
        try enter()
        let base = members.count
        let keyBase = keySpans.count
        skipSpace()
        if at < count && bytes[at] == UInt8(ascii: "}") {
            leave()
            return .object([:])
        }
        while true {
            try member()
            skipSpace()
            guard at < count else { throw end() }
            if bytes[at] == UInt8(ascii: ",") {
                at += 1
                skipSpace()
            } else if bytes[at] == UInt8(ascii: "}") {
                leave()
                let isUnique = !hasDuplicates(from: keyBase)
                keySpans.removeLast(keySpans.count - keyBase)
                let taken = members.take(from: base)
                return .object(JSONObject(uniqueMembers: isUnique ? taken : uniqued(taken)))
            } else {
                throw unexpected("after object key:value pair")
            }
        }
    }

    private mutating func member() throws(JSONError) {
        guard at < count else { throw end() }
        guard bytes[at] == UInt8(ascii: "\"") else { throw unexpected("looking for beginning of object key string") }
        let start = at
        let key = try string()
        keySpans.append(KeySpan(start: start + 1, count: at - start - 2, isEscaped: at - start - 2 != key.utf8.count))
        skipSpace()
        guard at < count else { throw end() }
        guard bytes[at] == UInt8(ascii: ":") else { throw unexpected("after object key") }
        at += 1
        skipSpace()
        let known = duplicates.count
        let value = try value()
        if duplicates.count > known { prefix(from: known, with: key) }
        members.append(JSONObject.Member(key: key, value: value))
    }

    private mutating func prefix(from index: Int, with key: String) {
        for i in index..<duplicates.count {
            duplicates[i] = duplicates[i].hasPrefix("[") ? key + duplicates[i] : "\(key).\(duplicates[i])"
        }
    }

    /// The members without earlier ones of the same name; those are reported.
    private mutating func uniqued(_ members: [JSONObject.Member]) -> [JSONObject.Member] {
        guard Set(members.lazy.map(\.key)).count < members.count else { return members }
        var places: [String: Int] = [:]
        var unique: [JSONObject.Member] = []
        for member in members {
            if let place = places[member.key] {
                unique[place].value = Self.decoded(member.value, over: unique[place].value)
                duplicates.append(member.key)
            } else {
                places[member.key] = unique.count
                unique.append(member)
            }
        }
        return unique
    }

    /// What a second member of the same name leaves: objects are decoded into the first one, everything else replaces it.
    private static func decoded(_ later: JSON, over earlier: JSON) -> JSON {
        guard case .object(let new) = later, case .object(var merged) = earlier else { return later }
        for member in new { merged[member.key] = decoded(member.value, over: merged[member.key] ?? .null) }
        return .object(merged)
    }

    /// Compares keys as they stand in the text; an escape may hide an equal key, so that one is looked at closely by
    /// `uniqued`.
    private func hasDuplicates(from base: Int) -> Bool {
        let spans = keySpans[base...]
        if spans.count > 32 || spans.contains(where: \.isEscaped) { return true }
        for right in spans.indices.dropFirst() {
            let key = spans[right]
            for left in spans.startIndex..<right where spans[left].count == key.count {
                if memcmp(bytes + spans[left].start, bytes + key.start, key.count) == 0 { return true }
            }
        }
        return false
    }

    private mutating func array() throws(JSONError) -> JSON {
        try enter()
        skipSpace()
        if at < count && bytes[at] == UInt8(ascii: "]") {
            leave()
            return .array([])
        }
        let base = elements.count
        while true {
            let known = duplicates.count
            let item = try value()
            if duplicates.count > known { prefix(from: known, withIndex: elements.count - base) }
            elements.append(item)
            skipSpace()
            guard at < count else { throw end() }
            if bytes[at] == UInt8(ascii: ",") {
                at += 1
                skipSpace()
            } else if bytes[at] == UInt8(ascii: "]") {
                leave()
                return .array(elements.take(from: base))
            } else {
                throw unexpected("after array element")
            }
        }
    }

    private mutating func prefix(from known: Int, withIndex index: Int) {
        for i in known..<duplicates.count {
            duplicates[i] = duplicates[i].hasPrefix("[") ? "[\(index)]\(duplicates[i])" : "[\(index)].\(duplicates[i])"
        }
    }

    private mutating func enter() throws(JSONError) {
        at += 1
        depth += 1
        guard depth <= JSON.depthMax else { throw JSONError(message: "exceeded max depth", offset: at) }
    }

    private mutating func leave() {
        at += 1
        depth -= 1
    }

    @inline(__always)
    private mutating func skipSpace() {
        while at < count {
            let byte = bytes[at]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            at += 1
        }
    }

    private mutating func literal(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for i in 0..<text.utf8CodeUnitCount {
            guard at < count else { throw end() }
            guard bytes[at] == text.utf8Start[i] else {
                throw unexpected("in literal \(text) (expecting \(Self.character(text.utf8Start[i])))")
            }
            at += 1
        }
        return value
    }
}

// Strings.
extension JSONParser {
    private mutating func string() throws(JSONError) -> String {
        at += 1
        let start = at
        var high: UInt8 = 0
        while at < count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") {
                let text = try text(from: start, isASCII: high < 0x80)
                at += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            if byte < 0x20 { throw unexpected("in string literal") }
            high |= byte
            at += 1
        }
        throw end()
    }

    private func text(from start: Int, isASCII: Bool) throws(JSONError) -> String {
        let slice = UnsafeBufferPointer(start: bytes + start, count: at - start)
        if isASCII { return String(decoding: slice, as: UTF8.self) }
        guard let text = String(validating: slice, as: UTF8.self) else {
            throw JSONError(message: "invalid UTF-8 in string literal", offset: start)
        }
        return text
    }

    private mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var buffer = [UInt8](UnsafeBufferPointer(start: bytes + start, count: at - start))
        while at < count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") {
                at += 1
                guard let text = String(validating: buffer, as: UTF8.self) else {
                    throw JSONError(message: "invalid UTF-8 in string literal", offset: start)
                }
                return text
            }
            if byte < 0x20 { throw unexpected("in string literal") }
            at += 1
            if byte == UInt8(ascii: "\\") {
                try escape(into: &buffer)
            } else {
                buffer.append(byte)
            }
        }
        throw end()
    }

    private mutating func escape(into buffer: inout [UInt8]) throws(JSONError) {
        guard at < count else { throw end() }
        switch bytes[at] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(bytes[at])
        case UInt8(ascii: "b"): buffer.append(8)
        case UInt8(ascii: "f"): buffer.append(12)
        case UInt8(ascii: "n"): buffer.append(10)
        case UInt8(ascii: "r"): buffer.append(13)
        case UInt8(ascii: "t"): buffer.append(9)
        case UInt8(ascii: "u"):
            at += 1
            try unicodeEscape(into: &buffer)
            return
        default: throw unexpected("in string escape code")
        }
        at += 1
    }

    /// After `\u`; a lone surrogate becomes U+FFFD, as in Go.
    private mutating func unicodeEscape(into buffer: inout [UInt8]) throws(JSONError) {
        var code = try fourHexDigits()
        if (0xD800..<0xDC00).contains(code), at + 1 < count, bytes[at] == UInt8(ascii: "\\"),
            bytes[at + 1] == UInt8(ascii: "u")
        {
            let resume = at
            at += 2
            let low = try fourHexDigits()
            if (0xDC00..<0xE000).contains(low) {
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            } else {
                at = resume
            }
        }
        let scalar = Unicode.Scalar(code) ?? "\u{FFFD}"
        buffer.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [0xEF, 0xBF, 0xBD])
    }

    private mutating func fourHexDigits() throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard at < count else { throw end() }
            guard let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue, bytes[at] < 0x80 else {
                throw unexpected("in \\u hexadecimal character escape")
            }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }
}

// Numbers and errors.
extension JSONParser {
    private mutating func number() throws(JSONError) -> JSON {
        let start = at
        let isNegative = bytes[at] == UInt8(ascii: "-")
        if isNegative { at += 1 }
        guard at < count else { throw end() }
        guard isDigit(at) else { throw unexpected("in numeric literal") }
        var magnitude: UInt64 = 0
        var isExact = true
        if bytes[at] == UInt8(ascii: "0") {
            at += 1
        } else {
            while at < count, isDigit(at) {
                let (product, over) = magnitude.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(bytes[at] &- UInt8(ascii: "0")))
                if over || carry { isExact = false }
                magnitude = sum
                at += 1
            }
        }
        let isWhole = try fraction()
        if isWhole && isExact {
            if !isNegative, let value = Int64(exactly: magnitude) { return .int(value) }
            if isNegative, magnitude <= UInt64(Int64.max) + 1 { return .int(Int64(truncatingIfNeeded: 0 &- magnitude)) }
        }
        let text = String(decoding: UnsafeBufferPointer(start: bytes + start, count: at - start), as: UTF8.self)
        guard let value = Double(text), value.isFinite else {
            throw JSONError(
                message: "json: cannot unmarshal number \(text) into Go value of type float64", offset: start)
        }
        return .double(value)
    }

    /// Reads what follows the whole part; true when nothing does.
    private mutating func fraction() throws(JSONError) -> Bool {
        var isWhole = true
        if at < count, bytes[at] == UInt8(ascii: ".") {
            isWhole = false
            at += 1
            try digits("after decimal point in numeric literal")
        }
        if at < count, bytes[at] | 0x20 == UInt8(ascii: "e") {
            isWhole = false
            at += 1
            if at < count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
            try digits("in exponent of numeric literal")
        }
        return isWhole
    }

    private mutating func digits(_ context: String) throws(JSONError) {
        guard at < count else { throw end() }
        guard isDigit(at) else { throw unexpected(context) }
        while at < count, isDigit(at) { at += 1 }
    }

    @inline(__always)
    private func isDigit(_ index: Int) -> Bool { bytes[index] &- UInt8(ascii: "0") < 10 }

    private func end() -> JSONError { JSONError(message: "unexpected end of JSON input", offset: count) }

    private func unexpected(_ context: String) -> JSONError {
        guard at < count else { return end() }
        return JSONError(message: "invalid character \(Self.character(bytes[at])) \(context)", offset: at)
    }

    private static func character(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: "'"): "'\\''"
        case UInt8(ascii: "\""): "'\"'"
        case UInt8(ascii: "\n"): "'\\n'"
        case UInt8(ascii: "\r"): "'\\r'"
        case UInt8(ascii: "\t"): "'\\t'"
        case UInt8(ascii: "\\"): "'\\\\'"
        case 0..<0x20, 0x7F: "'\\x\(Go.hex(UInt32(byte), 2))'"
        default: "'\(Character(Unicode.Scalar(byte)))'"
        }
    }
}
