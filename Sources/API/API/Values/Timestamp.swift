// Times as objects carry them: RFC 3339 in UTC, with seconds or (leases, events) microseconds. Values are seconds since
// 1970. Only `nowSeconds` reads a clock; cores get the time as an argument. Hostile text never traps.
import Glibc

/// Conversion between seconds since 1970 and the text of an object's time fields.
package enum Timestamp {
    /// `2020-01-01T00:00:00Z`.
    package static func text(_ seconds: Double) -> String {
        let (whole, _) = split(seconds)
        return date(whole) + "Z"
    }

    /// `2020-01-01T00:00:00.000000Z`.
    package static func microText(_ seconds: Double) -> String {
        let (whole, micro) = split(seconds)
        return "\(date(whole)).\(padded(micro, 6))Z"
    }

    /// Seconds since 1970; nil when the text is no RFC 3339 time.
    package static func parse(_ text: String) -> Double? {
        guard let parts = parts(text) else { return nil }
        return Double(parts.seconds) + Double(parts.nanoseconds) / 1e9
    }

    package static func parseSeconds(_ text: String) -> Double? { parse(text) }

    /// The machine's wall clock in seconds since 1970, for shells only.
    package static func nowSeconds() -> Double {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }

    /// Exact: whole seconds since 1970 and nanoseconds.
    package static func parts(_ text: String) -> (seconds: Int64, nanoseconds: Int64)? {
        let bytes = Array(text.utf8)
        guard (20...40).contains(bytes.count), bytes[4] == 45, bytes[7] == 45, bytes[10] | 0x20 == 0x74,
            bytes[13] == 58, bytes[16] == 58,
            let year = number(bytes, 0..<4), let month = number(bytes, 5..<7), let day = number(bytes, 8..<10),
            let hour = number(bytes, 11..<13), let minute = number(bytes, 14..<16), let second = number(bytes, 17..<19),
            (1...12).contains(month), (1...daysOfMonth(year, month)).contains(day), hour < 24, minute < 60, second < 60
        else { return nil }
        var at = 19
        guard let nanoseconds = fraction(bytes, &at), let offset = zone(bytes, at) else { return nil }
        return (days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset, nanoseconds)
    }

    /// Text of whole seconds since 1970 with as many fractional digits as asked for (0 or 6).
    package static func text(seconds: Int64, microseconds: Int64?) -> String {
        microseconds.map { "\(date(seconds)).\(padded($0, 6))Z" } ?? date(seconds) + "Z"
    }

    private static func split(_ seconds: Double) -> (Int64, Int64) {
        guard seconds.isFinite, abs(seconds) < 2e11 else { return (0, 0) }
        let whole = seconds.rounded(.down)
        return (Int64(whole), min(999_999, Int64((seconds - whole) * 1e6)))
    }

    private static func number(_ bytes: [UInt8], _ range: Range<Int>) -> Int64? {
        guard range.upperBound <= bytes.count else { return nil }
        var value: Int64 = 0
        for byte in bytes[range] {
            guard byte.isDigit else { return nil }
            value = value * 10 + Int64(byte - 48)
        }
        return value
    }

    private static func fraction(_ bytes: [UInt8], _ at: inout Int) -> Int64? {
        guard at < bytes.count, bytes[at] == 46 else { return 0 }
        at += 1
        var value: Int64 = 0
        var scale: Int64 = 100_000_000
        let start = at
        while at < bytes.count, bytes[at].isDigit {
            value += Int64(bytes[at] - 48) * scale
            scale /= 10
            at += 1
        }
        return at > start ? value : nil
    }

    /// Seconds east of Greenwich.
    private static func zone(_ bytes: [UInt8], _ at: Int) -> Int64? {
        guard at < bytes.count else { return nil }
        if bytes[at] | 0x20 == 0x7A { return at == bytes.count - 1 ? 0 : nil }
        guard bytes[at] == 43 || bytes[at] == 45, bytes.count == at + 6, bytes[at + 3] == 58,
            let hours = number(bytes, at + 1..<at + 3),
            let minutes = number(bytes, at + 4..<at + 6), hours < 24, minutes < 60
        else { return nil }
        return (hours * 3600 + minutes * 60) * (bytes[at] == 43 ? 1 : -1)
    }
}

// The calendar (proleptic Gregorian).
extension Timestamp {
    private static func daysOfMonth(_ year: Int64, _ month: Int64) -> Int64 {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return switch month {
        case 2: isLeap ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days from 1970-01-01; years begin in March inside.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }

    private static func date(_ seconds: Int64) -> String {
        let days = (seconds >= 0 ? seconds : seconds - 86_399) / 86_400
        let rest = seconds - days * 86_400
        let (year, month, day) = civil(days)
        let time = "\(padded(rest / 3600, 2)):\(padded(rest / 60 % 60, 2)):\(padded(rest % 60, 2))"
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T\(time)"
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }
}

// Ages.
extension Timestamp {
    /// Upstream's short form: `5s`, `3m20s`, `5h`, `2d3h`, `4y20d`.
    package static func humanDuration(_ seconds: Double) -> String {
        guard seconds.isFinite, abs(seconds) < 1e14, seconds >= -1 else { return "<invalid>" }
        let total = max(0, Int(seconds))
        let (minutes, hours, days) = (total / 60, total / 3600, total / 86400)
        switch total {
        case ..<120: return "\(total)s"
        case ..<600: return pair(minutes, "m", total % 60, "s")
        case ..<10_800: return "\(minutes)m"
        case ..<28_800: return pair(hours, "h", minutes % 60, "m")
        case ..<172_800: return "\(hours)h"
        case ..<691_200: return pair(days, "d", hours % 24, "h")
        case ..<63_072_000: return "\(days)d"
        case ..<252_288_000: return pair(days / 365, "y", days % 365, "d")
        default: return "\(days / 365)y"
        }
    }

    private static func pair(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
        small == 0 ? "\(large)\(largeUnit)" : "\(large)\(largeUnit)\(small)\(smallUnit)"
    }

    /// Age of an RFC 3339 text; `<unknown>` when it is absent or no time.
    package static func age(_ text: String?, now: Double) -> String {
        guard let text, let then = parse(text) else { return "<unknown>" }
        return humanDuration(now - then)
    }
}
