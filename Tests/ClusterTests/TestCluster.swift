// A development cluster in a folder of its own, made from the program of this build, and driven as a person drives it: with
// `tern` and the real kubectl. Its names carry a hash of the folder's path, so that it meets no other cluster of the machine.
// It takes itself down; what an earlier run that was killed has left is taken down first.
import API
import Glibc
import TestSupport
import Testing
import Worker

struct TestClusterError: Error, CustomStringConvertible {
    var description: String
}

final class TestCluster: Sendable {
    @TaskLocal static var current: TestCluster?

    static let prefix = "/tmp/tern-cluster-test-"
    let folder: String
    let hash: String
    let binary: String
    private let environment: [String: String]

    /// The folder of the kubectl on PATH; `make test` sees to it that there is one.
    static var tools: String? {
        guard let found = Subprocess.find("kubectl"), Files.exists(found), let slash = found.lastIndex(of: "/") else {
            return nil
        }
        return String(found[..<slash])
    }

    static var isPossible: Bool { geteuid() == 0 && TernProgram.path != nil && tools != nil }

    private static let checkout = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }

    init() throws {
        try Self.removeAbandoned()
        guard let binary = TernProgram.path, let tools = Self.tools else {
            throw TestClusterError(description: "no program")
        }
        self.binary = binary
        folder = "\(Self.prefix)\(getpid())"
        let scripts = "\(folder)/Sources/tern/Scripts"
        try Files.makeDirectory(scripts)
        try Files.write(try Files.read("\(Self.checkout)/Package.swift"), to: "\(folder)/Package.swift")
        try Files.write(
            try Files.read("\(Self.checkout)/Sources/tern/Scripts/down.sh"), to: "\(scripts)/down.sh")
        hash = String(try Subprocess.run(["sh", "-c", "printf %s \"$0\" | sha256sum", folder]).prefix(6))
        let path = "\(tools):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = ["PATH": path, "KUBECONFIG": "\(folder)/.tern/kubeconfig", "HOME": folder]
    }

    // MARK: commands

    private func inFolder(_ words: [String]) -> [String] { ["env", "-C", folder] + words }

    /// `tern` in the cluster's folder; throws when it fails.
    @discardableResult
    func tern(_ words: String..., timeoutSeconds: Int = 120) throws -> String {
        try Subprocess.run(inFolder([binary] + words), environment: environment, timeoutSeconds: timeoutSeconds)
    }

    /// kubectl, which must succeed.
    @discardableResult
    func kubectl(_ words: String...) throws -> String {
        try Subprocess.run(inFolder(["kubectl"] + words), environment: environment)
    }

    /// kubectl whatever its exit status.
    func attempt(_ words: String...) throws -> SubprocessResult {
        try Subprocess.attempt(inFolder(["kubectl"] + words), environment: environment)
    }

    /// A line of shell with kubectl on its PATH.
    @discardableResult
    func shell(_ line: String) throws -> String {
        try Subprocess.run(inFolder(["sh", "-c", line]), environment: environment)
    }

    /// An object or a list as JSON; null when it cannot be had.
    func json(_ words: String...) throws -> JSON {
        let result = try Subprocess.attempt(
            inFolder(["kubectl", "get"] + words + ["-o", "json"]), environment: environment)
        return result.status == 0 ? try JSON.parse(Array(result.output.utf8)) : .null
    }

    /// Who leads, once somebody does.
    func leader(besides former: String? = nil) async throws -> String {
        var found = ""
        try await eventually("somebody leads") {
            found = try self.tern("leader").filter { !$0.isWhitespace }
            return !found.isEmpty && found != former
        }
        return found
    }

    /// Waits until the condition holds; a failure names what was awaited. An error counts as "not yet".
    func eventually(
        _ what: String, seconds: Int = 60, sourceLocation: SourceLocation = #_sourceLocation,
        _ isDone: () throws -> Bool
    ) async throws {
        let deadline = monotonicMilliseconds() + seconds * 1000
        var last = ""
        while monotonicMilliseconds() < deadline {
            do {
                if try isDone() { return }
            } catch {
                last = " (\(error))"
            }
            try await Task.sleep(for: .milliseconds(200))
        }
        Issue.record("not seen: \(what)\(last)", sourceLocation: sourceLocation)
    }

    /// The outer process of every host and of the gateway, by name.
    var processes: [String: String] {
        var found: [String: String] = [:]
        for name in Files.list("\(folder)/.tern/run") where name.hasSuffix(".pid") {
            do { found[name] = try Files.text("\(folder)/.tern/run/\(name)") } catch { found[name] = "\(error)" }
        }
        return found
    }

    // MARK: life

    func up() throws { try tern("up", timeoutSeconds: 180) }

    /// `down.sh`, then the folder.
    func remove() throws {
        keepLogs()
        try Subprocess.run(["sh", "\(folder)/Sources/tern/Scripts/down.sh"])
        try Subprocess.run(["rm", "-rf", folder])
    }

    /// The hosts' logs stay beside the build, for the reader of a failure.
    private func keepLogs() {
        let target = binary + "-cluster-test-logs"
        do {
            try Subprocess.run(["rm", "-rf", target])
            if Files.exists("\(folder)/.tern/log") { try Subprocess.run(["cp", "-r", "\(folder)/.tern/log", target]) }
        } catch {
            Issue.record("the logs are not kept: \(error)")
        }
    }

    /// Folders whose test process is gone.
    private static func removeAbandoned() throws {
        for name in Files.list("/tmp") where "/tmp/\(name)".hasPrefix(prefix) {
            let folder = "/tmp/\(name)"
            guard let pid = pid_t(folder.dropFirst(prefix.count)), kill(pid, 0) != 0, errno == ESRCH else { continue }
            let script = "\(folder)/Sources/tern/Scripts/down.sh"
            if Files.exists(script) { try Subprocess.run(["sh", script]) }
            try Subprocess.run(["rm", "-rf", folder])
        }
    }
}

/// Brings the cluster up before the first test of a suite, and down after the last, whatever happened in between.
struct ClusterTrait: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let before = try Leftovers.look()
        let cluster = try TestCluster()
        do {
            try cluster.up()
            try await TestCluster.$current.withValue(cluster) { try await function() }
        } catch {
            Issue.record("\(error)")
        }
        try cluster.remove()
        let left = try Leftovers.look(hash: cluster.hash, folder: cluster.folder)
        #expect(left.ofCluster == [], "the cluster left something behind")
        #expect(left.links.subtracting(before.links) == [])
        #expect(left.tables.subtracting(before.tables) == [])
    }
}

extension Trait where Self == ClusterTrait {
    static var cluster: Self { ClusterTrait() }
}

/// What a cluster could leave on the machine.
struct Leftovers {
    /// Devices and tables outside every namespace that bear a name which the cluster uses inside its own.
    var links: Set<String>
    var tables: Set<String>
    /// Namespaces, cgroups, mounts and processes that name the cluster.
    var ofCluster: [String] = []

    static func look(hash: String? = nil, folder: String = "") throws -> Leftovers {
        let links = try lines(["ip", "-o", "link"]).compactMap { $0.split(separator: " ").dropFirst().first }
        let ours = ["br0", "cni0", "tern", "veth", "vxlan", "m1", "m2", "m3", "w1", "w2"]
        let names = links.map(String.init).filter { name in ours.contains { name.hasPrefix($0) } }
        let tables = try lines(["nft", "list", "tables"]).filter { $0.contains("tern") }
        var found = Leftovers(links: Set(names), tables: Set(tables))
        guard let hash else { return found }
        found.ofCluster += try lines(["ip", "netns", "list"]).filter { $0.contains("tern-\(hash)-") }
        found.ofCluster += try lines(["find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", "tern-\(hash)-*"])
        found.ofCluster += try Files.text("/proc/mounts").split(separator: "\n").map(String.init).filter {
            $0.contains(folder) || $0.contains("tern-\(hash)-")
        }
        for pid in Files.list("/proc").compactMap({ pid_t($0) }) where pid != getpid() {
            // A process may end while it is looked at; what has ended and waits for its parent has no command line.
            guard case .success(let command) = Result(catching: { try Files.text("/proc/\(pid)/cmdline") }),
                case .success(let groups) = Result(catching: { try Files.text("/proc/\(pid)/cgroup") }),
                !command.isEmpty, (command + groups).contains("tern-\(hash)-") || command.contains(folder)
            else { continue }
            found.ofCluster.append("process \(pid): \(command.prefix(200))")
        }
        return found
    }

    private static func lines(_ words: [String]) throws -> [String] {
        try Subprocess.run(words).split(separator: "\n").map(String.init)
    }
}
