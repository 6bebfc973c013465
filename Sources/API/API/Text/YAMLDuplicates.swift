// Doubled keys of a YAML mapping, tolerated: the last one counts and each is named. The parser refuses a mapping with
// equal keys, so the first of a pair is given a name of its own, the text is read again, and what has such a name is
// left out of the tree. Pure; the number of repetitions is bounded.
import Yams

struct YAMLDuplicates {
    /// More doubled keys in one text are refused.
    static let keysMax = 32
    /// Begins the names that stand for doubled keys; of the private use area.
    private static let mark: Unicode.Scalar = "\u{E0FF}"

    private(set) var names: [String] = []

    /// The text with the doubled key at `mark` renamed; nil when it is not written plainly there.
    mutating func renamed(_ key: String, at mark: Mark, in text: String) -> String? {
        guard names.count < Self.keysMax, let start = Self.index(of: mark, in: text.unicodeScalars) else { return nil }
        let rest = text.unicodeScalars[start...]
        let shapes = [key, "\"\(key)\"", "'\(key)'"]
        guard let shape = shapes.first(where: { rest.starts(with: $0.unicodeScalars) }) else { return nil }
        let end = text.unicodeScalars.index(start, offsetBy: shape.unicodeScalars.count)
        var result = String(text.unicodeScalars[..<start])
        result.unicodeScalars.append(Self.mark)
        result += "\(names.count)"
        result.unicodeScalars.append(contentsOf: text.unicodeScalars[end...])
        names.append(key)
        return result
    }

    /// The key that a name stands for; nil for names of the text itself.
    func original(_ name: String) -> String? {
        guard name.unicodeScalars.first == Self.mark,
            let number = Int(name.unicodeScalars.dropFirst().map(String.init).joined()),
            names.indices.contains(number)
        else { return nil }
        return names[number]
    }

    private static func index(of mark: Mark, in text: String.UnicodeScalarView) -> String.Index? {
        var line = 1
        var column = 1
        for index in text.indices {
            if line == mark.line && column == mark.column { return index }
            if text[index] == "\n" {
                line += 1
                column = 1
            } else {
                column += 1
            }
            if line > mark.line { return nil }
        }
        return nil
    }
}
