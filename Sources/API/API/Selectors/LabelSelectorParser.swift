// The text of a label selector, token by token, with upstream's messages for what is not understood.

struct LabelSelectorParser {
    private enum Token: Equatable {
        case identifier(String)
        case symbol(String)
        case end

        var text: String {
            switch self {
            case .identifier(let text), .symbol(let text): text
            case .end: ""
            }
        }
    }

    static let requirementsMax = 1000
    private var tokens: [Token] = []
    private var at = 0

    init(_ text: String) {
        var rest = text.utf8[...]
        while let token = Self.take(&rest) { tokens.append(token) }
    }

    private static func take(_ rest: inout Substring.UTF8View) -> Token? {
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
        guard let first = rest.first else { return nil }
        if isSpecial(first) {
            let symbols = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"]
            let symbol = symbols.first { rest.starts(with: $0.utf8) } ?? String(decoding: [first], as: UTF8.self)
            rest = rest.dropFirst(symbol.utf8.count)
            return .symbol(symbol)
        }
        let word = rest.prefix { !isSpecial($0) && $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D }
        rest = rest[word.endIndex...]
        return .identifier(String(decoding: word, as: UTF8.self))
    }

    private static func isSpecial(_ byte: UInt8) -> Bool { "=!(),><".utf8.contains(byte) }

    private var next: Token { at < tokens.count ? tokens[at] : .end }

    private mutating func advance() -> Token {
        defer { at += 1 }
        return next
    }

    mutating func requirements() throws(StatusError) -> [LabelSelector.Requirement] {
        var found: [LabelSelector.Requirement] = []
        if tokens.isEmpty { return [] }
        while true {
            guard found.count < Self.requirementsMax else { throw Status.badRequest("too many label requirements") }
            found.append(try requirement())
            switch advance() {
            case .end: return found
            case .symbol(","):
                // A comma at the end is one requirement too many: a name must follow.
                guard case .end = next else { continue }
                throw refusal("", "identifier after ','")
            case let token: throw refusal(token.text, "',' or 'end of string'")
            }
        }
    }

    private mutating func requirement() throws(StatusError) -> LabelSelector.Requirement {
        let isNegated = next == .symbol("!")
        if isNegated { at += 1 }
        guard case .identifier(let key) = advance() else {
            at -= 1
            throw refusal(
                next.text,
                isNegated
                    ? "identifier"
                    : (next.text == "," || next == .end ? "!, identifier, or 'end of string'" : "identifier"))
        }
        if isNegated { return .init(key: key, op: .notExists) }
        if next == .end || next == .symbol(",") { return .init(key: key, op: .exists) }
        return try comparison(key)
    }

    private mutating func comparison(_ key: String) throws(StatusError) -> LabelSelector.Requirement {
        let token = advance()
        switch token {
        case .identifier("in"): return .init(key: key, op: .in, values: try set())
        case .identifier("notin"): return .init(key: key, op: .notIn, values: try set())
        case .symbol("="): return .init(key: key, op: .equals, values: [try exactValue()])
        case .symbol("=="): return .init(key: key, op: .doubleEquals, values: [try exactValue()])
        case .symbol("!="): return .init(key: key, op: .notEquals, values: [try exactValue()])
        case .symbol(">"), .identifier("gt"): return .init(key: key, op: .greater, values: [try exactValue()])
        case .symbol("<"), .identifier("lt"): return .init(key: key, op: .less, values: [try exactValue()])
        default: throw refusal(token.text, "in, notin, =, ==, !=, gt, lt")
        }
    }

    private mutating func exactValue() throws(StatusError) -> String {
        if next == .end || next == .symbol(",") { return "" }
        let token = advance()
        guard case .identifier(let value) = token else { throw refusal(token.text, "identifier") }
        return value
    }

    private mutating func set() throws(StatusError) -> [String] {
        let open = advance()
        guard open == .symbol("(") else { throw refusal(open.text, "'('") }
        var values: [String] = []
        while true {
            switch advance() {
            case .identifier(let value):
                values.append(value)
                if next == .symbol(")") {
                    at += 1
                    return values
                }
                guard next == .symbol(",") else { throw refusal(next.text, "',' or ')'") }
                at += 1
            case .symbol(")"): return values + [""]
            case .symbol(","): values.append("")
            case let token: throw refusal(token.text, "',', ')' or identifier")
            }
        }
    }

    private func refusal(_ found: String, _ expected: String) -> StatusError {
        Status.badRequest("unable to parse requirement: found '\(found)', expected: \(expected)")
    }
}
