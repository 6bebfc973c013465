// A domain name as labels: compared without case, printed with dots. At most 255 bytes on the wire, 63 a label (RFC 1035 §2.3.4).

/// A domain name; the root is the empty list of labels. Labels are kept as received and compared in lower case.
package struct DNSName: Hashable, Sendable, CustomStringConvertible {
    package static let wireBytesMax = 255
    package static let labelBytesMax = 63

    /// Lower-case labels, first to last, without the root.
    package let labels: [String]

    /// From labels; nil when a label is empty or too long, or the whole too long.
    package init?(labels: [String]) {
        guard labels.allSatisfy({ !$0.isEmpty && $0.utf8.count <= Self.labelBytesMax }) else { return nil }
        guard labels.reduce(1, { $0 + 1 + $1.utf8.count }) <= Self.wireBytesMax else { return nil }
        self.labels = labels.map { $0.lowercased() }
    }

    /// From text such as `web.default.svc.cluster.local` with or without the final dot.
    package init?(_ text: String) {
        let trimmed = text.hasSuffix(".") ? String(text.dropLast()) : text
        let labels =
            trimmed.isEmpty ? [] : trimmed.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        self.init(labels: labels)
    }

    package var description: String { labels.joined(separator: ".") + "." }

    /// The labels before `zone`; nil when the name is not in it.
    package func labels(below zone: DNSName) -> [String]? {
        guard labels.count >= zone.labels.count, Array(labels.suffix(zone.labels.count)) == zone.labels else {
            return nil
        }
        return Array(labels.dropLast(zone.labels.count))
    }
}
