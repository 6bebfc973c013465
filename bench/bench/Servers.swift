// Three members of one of the systems on loopback, with data on disk in a folder of their own. Whatever happens, every
// process that was started here is ended and the folder is removed: also after a failure, Ctrl-C or the death of this
// program.
import Glibc
import Synchronization

enum BenchError: Error, CustomStringConvertible {
    case failed(String)
    var description: String {
        switch self {
        case .failed(let text): text
        }
    }
}

/// What is compared.
enum System: String, CaseIterable, Sendable { case etcd, tern }

/// Everything that has to be gone in the end.
enum Leftovers {
    private struct Kept {
        var processes: Set<pid_t> = []
        var folder: String?
    }
    private static let kept = Mutex(Kept())

    static func add(_ pid: pid_t) { kept.withLock { _ = $0.processes.insert(pid) } }
    static func remove(_ pid: pid_t) { kept.withLock { _ = $0.processes.remove(pid) } }
    static func folder(_ path: String) { kept.withLock { $0.folder = path } }

    static func clear() {
        let all = kept.withLock { kept in
            defer { kept = Kept() }
            return kept
        }
        for pid in all.processes { kill(pid, SIGKILL) }
        for pid in all.processes { waitpid(pid, nil, 0) }
        if let folder = all.folder { Process.remove(folder) }
    }

    /// A thread of its own takes the signals; nothing runs in a handler.
    static func watchSignals() {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { _ in
                var set = sigset_t()
                sigemptyset(&set)
                for signal in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, signal) }
                var received: Int32 = 0
                sigwait(&set, &received)
                Leftovers.clear()
                _exit(128 + received)
            }, nil)
    }
}

enum Process {
    /// Starts a program that dies with this one; its output goes to a file.
    static func spawn(_ arguments: [String], output: String) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let program: [String] = ["setpriv", "--pdeathsig", "KILL"]
        var words: [UnsafeMutablePointer<CChar>?] = (program + arguments).map { strdup($0) }
        defer { for word in words { free(word) } }
        words.append(nil)
        var pid = pid_t()
        let code = posix_spawnp(&pid, "setpriv", &actions, &attributes, words, environ)
        guard code == 0 else { throw BenchError.failed("\(arguments[0]) cannot be started: errno \(code)") }
        Leftovers.add(pid)
        return pid
    }

    static func end(_ pid: pid_t, _ signal: Int32) {
        kill(pid, signal)
        waitpid(pid, nil, 0)
        Leftovers.remove(pid)
    }

    static func remove(_ folder: String) {
        var pid = pid_t()
        let program: [String] = ["rm", "-rf", folder]
        var words: [UnsafeMutablePointer<CChar>?] = program.map { strdup($0) }
        defer { for word in words { free(word) } }
        words.append(nil)
        guard posix_spawnp(&pid, "rm", nil, nil, words, environ) == 0 else { return }
        waitpid(pid, nil, 0)
    }

    static func freePort() throws -> Int {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 ? getsockname(socket, $0, &length) : -1
            }
        }
        guard code == 0 else { throw BenchError.failed("no free port: errno \(errno)") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

/// One member.
struct Server {
    let name: String
    let clientPort: Int
    let peerPort: Int
    let folder: String
    var pid: pid_t = 0
}

/// Three members of one system.
struct Servers {
    let system: System
    let program: String
    let folder: String
    private(set) var members: [Server] = []

    init(_ system: System, program: String, folder: String) throws {
        self.system = system
        self.program = program
        self.folder = folder
        for number in 1...3 {
            members.append(
                Server(
                    name: "\(system)\(number)", clientPort: try Process.freePort(), peerPort: try Process.freePort(),
                    folder: "\(folder)/\(system)\(number)"))
        }
    }

    mutating func startAll() throws { for i in members.indices { try start(i) } }

    mutating func start(_ index: Int) throws {
        members[index].pid = try Process.spawn(
            arguments(members[index]), output: "\(folder)/\(members[index].name).log")
    }

    private func arguments(_ member: Server) -> [String] {
        let cluster = members.map { "\($0.name)=http://127.0.0.1:\($0.peerPort)" }.joined(separator: ",")
        let common = [
            "--name", member.name, "--data-dir", member.folder,
            "--listen-client-urls", "http://127.0.0.1:\(member.clientPort)",
            "--advertise-client-urls", "http://127.0.0.1:\(member.clientPort)",
            "--listen-peer-urls", "http://127.0.0.1:\(member.peerPort)",
            "--initial-advertise-peer-urls", "http://127.0.0.1:\(member.peerPort)",
            "--initial-cluster", cluster, "--initial-cluster-state", "new", "--initial-cluster-token", "bench"
        ]
        switch system {
        case .etcd:
            return [program] + common + [
                "--logger", "zap", "--log-level", "error", "--quota-backend-bytes", "8589934592"
            ]
        case .tern: return [program, "kv"] + common
        }
    }

    mutating func end(_ index: Int, _ signal: Int32) {
        guard members[index].pid != 0 else { return }
        Process.end(members[index].pid, signal)
        members[index].pid = 0
    }

    mutating func endAll() { for i in members.indices { end(i, SIGKILL) } }

    var pids: [pid_t] { members.map(\.pid).filter { $0 != 0 } }
    var cpuSeconds: Double { pids.reduce(0) { $0 + Proc.cpuSeconds($1) } }
    func memory(_ field: String) -> Int { pids.map { Proc.memory($0, field) }.max() ?? 0 }

    /// What the members said last, for a failure's report.
    var lastWords: String {
        members.map { member in
            let lines = (Proc.text("\(folder)/\(member.name).log") ?? "").split(separator: "\n").suffix(3)
            return "\(member.name): \(lines.joined(separator: " | "))"
        }.joined(separator: "\n")
    }
}
