// One exchange with a real API server, recorded and normalised: what was asked and what came back. `<uid>`, `<time>`,
// `<rv>`, `<generated>`, `<token>` stand for values that differ from server to server.
import API
import Foundation

struct RecordedAnswer: Sendable, CustomStringConvertible {
    var id: Int
    var area: String
    var title: String
    var tree: JSON
    var description: String { "#\(id) \(area): \(title)" }

    var method: String { tree["method"]?.string ?? "" }
    var path: String { tree["path"]?.string ?? "" }
    var contentType: String? { tree["contentType"]?.string }
    var accept: String? { tree["accept"].map { $0.string } ?? "application/json" }
    var headers: JSONObject { tree["headers"]?.object ?? [:] }
    var code: Int { Int(tree["code"]?.int ?? 0) }
    var answer: JSON { tree["answer"] ?? .null }
    var isStream: Bool { answer["<stream>"] != nil }

    func answerHeader(_ name: String) -> String? {
        if let value = tree["answerHeaders", name] { return value.string }
        return name == "Content-Type" ? "application/json" : nil
    }

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Golden/api")

    static func all() throws -> [RecordedAnswer] {
        let text = try String(contentsOf: folder.appendingPathComponent("answers.jsonl"), encoding: .utf8)
        return try text.split(separator: "\n").map { line in
            let tree = try JSON.parse(String(line))
            return RecordedAnswer(
                id: Int(tree["id"]?.int ?? 0), area: tree["area"]?.string ?? "", title: tree["case"]?.string ?? "",
                tree: tree)
        }
    }

    /// Exchanges that differ on purpose or for now: number → why.
    static func differences() throws -> [Int: String] {
        let text = try String(contentsOf: folder.appendingPathComponent("differences.tsv"), encoding: .utf8)
        var found: [Int: String] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let columns = line.split(separator: "\t", maxSplits: 1).map(String.init)
            if let id = columns.first.flatMap({ Int($0) }) { found[id] = columns.last ?? "" }
        }
        return found
    }
}

/// Compares a recorded tree with a real one.
enum AnswerMatch {
    /// Where they differ; empty: alike.
    static func differences(_ wanted: JSON, _ found: JSON, at path: String = "", withManagers: Bool) -> [String] {
        switch (wanted, found) {
        case (.object(let left), _) where left["<truncated>"] != nil: return []
        case (.object(let left), .object(let right)):
            return objects(left, right, path, withManagers)
        case (.array(let left), .array(let right)):
            var lines =
                left.count == right.count ? [] : ["\(path): \(left.count) elements wanted, \(right.count) found"]
            for (i, pair) in zip(left, right).enumerated() {
                lines += differences(pair.0, pair.1, at: "\(path)[\(i)]", withManagers: withManagers)
            }
            return lines
        case (.string(let text), _) where isPattern(text):
            let shown = found.string ?? found.text
            return matches(text, shown) ? [] : ["\(path): wanted \(text) found \(shown)"]
        default:
            return wanted == found ? [] : ["\(path): wanted \(shortened(wanted)) found \(shortened(found))"]
        }
    }

    private static func objects(
        _ wanted: JSONObject, _ found: JSONObject, _ path: String, _ withManagers: Bool
    ) -> [String] {
        var lines: [String] = []
        func isIgnored(_ key: String) -> Bool { key == "managedFields" && !withManagers }
        for member in wanted where !isIgnored(member.key) {
            let here = "\(path).\(member.key)"
            guard let value = found[member.key] else {
                lines.append("\(here): missing, wanted \(shortened(member.value))")
                continue
            }
            lines += differences(member.value, value, at: here, withManagers: withManagers)
        }
        for member in found where wanted[member.key] == nil && !isIgnored(member.key) {
            lines.append("\(path).\(member.key): extra \(shortened(member.value))")
        }
        return lines
    }

    private static func shortened(_ value: JSON) -> String {
        value.text.count > 300 ? "\(value.text.prefix(300))…" : value.text
    }

    private static let marks = ["<uid>", "<time>", "<rv>", "<generated>", "<token>", "<age>", "<certificate>"]
    static func isPattern(_ text: String) -> Bool { marks.contains { text.contains($0) } }

    /// Whether anything in the tree was left open by the recording.
    static func hasPattern(_ tree: JSON) -> Bool {
        switch tree {
        case .string(let text): isPattern(text)
        case .array(let values): values.contains(where: hasPattern)
        case .object(let object): object.contains { hasPattern($0.value) }
        default: false
        }
    }

    /// Each mark stands for any text.
    private static func matches(_ pattern: String, _ text: String) -> Bool {
        var parts = [pattern]
        for mark in marks { parts = parts.flatMap { $0.components(separatedBy: mark) } }
        guard let first = parts.first, let last = parts.last, parts.count > 1 else { return pattern == text }
        guard text.hasPrefix(first), text.hasSuffix(last), text.count >= first.count + last.count else { return false }
        var rest = text.dropFirst(first.count).dropLast(last.count)
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let range = rest.range(of: part) else { return false }
            rest = rest[range.upperBound...]
        }
        return true
    }
}
