// Programs as users start them, each in a process of its own beside the tests.
import Glibc

/// A program that a test has started, in a folder, where its output goes too. It ends with this at the latest, also when
/// the test has failed.
package final class ChildProcess {
    private let logPath: String
    private let process: String
    private var hasEnded = false

    /// `command`: one command, with its variables before it. What is in the log already stays.
    package init(_ command: String, in folder: String, log: String = "log") {
        logPath = "\(folder)/\(log)"
        process = Shell.run("cd \(folder); \(command) >> \(log) 2>&1 & echo $!").filter(\.isNumber)
    }

    deinit { end("KILL") }

    package var log: String { Shell.run("tail -n 200 \(logPath)") }

    /// It has ended, also when that was by itself.
    package var isGone: Bool {
        let isAlive = "grep -q '^State:[[:space:]]*[^Z[:space:]]' /proc/\(process)/status 2> /dev/null"
        return process.isEmpty || !Shell.run("\(isAlive) && echo on").hasPrefix("on")
    }

    /// Returns when it is gone.
    package func end(_ signal: String = "TERM") {
        guard !hasEnded, !process.isEmpty else { return }
        hasEnded = true
        Shell.end(process, signal)
    }
}

/// The program of this build, `tern`.
package enum TernProgram {
    /// Beside the test bundle; nil: it was not built.
    package static let path: String? = {
        let arguments = CommandLine.arguments
        let bundle = arguments.firstIndex(of: "--test-bundle-path").flatMap {
            arguments.indices.contains($0 + 1) ? arguments[$0 + 1] : nil
        }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let own = count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
        for path in [bundle, own, arguments.first].compactMap(\.self) {
            var folder = path
            while let slash = folder.lastIndex(of: "/") {
                folder = String(folder[..<slash])
                let isBeside = access("\(folder)/ternPackageTests.xctest", F_OK) == 0
                if isBeside, access("\(folder)/tern", X_OK) == 0 { return "\(folder)/tern" }
            }
        }
        return nil
    }()

    /// For commands; where it was not built, there is no such program.
    package static var command: String { path ?? "tern" }

    /// Built, and from these sources: one that lay there does not count. `words`: of its help for a command.
    package static func knows(_ words: String, of command: String) -> Bool {
        path.map { Shell.run("\($0) \(command) --help").contains(words) } ?? false
    }
}
