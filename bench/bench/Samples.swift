// Latencies of one measurement and what is said of them. Pure.
import Glibc

enum Clock {
    static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// Durations in nanoseconds.
struct Samples {
    private(set) var values: [UInt64] = []
    private var isSorted = false

    mutating func add(_ nanoseconds: UInt64) {
        values.append(nanoseconds)
        isSorted = false
    }

    var count: Int { values.count }

    /// In milliseconds; nil without samples.
    mutating func percentile(_ part: Double) -> Double? {
        if !isSorted { values.sort() }
        isSorted = true
        guard !values.isEmpty else { return nil }
        let at = min(values.count - 1, Int(Double(values.count) * part))
        return Double(values[at]) / 1e6
    }
}

extension Collection where Element == Double {
    var median: Double? {
        guard !isEmpty else { return nil }
        let ordered = sorted()
        let middle = ordered.count / 2
        return ordered.count % 2 == 1 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2
    }
}
