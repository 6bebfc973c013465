// Runs other programs (ip, ctr, containerd) with posix_spawn. Output is bounded; a program that hangs is killed after its time.
// It never goes through a shell: arguments are passed as they are.
import CLinux
import Glibc

/// Why a program did not do what it was asked.
package enum SubprocessError: Error, Sendable, Hashable, CustomStringConvertible {
    case notStarted(program: String, errno: Int32)
    case failed(command: String, status: Int32, output: String)
    case timedOut(command: String, seconds: Int)

    package var description: String {
        switch self {
        case .notStarted(let program, let code): "\(program): \(String(cString: strerror(code)))"
        case .failed(let command, let status, let output): "\(command): exit status \(status): \(output)"
        case .timedOut(let command, let seconds): "\(command): killed after \(seconds) s"
        }
    }
}

/// What a finished program left: its exit status (128 + signal when it was killed) and what it printed, both streams together.
package struct SubprocessResult: Sendable, Hashable {
    package var status: Int32
    package var output: String
}

package enum Subprocess {
    /// Bytes of output that are kept; the rest is read and dropped.
    package static let outputBytesMax = 4 << 20

    /// Runs a program to its end and returns what it printed; throws when it exits with another status than 0.
    @discardableResult
    package static func run(
        _ arguments: [String], environment: [String: String]? = nil, timeoutSeconds: Int = 120
    ) throws(SubprocessError) -> String {
        let result = try attempt(arguments, environment: environment, timeoutSeconds: timeoutSeconds)
        guard result.status == 0 else {
            throw .failed(command: arguments.joined(separator: " "), status: result.status, output: result.output)
        }
        return result.output
    }

    /// Runs a program to its end whatever its exit status.
    package static func attempt(
        _ arguments: [String], environment: [String: String]? = nil, timeoutSeconds: Int = 120
    ) throws(SubprocessError) -> SubprocessResult {
        var pipes: [Int32] = [0, 0]
        guard pipe(&pipes) == 0 else { throw .notStarted(program: arguments[0], errno: errno) }
        for end in pipes { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(pipes[0]) }
        let child: pid_t
        do {
            child = try spawn(arguments, environment: environment, output: pipes[1], newSession: false)
        } catch {
            close(pipes[1])
            throw error
        }
        close(pipes[1])
        let deadline = monotonicMilliseconds() + timeoutSeconds * 1000
        guard let output = readAll(pipes[0], until: deadline) else {
            kill(child, SIGKILL)
            _ = wait(for: child)
            throw .timedOut(command: arguments.joined(separator: " "), seconds: timeoutSeconds)
        }
        return SubprocessResult(status: wait(for: child), output: output)
    }

    /// Starts a program in a session of its own, so that it outlives this process; output goes to the end of `log`.
    package static func launch(
        _ arguments: [String], environment: [String: String]? = nil, log: String
    ) throws(SubprocessError) -> pid_t {
        let output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard output >= 0 else { throw .notStarted(program: arguments[0], errno: errno) }
        defer { close(output) }
        return try spawn(arguments, environment: environment, output: output, newSession: true)
    }

    /// The exit status of a child: waits for its end.
    package static func wait(for child: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }

    /// Whether a child has ended; does not wait. An ended child is reaped.
    package static func hasEnded(_ child: pid_t) -> Bool {
        var status: Int32 = 0
        let found = waitpid(child, &status, WNOHANG)
        return found == child || (found < 0 && errno == ECHILD)
    }

    /// The first directory of PATH (and the sbin ones) that holds the program.
    package static func find(_ program: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        let folders =
            path.split(separator: ":").map(String.init) + ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        return folders.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    private static func spawn(
        _ arguments: [String], environment: [String: String]?, output: Int32, newSession: Bool
    ) throws(SubprocessError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        // A program that outlives this one must not keep its sockets: the next one could not listen.
        guard tern_spawn_close_from(&actions, 3) == 0 else {
            throw .notStarted(program: arguments[0], errno: errno)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var flags = Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
        if newSession { flags |= 0x80 }  // POSIX_SPAWN_SETSID
        posix_spawnattr_setflags(&attributes, flags)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)

        let program = arguments[0].contains("/") ? arguments[0] : find(arguments[0]) ?? arguments[0]
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { argv.forEach { free($0) } }
        var child: pid_t = 0
        let code: Int32
        if let environment {
            var variables: [UnsafeMutablePointer<CChar>?] =
                environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
            defer { variables.forEach { free($0) } }
            code = posix_spawn(&child, program, &actions, &attributes, &argv, &variables)
        } else {
            code = posix_spawn(&child, program, &actions, &attributes, &argv, environ)
        }
        guard code == 0 else { throw .notStarted(program: arguments[0], errno: code) }
        return child
    }

    /// Everything until end of file, or nil when the deadline (monotonic milliseconds) passes first.
    private static func readAll(_ descriptor: Int32, until deadline: Int) -> String? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let left = deadline - monotonicMilliseconds()
            guard left > 0 else { return nil }
            guard poll(&poller, 1, Int32(clamping: left)) != 0 else { return nil }
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
            if bytes.count < outputBytesMax { bytes += chunk[0..<count] }
        }
    }
}

/// Milliseconds of the monotonic clock.
package func monotonicMilliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}
