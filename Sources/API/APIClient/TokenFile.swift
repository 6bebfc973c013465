// A bearer token in a file that is rotated while the process runs (projected service-account tokens).
import NetPKI
import Synchronization

/// Reads the file again when it was not looked at for a while.
final class TokenFile: Sendable {
    static let freshFor: Duration = .seconds(10)

    private let path: String
    private let cached = Mutex<(token: String, at: ContinuousClock.Instant)?>(nil)

    init(_ path: String) { self.path = path }

    /// The token; the last good one while the file cannot be read; nil when it never could.
    var token: String? {
        let now = ContinuousClock.now
        return cached.withLock { cached in
            if let found = cached, now - found.at < Self.freshFor { return found.token }
            do {
                let text = try PEMFile.read(path)
                let token = String(decoding: text.utf8.filter { $0 > 0x20 }, as: UTF8.self)
                cached = (token, now)
                return token
            } catch {
                return cached?.token
            }
        }
    }
}
