// What replicas say in their logs, for tests that wait for a line.
import Logging
import Synchronization

/// Keeps what is logged.
final class LogBook: Sendable {
    private struct Handler: LogHandler {
        var metadata = Logger.Metadata()
        var logLevel = Logger.Level.info
        let book: LogBook
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { book.note("\(event.message) \(event.metadata ?? [:])") }
    }
    private let lines = Mutex<[String]>([])

    var logger: Logger { Logger(label: "test") { _ in Handler(book: self) } }
    private func note(_ line: String) { lines.withLock { $0.append(line) } }
    func lines(with words: String...) -> [String] {
        lines.withLock { $0.filter { line in words.allSatisfy { line.contains($0) } } }
    }
}
