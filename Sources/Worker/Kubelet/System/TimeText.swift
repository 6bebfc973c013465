// Times as nanoseconds since 1970, and their textual form (RFC 3339, as metadata and status carry it).
// Pure: the clock itself is read in the shell only (Files+Clock.swift).

/// Nanoseconds since 1970.
package typealias Nanoseconds = Int64

extension Nanoseconds {
    package static let second: Nanoseconds = 1_000_000_000
    package static func seconds(_ count: Int64) -> Nanoseconds {
        count.multipliedReportingOverflow(by: second).partialValue
    }
}

package enum TimeText {
    /// `2026-11-22T14:00:00Z`.
    package static func text(_ time: Nanoseconds) -> String {
        let (date, clock) = parts(time)
        return "\(date)T\(clock)Z"
    }

    /// `2026-11-22T14:00:00.123456Z`, as leases and events carry it.
    package static func microText(_ time: Nanoseconds) -> String {
        let (date, clock) = parts(time)
        let micros = (time % .second + .second) % .second / 1000
        return "\(date)T\(clock).\(padded(micros, 6))Z"
    }

    /// Reads RFC 3339 with `Z` or an offset, with or without a fraction; nil for anything else.
    package static func parse(_ text: String) -> Nanoseconds? {
        let b = Array(text.utf8)
        func number(_ from: Int, _ count: Int) -> Int64? {
            guard b.count >= from + count else { return nil }
            var value: Int64 = 0
            for i in from..<from + count {
                guard b[i] >= 48, b[i] <= 57 else { return nil }
                value = value * 10 + Int64(b[i] - 48)
            }
            return value
        }
        guard b.count >= 20, let year = number(0, 4), let month = number(5, 2), let day = number(8, 2),
            let hour = number(11, 2), let minute = number(14, 2), let second = number(17, 2),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
        else { return nil }
        var i = 19
        var fraction: Int64 = 0
        if b[i] == UInt8(ascii: ".") {
            var scale = Nanoseconds.second / 10
            i += 1
            while i < b.count, b[i] >= 48, b[i] <= 57 {
                fraction += Int64(b[i] - 48) * scale
                scale /= 10
                i += 1
            }
        }
        guard i < b.count else { return nil }
        var offset: Int64 = 0
        if b[i] != UInt8(ascii: "Z") && b[i] != UInt8(ascii: "z") {
            guard let h = number(i + 1, 2), let m = number(i + 4, 2) else { return nil }
            offset = (h * 3600 + m * 60) * (b[i] == UInt8(ascii: "-") ? -1 : 1)
        }
        let days = daysFromCivil(year, month, day)
        return .seconds(days * 86400 + hour * 3600 + minute * 60 + second - offset) + fraction
    }

    private static func parts(_ time: Nanoseconds) -> (date: String, clock: String) {
        let seconds = floorDiv(time, .second)
        let days = floorDiv(seconds, 86400)
        let rest = seconds - days * 86400
        let (year, month, day) = civil(days)
        return (
            "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))",
            "\(padded(rest / 3600, 2)):\(padded(rest / 60 % 60, 2)):\(padded(rest % 60, 2))"
        )
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func floorDiv(_ a: Int64, _ b: Int64) -> Int64 { a >= 0 ? a / b : -((-a + b - 1) / b) }

    /// Days since 1970-01-01 of a date of the Gregorian calendar.
    private static func daysFromCivil(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = floorDiv(y, 400)
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719468
    }

    private static func civil(_ days: Int64) -> (Int64, Int64, Int64) {
        let z = days + 719468
        let era = floorDiv(z, 146097)
        let dayOfEra = z - era * 146097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let m = (5 * dayOfYear + 2) / 153
        let month = m + (m < 10 ? 3 : -9)
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * m + 2) / 5 + 1)
    }
}
