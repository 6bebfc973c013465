// The figures as rows of tab-separated files, written and read back: the rows of several sessions make one picture.
// Lines that cannot be read are an error, never left out.
import Glibc

extension Report {
    private static let measurementHead =
        "run\tsystem\toperation\tclients\tper_second\tp50_ms\tp99_ms\tlongest_ms\tcpu_us\tpeak_mib\terrors\tother_cores\tload_cores"
    private static let gapHead = "system\tkind\tgap_ms\tfailed"
    private static let figureHead = "load\tsystem\tfigure\tvalue\tunit\tnote"

    var measurementRows: String {
        let rows = measurements.map { one in
            let numbers = [
                one.perSecond, one.p50, one.p99, one.longest, one.cpuMicroseconds, one.peakMiB, Double(one.errors),
                one.otherCores, one.ownCores
            ].map { Report.number($0, 3) }
            return "\(one.run)\t\(one.system)\t\(one.name)\t\(one.clients)\t\(numbers.joined(separator: "\t"))"
        }
        return Report.text(Self.measurementHead, rows)
    }

    var gapRows: String {
        Report.text(
            Self.gapHead,
            gaps.map { "\($0.system)\t\($0.kind)\t\(Report.number($0.milliseconds, 2))\t\($0.failed)" })
    }

    var figureRows: String {
        Report.text(
            Self.figureHead,
            figures.map {
                "\($0.load)\t\($0.system)\t\($0.name)\t\(Report.number($0.value, 3))\t\($0.unit)\t\($0.note)"
            })
    }

    private static func text(_ head: String, _ rows: [String]) -> String {
        ([head] + rows).map { $0 + "\n" }.joined()
    }

    /// Everything of this one, then everything of the other, whose runs are numbered on.
    func adding(_ other: Report) -> Report {
        let runs = (measurements.map(\.run).max() ?? -1) + 1
        var sum = self
        sum.measurements += other.measurements.map { one in
            var one = one
            one.run += runs
            return one
        }
        sum.gaps += other.gaps
        let news = Set(other.figures.map(\.title))
        sum.figures = figures.filter { !news.contains($0.title) } + other.figures
        return sum
    }
}

// MARK: Reading

extension Report {
    /// What a folder holds; a file that is not there holds nothing.
    init(rowsIn folder: String) throws {
        self.init()
        measurements = try Self.rows("\(folder)/load.tsv", Self.measurementHead).map(Self.measurement)
        for kind in ["kill", "transfer"] {
            gaps += try Self.rows("\(folder)/\(kind).tsv", Self.gapHead).map(Self.gap)
        }
        figures = try Self.rows("\(folder)/figures.tsv", Self.figureHead).map(Self.figure)
    }

    /// A line that was cut, and where it stands.
    private struct Row {
        var place: String
        var cells: [String]

        func text(_ at: Int) throws -> String {
            guard cells.indices.contains(at) else { throw BenchError.failed("\(place): \(cells.count) cells") }
            return cells[at]
        }

        func number(_ at: Int) throws -> Double {
            let cell = try text(at)
            if cell == "-" { return .nan }
            guard let number = Double(cell) else { throw BenchError.failed("\(place): \(cell) is no number") }
            return number
        }

        func integer(_ at: Int) throws -> Int {
            guard let number = Int(exactly: try number(at)) else { throw BenchError.failed("\(place): \(cells[at])") }
            return number
        }

        func system(_ at: Int) throws -> System {
            guard let system = System(rawValue: try text(at)) else {
                throw BenchError.failed("\(place): which system?")
            }
            return system
        }
    }

    private static func rows(_ path: String, _ head: String) throws -> [Row] {
        guard access(path, F_OK) == 0 else { return [] }
        guard let text = Proc.text(path) else { throw BenchError.failed("\(path) cannot be read") }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.first == head else { throw BenchError.failed("\(path): its head is not \(head)") }
        return lines.enumerated().dropFirst().filter { !$0.element.isEmpty }.map { number, line in
            let cells = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            return Row(place: "\(path):\(number + 1)", cells: cells)
        }
    }

    private static func measurement(_ row: Row) throws -> Measurement {
        Measurement(
            run: try row.integer(0), system: try row.system(1), name: try row.text(2), clients: try row.integer(3),
            perSecond: try row.number(4), p50: try row.number(5), p99: try row.number(6), longest: try row.number(7),
            cpuMicroseconds: try row.number(8), peakMiB: try row.number(9), errors: try row.integer(10),
            firstError: "", otherCores: try row.number(11), ownCores: try row.number(12))
    }

    private static func gap(_ row: Row) throws -> Gap {
        Gap(
            system: try row.system(0), kind: try row.text(1), milliseconds: try row.number(2),
            failed: try row.integer(3))
    }

    private static func figure(_ row: Row) throws -> Figure {
        let value = try row.number(3)
        return Figure(
            load: try row.text(0), system: try row.system(1), name: try row.text(2), value: value.isNaN ? nil : value,
            unit: try row.text(4), note: row.cells.count > 5 ? row.cells[5] : "")
    }
}
