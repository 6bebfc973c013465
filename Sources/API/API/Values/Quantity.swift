// Amounts of resources as objects carry them (`500m`, `1Gi`, `2e3`): exact to 1e-9, compared and added without floating
// point. The canonical text is upstream's: largest suffix without a fraction, in the family of suffixes that the writer
// used. Hostile text never overflows: beyond ±(2^63 - 1) it saturates, as upstream does.

/// A quantity.
package struct Quantity: Sendable {
    /// The family of suffixes.
    package enum Format: Sendable, Hashable { case decimal, binary, exponent }

    /// Billionths.
    package private(set) var nano: Int128
    package private(set) var format: Format

    static let nanoMax = Int128(Int64.max) * 1_000_000_000

    package static let zero = Quantity(0)

    package init(_ value: Int64, format: Format = .decimal) {
        nano = Int128(value) * 1_000_000_000
        self.format = format
    }

    package init(milli: Int64, format: Format = .decimal) {
        nano = Int128(milli) * 1_000_000
        self.format = format
    }

    private init(nano: Int128, format: Format) {
        self.nano = min(max(nano, -Self.nanoMax), Self.nanoMax)
        self.format = format
    }

    /// nil when the text is no quantity.
    package init?(_ text: String) {
        do throws(QuantityError) { self = try Quantity(parsing: text) } catch { return nil }
    }

    /// A JSON string or number; nil for everything else.
    package init?(_ json: JSON?) {
        switch json {
        case .string(let text): self.init(text)
        case .int(let value): self.init(value)
        case .double: self.init(json?.text ?? "")
        default: return nil
        }
    }

    /// Rounded up to a whole number.
    package var value: Int64 { Int64(clamping: ceiling(1_000_000_000)) }
    /// Thousandths, rounded up.
    package var milliValue: Int64 { Int64(clamping: ceiling(1_000_000)) }
    /// The nearest double.
    package var double: Double { Double(nano) / 1e9 }
    package var isZero: Bool { nano == 0 }
    package var isNegative: Bool { nano < 0 }
    /// Without anything finer than a thousandth, rounded up (what defaulting does to resource lists).
    package var roundedUpToMilli: Quantity { Quantity(nano: ceiling(1_000_000) * 1_000_000, format: format) }
    package var isWhole: Bool { nano % 1_000_000_000 == 0 }

    private func ceiling(_ unit: Int128) -> Int128 {
        let quotient = nano / unit
        return nano % unit > 0 ? quotient + 1 : quotient
    }

    package static func + (left: Quantity, right: Quantity) -> Quantity {
        Quantity(nano: left.nano + right.nano, format: left.isZero ? right.format : left.format)
    }

    package static func - (left: Quantity, right: Quantity) -> Quantity {
        Quantity(nano: left.nano - right.nano, format: left.isZero ? right.format : left.format)
    }
}

extension Quantity: Hashable, Comparable {
    /// Equal amounts are equal, however they are written.
    package static func == (left: Quantity, right: Quantity) -> Bool { left.nano == right.nano }
    package static func < (left: Quantity, right: Quantity) -> Bool { left.nano < right.nano }
    package func hash(into hasher: inout Hasher) { hasher.combine(nano) }
}

/// Why a text is no quantity, in upstream's words.
package enum QuantityError: String, Error, Sendable {
    case format = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    case suffix = "unable to parse quantity's suffix"
    case numeric = "unable to parse numeric part of quantity"
}

// Reading.
extension Quantity {
    package init(parsing text: String) throws(QuantityError) {
        let bytes = Array(text.utf8)
        var at = 0
        var isNegative = false
        if let first = bytes.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
            isNegative = first == UInt8(ascii: "-")
            at = 1
        }
        var digits: [UInt8] = []
        while at < bytes.count, bytes[at].isDigit { at = Self.take(bytes, at, &digits) }
        var fractionDigits = 0
        if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
            at += 1
            let whole = digits.count
            while at < bytes.count, bytes[at].isDigit { at = Self.take(bytes, at, &digits) }
            fractionDigits = digits.count - whole
        }
        guard !digits.isEmpty else { throw .format }
        let suffix = try Self.suffix(bytes[at...])
        if suffix.format == .binary && fractionDigits > 15 {
            digits.removeLast(fractionDigits - 15)
            fractionDigits = 15
        }
        let magnitude = try Self.scaled(digits, fractionDigits: fractionDigits, by: suffix)
        self.init(nano: isNegative ? -magnitude : magnitude, format: suffix.format)
    }

    private static func take(_ bytes: [UInt8], _ at: Int, _ digits: inout [UInt8]) -> Int {
        digits.append(bytes[at] - UInt8(ascii: "0"))
        return at + 1
    }

    private struct Suffix {
        /// The power of ten, or of 1024 for binary ones.
        var power: Int
        var format: Format
    }

    private static func suffix(_ bytes: ArraySlice<UInt8>) throws(QuantityError) -> Suffix {
        let letters = bytes.prefix { "eEinumkKMGTP".utf8.contains($0) }
        var rest = bytes[letters.endIndex...]
        var isSigned = false
        if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            rest = rest.dropFirst()
            isSigned = true
        }
        guard rest.allSatisfy(\.isDigit) else { throw .format }
        let name = String(decoding: letters, as: UTF8.self)
        let number = String(decoding: bytes[letters.endIndex...], as: UTF8.self)
        if name == "e" || name == "E", !rest.isEmpty || isSigned {
            guard let power = Int(number), abs(power) <= 10_000 else { throw .suffix }
            return Suffix(power: power, format: .exponent)
        }
        guard number.isEmpty else { throw .suffix }
        if let power = decimals.first(where: { $0.name == name })?.power {
            return Suffix(power: power, format: .decimal)
        }
        if let index = binaries.firstIndex(of: name) { return Suffix(power: index + 1, format: .binary) }
        throw .suffix
    }

    private static let decimals: [(name: String, power: Int)] = [
        ("", 0), ("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)
    ]
    private static let binaries = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]

    /// Billionths of `digits` × suffix, rounded up, saturated.
    private static func scaled(
        _ digits: [UInt8], fractionDigits: Int, by suffix: Suffix
    ) throws(QuantityError)
        -> Int128
    {
        let factor: Int128 = suffix.format == .binary ? Int128(1) << (10 * suffix.power) : 1
        var power = 9 - fractionDigits + (suffix.format == .binary ? 0 : suffix.power)
        var value: Int128 = 0
        var hasRest = false
        for (index, digit) in digits.enumerated() {
            // Digits that fall below 1e-9 only decide the rounding; binary suffixes keep them, since they multiply.
            let isBelow = suffix.format != .binary && digits.count - index <= -power
            if isBelow || value > nanoMax {
                hasRest = hasRest || digit != 0
                continue
            }
            value = value * 10 + Int128(digit)
        }
        if value > nanoMax { return nanoMax }
        if suffix.format != .binary && power < 0 { return value + (hasRest ? 1 : 0) }
        guard suffix.format == .binary else { return multiplied(value, power) + (hasRest ? 1 : 0) }
        let (product, over) = value.multipliedReportingOverflow(by: factor)
        if over { return nanoMax }
        if power >= 0 { return multiplied(product, power) }
        var divided = product
        while power < 0 {
            hasRest = hasRest || divided % 10 != 0
            divided /= 10
            power += 1
        }
        return divided + (hasRest ? 1 : 0)
    }

    private static func multiplied(_ value: Int128, _ power: Int) -> Int128 {
        var value = value
        for _ in 0..<min(power, 60) {
            if value == 0 || value > nanoMax { break }
            value *= 10
        }
        return min(value, nanoMax)
    }
}

// Writing.
extension Quantity {
    /// The canonical text.
    package var text: String {
        if nano == 0 { return "0" }
        let isSmall = nano.magnitude < 1024 * 1_000_000_000
        switch format {
        case .binary where isWhole && !isSmall: return binaryText
        case .exponent: return decimalText { $0 == 0 ? "" : "e\($0)" }
        default: return decimalText { power in Self.decimals.first { $0.power == power }?.name ?? "" }
        }
    }

    private var binaryText: String {
        var value = nano / 1_000_000_000
        var power = 0
        while power < Self.binaries.count, value % 1024 == 0 {
            value /= 1024
            power += 1
        }
        return "\(value)\(power == 0 ? "" : Self.binaries[power - 1])"
    }

    private func decimalText(_ suffix: (Int) -> String) -> String {
        var value = nano
        var power = -9
        while power < 18, value % 1000 == 0 {
            value /= 1000
            power += 3
        }
        return "\(value)\(suffix(power))"
    }
}

extension UInt8 {
    var isDigit: Bool { self &- UInt8(ascii: "0") < 10 }
    var isLowercase: Bool { self &- UInt8(ascii: "a") < 26 }
    var isUppercase: Bool { self &- UInt8(ascii: "A") < 26 }
    var isAlphanumeric: Bool { isDigit || isLowercase || isUppercase }
}
