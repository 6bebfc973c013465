// Control loops count time in whole milliseconds since 1970; this joins that to the texts of objects.

extension Timestamp {
    /// `2006-01-02T15:04:05Z`, from milliseconds.
    package static func seconds(_ milliseconds: Int64) -> String {
        text((Double(milliseconds) / 1000).rounded(.down))
    }

    /// `2006-01-02T15:04:05.000000Z`, from milliseconds.
    package static func microseconds(_ milliseconds: Int64) -> String { microText(Double(milliseconds) / 1000) }

    /// Milliseconds since 1970; nil when the text is no time.
    package static func milliseconds(_ text: String) -> Int64? {
        guard let seconds = parse(text), abs(seconds) < 1e14 else { return nil }
        return Int64((seconds * 1000).rounded())
    }
}
