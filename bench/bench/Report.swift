// The figures as text for people and as rows for programs. A line of the table: median over the runs and the spread,
// both systems, and their ratio.
import Glibc

struct Report: Sendable {
    var measurements: [Measurement] = []
    var gaps: [Gap] = []
    var figures: [Figure] = []
    /// Those of which anything is known.
    var systems: [System] {
        let known = Set(measurements.map(\.system) + gaps.map(\.system) + figures.map(\.system))
        return System.allCases.filter(known.contains)
    }

    mutating func add(_ news: [Figure], load: String) {
        figures += news.map { figure in
            var figure = figure
            figure.load = load
            return figure
        }
    }

    // MARK: Text

    func table() -> String {
        var lines: [String] = []
        if !measurements.isEmpty { lines += loadLines() }
        for kind in ["kill", "transfer"] where gaps.contains(where: { $0.kind == kind }) { lines += gapLines(kind) }
        if !figures.isEmpty { lines += figureLines() }
        return lines.joined(separator: "\n")
    }

    private func loadLines() -> [String] {
        let head = Report.row([
            ("operation", -24), ("clients", 8), ("system", 7), ("per second (spread)", 24), ("p50 ms", 9),
            ("p99 ms (spread)", 26), ("CPU us/op", 11), ("peak MiB", 9), ("other", 6), ("errors", 7)
        ])
        var lines = ["", head, String(repeating: "-", count: head.count)]
        for key in keys {
            for system in systems {
                let rows = rows(key, system)
                if !rows.isEmpty { lines.append(line(key, system, rows)) }
            }
            if let ratio = ratio(key) { lines.append(ratio) }
        }
        return lines
    }

    private func line(_ key: Key, _ system: System, _ rows: [Measurement]) -> String {
        func text(_ pick: (Measurement) -> Double, _ digits: Int) -> String {
            Report.number(rows.map(pick).median, digits)
        }
        func spread(_ pick: (Measurement) -> Double, _ digits: Int) -> String {
            let values = rows.map(pick)
            return
                "\(text(pick, digits)) (\(Report.number(values.min(), digits))-\(Report.number(values.max(), digits)))"
        }
        return Report.row([
            (key.name, -24), ("\(key.clients)", 8), (system.rawValue, 7), (spread(\.perSecond, 0), 24),
            (text(\.p50, 2), 9), (spread(\.p99, 2), 26), (text(\.cpuMicroseconds, 0), 11), (text(\.peakMiB, 0), 9),
            (text(\.otherCores, 2), 6), ("\(rows.reduce(0) { $0 + $1.errors })", 7)
        ])
    }

    private func ratio(_ key: Key) -> String? {
        let (etcd, tern) = (rows(key, .etcd), rows(key, .tern))
        guard let a = etcd.map(\.perSecond).median, let b = tern.map(\.perSecond).median,
            let c = etcd.map(\.p99).median, let d = tern.map(\.p99).median
        else { return nil }
        let words = "  \(Report.number(b / a, 2))x the throughput, \(Report.number(d / c, 2))x the p99"
        return Report.row([("", -24), ("", 8), ("", 7), (words, -50)])
    }

    private func gapLines(_ kind: String) -> [String] {
        let title =
            kind == "kill"
            ? "SIGKILL of the leader until the next acknowledged write on a survivor, ms"
            : "planned transfer of leadership: longest gap between acknowledged writes, ms"
        var lines = ["", title]
        for system in systems {
            let mine = gaps.filter { $0.kind == kind && $0.system == system }
            let values = mine.map(\.milliseconds).sorted()
            guard !values.isEmpty else { continue }
            let p99 = values[min(values.count - 1, Int(Double(values.count) * 0.99))]
            lines.append(
                "  \(system): \(values.count) times, p50 \(Report.number(values.median, 1)), p99 \(Report.number(p99, 1)), "
                    + "least \(Report.number(values.first, 1)), most \(Report.number(values.last, 1)), "
                    + "failed requests \(mine.reduce(0) { $0 + $1.failed })")
        }
        return lines
    }

    private func figureLines() -> [String] {
        var lines = [""]
        for name in figures.map(\.title).unique {
            let parts = figures.filter { $0.title == name }.map { one in
                "\(one.system) \(one.value.map { "\(Report.number($0, 2)) \(one.unit)" } ?? "-")"
                    + (one.note.isEmpty ? "" : " (\(one.note))")
            }
            lines.append(Report.row([(name, -50)]) + parts.joined(separator: "   "))
        }
        return lines
    }
}

// MARK: Helpers of both

extension Report {
    struct Key: Hashable {
        var name: String
        var clients: Int
    }
    var keys: [Key] { measurements.map { Key(name: $0.name, clients: $0.clients) }.unique }

    func rows(_ key: Key, _ system: System) -> [Measurement] {
        measurements.filter { $0.name == key.name && $0.clients == key.clients && $0.system == system }
    }

    static func number(_ value: Double?, _ digits: Int) -> String {
        guard let value, value.isFinite else { return "-" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let whole = Int64((abs(value) * scale).rounded())
        let sign = value < 0 && whole != 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(whole)" }
        let fraction = String(whole % Int64(scale))
        return "\(sign)\(whole / Int64(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }

    /// Cells of a width; below zero: to the left.
    static func row(_ cells: [(String, Int)]) -> String {
        cells.map { text, width in
            let fill = String(repeating: " ", count: max(0, abs(width) - text.count))
            return width < 0 ? text + fill : fill + text
        }.joined()
    }
}

extension Array where Element: Hashable {
    /// Each once, in order of the first.
    var unique: [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
