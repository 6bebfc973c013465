// Counters, gauges and histograms with label values, rendered as Prometheus text 0.0.4. Passed down by initialisers. An
// update takes one short lock of its own family. It must never grow without bound: each family has a limit of series.
import Synchronization

/// All metrics of a process.
package final class MetricsRegistry: Sendable {
    private let families = Mutex<[MetricFamily]>([])
    private let collectors = Mutex<[@Sendable () -> Void]>([])

    package init() {}

    /// A counter (name ends in `_total` by convention). The same name returns the same family.
    package func counter(_ name: String, help: String, labels: [String] = []) -> MetricFamily {
        family(name, help, labels, .counter)
    }

    package func gauge(_ name: String, help: String, labels: [String] = []) -> MetricFamily {
        family(name, help, labels, .gauge)
    }

    /// `buckets` are upper bounds in ascending order; +Inf is added.
    package func histogram(_ name: String, help: String, labels: [String] = [], buckets: [Double]) -> MetricFamily {
        family(name, help, labels, .histogram(buckets))
    }

    /// Called before each rendering, to set gauges.
    package func onCollect(_ f: @escaping @Sendable () -> Void) { collectors.withLock { $0.append(f) } }

    private func family(_ name: String, _ help: String, _ labels: [String], _ kind: MetricFamily.Kind) -> MetricFamily {
        families.withLock { families in
            if let known = families.first(where: { $0.name == name }) { return known }
            let made = MetricFamily(name: name, help: help, labels: labels, kind: kind)
            families.append(made)
            return made
        }
    }

    /// The whole registry, families in order of name (`text/plain; version=0.0.4`).
    package func render() -> String {
        for collect in collectors.withLock({ $0 }) { collect() }
        var text = ""
        for family in families.withLock({ $0 }).sorted(by: { $0.name < $1.name }) { family.render(into: &text) }
        return text
    }

    /// The content type of `render`.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"
}

/// One metric name with all its series.
package final class MetricFamily: Sendable {
    enum Kind: Sendable { case counter, gauge, histogram([Double]) }

    private struct Series {
        var value = 0.0
        var sum = 0.0
        var count: UInt64 = 0
        var buckets: [UInt64] = []
    }

    /// Series of one family; further label values are dropped.
    package static let seriesMax = 10_000

    package let name: String
    private let help: String
    private let labels: [String]
    private let kind: Kind
    private let series = Mutex<[[String]: Series]>([:])

    init(name: String, help: String, labels: [String], kind: Kind) {
        self.name = name
        self.help = help
        self.labels = labels
        self.kind = kind
    }

    /// Adds to a counter or gauge. `values` are the label values in the order of the labels.
    package func add(_ amount: Double = 1, _ values: [String] = []) { update(values) { $0.value += amount } }

    /// Sets a gauge, or a counter that is kept elsewhere.
    package func set(_ value: Double, _ values: [String] = []) { update(values) { $0.value = value } }

    /// Records one observation of a histogram.
    package func observe(_ value: Double, _ values: [String] = []) {
        guard case .histogram(let bounds) = kind else { return }
        update(values) { series in
            if series.buckets.isEmpty { series.buckets = [UInt64](repeating: 0, count: bounds.count) }
            series.sum += value
            series.count += 1
            if let index = bounds.firstIndex(where: { value <= $0 }) { series.buckets[index] += 1 }
        }
    }

    /// Sets a histogram that is kept elsewhere; `buckets` as many as the family has, each counted alone.
    package func set(buckets: [UInt64], sum: Double, count: UInt64, _ values: [String] = []) {
        guard case .histogram(let bounds) = kind, bounds.count == buckets.count else { return }
        update(values) { $0 = Series(sum: sum, count: count, buckets: buckets) }
    }

    /// Removes one series, or all of them.
    package func remove(_ values: [String]? = nil) {
        series.withLock { series in
            if let values { series[values] = nil } else { series = [:] }
        }
    }

    /// The value of a counter or gauge, the count of a histogram; 0 when there is none.
    package func value(_ values: [String] = []) -> Double {
        let one = series.withLock { $0[values] }
        if case .histogram = kind { return Double(one?.count ?? 0) }
        return one?.value ?? 0
    }

    private func update(_ values: [String], _ change: (inout Series) -> Void) {
        guard values.count == labels.count else { return }
        series.withLock { series in
            if series[values] == nil && series.count >= Self.seriesMax { return }
            change(&series[values, default: Series()])
        }
    }

    func render(into text: inout String) {
        let all = series.withLock { $0 }
        guard !all.isEmpty else { return }
        text += "# HELP \(name) \(escaped(help, quotes: false))\n# TYPE \(name) \(typeName)\n"
        let sorted = all.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for (values, one) in sorted {
            if case .histogram(let bounds) = kind {
                renderHistogram(bounds, values, one, into: &text)
            } else {
                text += "\(name)\(labelText(values)) \(number(one.value))\n"
            }
        }
    }

    private var typeName: String {
        switch kind {
        case .counter: "counter"
        case .gauge: "gauge"
        case .histogram: "histogram"
        }
    }

    private func renderHistogram(_ bounds: [Double], _ values: [String], _ one: Series, into text: inout String) {
        var total: UInt64 = 0
        for (bound, count) in zip(bounds, one.buckets) {
            total += count
            text += "\(name)_bucket\(labelText(values, le: number(bound))) \(total)\n"
        }
        text += "\(name)_bucket\(labelText(values, le: "+Inf")) \(one.count)\n"
        text += "\(name)_sum\(labelText(values)) \(number(one.sum))\n\(name)_count\(labelText(values)) \(one.count)\n"
    }

    private func labelText(_ values: [String], le: String? = nil) -> String {
        var parts = zip(labels, values).map { "\($0)=\"\(escaped($1, quotes: true))\"" }
        if let le { parts.append("le=\"\(le)\"") }
        return parts.isEmpty ? "" : "{\(parts.joined(separator: ","))}"
    }
}

private func number(_ value: Double) -> String {
    if value == value.rounded() && abs(value) < 1e15 { return String(Int64(value)) }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    return value.isNaN ? "NaN" : "\(value)"
}

private func escaped(_ text: String, quotes: Bool) -> String {
    var result = ""
    for character in text {
        switch character {
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\"" where quotes: result += "\\\""
        default: result.append(character)
        }
    }
    return result
}
