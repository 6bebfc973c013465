// Quantities as thousandths in 64 bits: enough for cgroups, which know nothing finer. Saturates, never overflows.
// The API's own Quantity is exact and larger; a kernel limit needs neither. It must never trap on what a user wrote.
import API

package enum Amount {
    private static let suffixes: [(String, Double)] = [
        ("Ki", 1024), ("Mi", 1_048_576), ("Gi", 1_073_741_824), ("Ti", 1_099_511_627_776),
        ("Pi", 1_125_899_906_842_624),
        ("Ei", 1_152_921_504_606_846_976), ("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("k", 1e3), ("M", 1e6), ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15), ("E", 1e18)
    ]

    /// Thousandths of a quantity given as string or number, rounded up; nil when it is none.
    package static func milli(_ json: JSON) -> Int64? {
        switch json {
        case .int(let value): return saturated(Double(value) * 1000, exact: value.multipliedReportingOverflow(by: 1000))
        case .double(let value): return saturated(value * 1000)
        case .string(let text): return milli(text)
        default: return nil
        }
    }

    package static func milli(_ text: String) -> Int64? {
        for (suffix, factor) in suffixes where text.hasSuffix(suffix) {
            let digits = String(text.dropLast(suffix.count))
            guard !digits.isEmpty else { return nil }
            if factor >= 1, let whole = Int64(digits) {
                let scaled = whole.multipliedReportingOverflow(by: Int64(factor))
                if !scaled.overflow {
                    return saturated(
                        Double(whole) * factor * 1000, exact: scaled.partialValue.multipliedReportingOverflow(by: 1000))
                }
            }
            return Double(digits).map { saturated($0 * factor * 1000) }
        }
        if let whole = Int64(text) {
            return saturated(Double(whole) * 1000, exact: whole.multipliedReportingOverflow(by: 1000))
        }
        return Double(text).map { saturated($0 * 1000) }
    }

    /// Whole units, rounded up.
    package static func units(_ json: JSON?) -> Int64? {
        json.flatMap(milli).map { $0 / 1000 + ($0 % 1000 > 0 ? 1 : 0) }
    }

    private static func saturated(_ value: Double, exact: (partialValue: Int64, overflow: Bool)? = nil) -> Int64 {
        if let exact, !exact.overflow { return exact.partialValue }
        guard value < 9.2e18, value > -9.2e18 else { return value > 0 ? .max : (value < 0 ? .min : 0) }
        return Int64(value.rounded(.up))
    }
}
