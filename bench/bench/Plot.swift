// Two pictures as SVG: latency against load, and the distribution of gaps after kills. Both axes are logarithmic where
// it helps; nothing is drawn that was not measured.
import Glibc

/// A point of a line.
struct PlotPoint {
    var x: Double
    var y: Double
}

struct PlotLine {
    var label: String
    var color: String
    var isDashed = false
    var points: [PlotPoint]
    /// What the points are medians of.
    var dots: [PlotPoint] = []
}

/// A chart with axes.
struct Plot {
    static let width = 760.0
    static let height = 440.0
    static let margin = (left: 70.0, right: 190.0, top: 40.0, bottom: 50.0)
    var title: String
    var xLabel: String
    var yLabel: String
    var isLogX = true
    var isLogY = true
    var lines: [PlotLine]

    func svg() -> String {
        let points = lines.flatMap { $0.points + $0.dots }
        let x = Axis(points.map(\.x), isLog: isLogX, from: Self.margin.left, to: Self.width - Self.margin.right)
        let y = Axis(points.map(\.y), isLog: isLogY, from: Self.height - Self.margin.bottom, to: Self.margin.top)
        var body = [frame(x, y)]
        for (i, line) in lines.enumerated() { body.append(draw(line, i, x, y)) }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" \
            font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="white"/>
            \(text(Self.margin.left, 22, title, anchor: "start", weight: "bold"))
            \(body.joined(separator: "\n"))
            </svg>

            """
    }

    private func frame(_ x: Axis, _ y: Axis) -> String {
        var parts: [String] = []
        for tick in x.ticks {
            let at = x.place(tick)
            parts.append(stroke(at, Self.margin.top, at, Self.height - Self.margin.bottom, "#dddddd"))
            parts.append(text(at, Self.height - Self.margin.bottom + 18, Axis.label(tick), anchor: "middle"))
        }
        for tick in y.ticks {
            let at = y.place(tick)
            parts.append(stroke(Self.margin.left, at, Self.width - Self.margin.right, at, "#dddddd"))
            parts.append(text(Self.margin.left - 8, at + 4, Axis.label(tick), anchor: "end"))
        }
        let middle = (Self.margin.left + Self.width - Self.margin.right) / 2
        parts.append(text(middle, Self.height - 12, xLabel, anchor: "middle"))
        parts.append(text(8, 36, yLabel, anchor: "start"))
        return parts.joined(separator: "\n")
    }

    private func draw(_ line: PlotLine, _ number: Int, _ x: Axis, _ y: Axis) -> String {
        let places = line.points.map { "\(Axis.round(x.place($0.x))),\(Axis.round(y.place($0.y)))" }
        let dash = line.isDashed ? " stroke-dasharray=\"6 4\"" : ""
        let left = Self.width - Self.margin.right + 12
        let top = Self.margin.top + 12 + Double(number) * 20
        return """
            <polyline fill="none" stroke="\(line.color)" stroke-width="2"\(dash) points="\(places.joined(separator: " "))"/>
            <line x1="\(left)" y1="\(top)" x2="\(left + 26)" y2="\(top)" stroke="\(line.color)" stroke-width="2"\(dash)/>
            \(text(left + 32, top + 4, line.label, anchor: "start"))
            \(line.dots.map { dot($0, line, x, y) }.joined(separator: "\n"))
            """
    }

    private func dot(_ point: PlotPoint, _ line: PlotLine, _ x: Axis, _ y: Axis) -> String {
        let fill = line.isDashed ? "fill=\"none\" stroke=\"\(line.color)\"" : "fill=\"\(line.color)\""
        let place = "cx=\"\(Axis.round(x.place(point.x)))\" cy=\"\(Axis.round(y.place(point.y)))\""
        return "<circle \(place) r=\"2\" \(fill) opacity=\"0.5\"/>"
    }

    private func text(_ x: Double, _ y: Double, _ words: String, anchor: String, weight: String = "normal") -> String {
        "<text x=\"\(Axis.round(x))\" y=\"\(Axis.round(y))\" text-anchor=\"\(anchor)\" font-weight=\"\(weight)\">\(words)</text>"
    }

    private func stroke(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ color: String) -> String {
        "<line x1=\"\(Axis.round(x1))\" y1=\"\(Axis.round(y1))\" x2=\"\(Axis.round(x2))\" y2=\"\(Axis.round(y2))\" stroke=\"\(color)\"/>"
    }
}

/// From values to places.
struct Axis {
    private let isLog: Bool
    private let low: Double
    private let high: Double
    private let from: Double
    private let to: Double

    init(_ values: [Double], isLog: Bool, from: Double, to: Double) {
        self.isLog = isLog
        self.from = from
        self.to = to
        let least = values.filter { !isLog || $0 > 0 }.min() ?? 1
        let most = values.max() ?? 10
        low = isLog ? pow(10, floor(log10(least) * 2) / 2) : 0
        high = isLog ? max(pow(10, ceil(log10(most) * 2) / 2), low * 10) : max(most, 1e-9)
    }

    func place(_ value: Double) -> Double {
        let part =
            isLog ? (log10(max(value, low)) - log10(low)) / (log10(high) - log10(low)) : (value - low) / (high - low)
        return from + (to - from) * part
    }

    var ticks: [Double] {
        guard isLog else { return (0...5).map { low + (high - low) * Double($0) / 5 } }
        let decades = (Int(floor(log10(low)))...Int(ceil(log10(high)))).flatMap { e in
            [1.0, 3.0].map { $0 * pow(10, Double(e)) }
        }
        return decades.filter { $0 >= low * 0.999 && $0 <= high * 1.001 }
    }

    static func label(_ value: Double) -> String {
        if value >= 10 || value == value.rounded() { return "\(Int(value.rounded()))" }
        return Report.number(value, value >= 1 ? 1 : value >= 0.1 ? 2 : 3)
    }

    static func round(_ value: Double) -> String { Report.number(value, 1) }
}

extension Report {
    private static let colors: [System: String] = [.etcd: "#1f77b4", .tern: "#d62728"]

    /// Latency of puts against throughput, a point a number of clients.
    var latencyPlot: Plot? {
        let puts = keys.filter { $0.name == "put" }.sorted { $0.clients < $1.clients }
        guard puts.count > 1 else { return nil }
        var lines: [PlotLine] = []
        for system in systems {
            for (label, pick) in [("p50", \Measurement.p50), ("p99", \Measurement.p99)] {
                let points = puts.compactMap { key -> PlotPoint? in
                    let rows = rows(key, system)
                    guard let x = rows.map(\.perSecond).median, let y = rows.map({ $0[keyPath: pick] }).median else {
                        return nil
                    }
                    return PlotPoint(x: x, y: y)
                }
                lines.append(
                    PlotLine(
                        label: "\(system) \(label)", color: Self.colors[system] ?? "black", isDashed: label == "p99",
                        points: points,
                        dots: puts.flatMap { rows($0, system) }.map {
                            PlotPoint(x: $0.perSecond, y: $0[keyPath: pick])
                        }))
            }
        }
        let clients = puts.map { "\($0.clients)" }.joined(separator: ", ")
        return Plot(
            title:
                "Latency against load: linearizable puts of 256 bytes at \(clients) clients; medians, each run a dot",
            xLabel: "puts a second", yLabel: "ms", lines: lines)
    }

    var failoverPlot: Plot? {
        let kills = gaps.filter { $0.kind == "kill" }
        guard !kills.isEmpty else { return nil }
        let lines = systems.map { system in
            let values = kills.filter { $0.system == system }.map(\.milliseconds).sorted()
            return PlotLine(
                label: "\(system) (\(values.count) kills)", color: Self.colors[system] ?? "black",
                points: values.enumerated().map {
                    PlotPoint(x: $0.element, y: Double($0.offset + 1) / Double(values.count) * 100)
                })
        }
        return Plot(
            title: "Leader killed: time until the next acknowledged write", xLabel: "ms", yLabel: "% of kills",
            isLogY: false, lines: lines.filter { !$0.points.isEmpty })
    }
}
