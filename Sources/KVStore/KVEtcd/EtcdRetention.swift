// The history that `--auto-compaction-mode` and `--auto-compaction-retention` ask to keep. Pure.
import KVCore

extension CompactionPolicy {
    /// As etcd reads them: `periodic` with a duration (`90m`, `1h30m`) or hours (`8`), `revision` with a number; 0 keeps
    /// everything. nil: they cannot be read.
    package init?(mode: String, retention: String) {
        switch mode {
        case "revision":
            guard let count = Int64(retention), count >= 0 else { return nil }
            self = count == 0 ? .never : .revisions(count)
        case "periodic":
            let hours = Int64(retention).map { $0.multipliedReportingOverflow(by: 3_600_000) }
            if let hours, hours.overflow { return nil }
            guard let milliseconds = hours?.partialValue ?? Self.milliseconds(retention), milliseconds >= 0 else {
                return nil
            }
            self = milliseconds == 0 ? .never : .age(milliseconds: milliseconds)
        default: return nil
        }
    }

    /// A duration as Go writes it; what is not a whole millisecond counts as one.
    private static func milliseconds(_ text: String) -> Int64? {
        let units = ["ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000]
        var rest = Substring(text)
        var sum = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), let factor = units[String(unit)] else { return nil }
            sum += value * factor
        }
        guard sum < 1e15 else { return nil }
        return Int64(sum.rounded(.up))
    }
}
