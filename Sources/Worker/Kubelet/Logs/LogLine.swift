// The CRI log format: `2026-11-22T14:00:00.123456789Z stdout F text`, P marking a part of a longer line.

/// One line of a container's log file.
package struct LogLine: Sendable, Equatable {
    package var time: String
    package var stream: String
    package var isPartial: Bool
    /// With its newline unless it is a part.
    package var bytes: [UInt8]

    /// nil for bytes that are no such line.
    package init?(_ raw: ArraySlice<UInt8>) {
        let space = UInt8(ascii: " ")
        let parts = raw.split(separator: space, maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count >= 3 else { return nil }
        time = String(decoding: parts[0], as: UTF8.self)
        stream = String(decoding: parts[1], as: UTF8.self)
        guard stream == "stdout" || stream == "stderr" else { return nil }
        isPartial = parts[2].first == UInt8(ascii: "P")
        bytes = parts.count > 3 ? Array(parts[3]) : []
        if !isPartial { bytes.append(UInt8(ascii: "\n")) }
    }
}
