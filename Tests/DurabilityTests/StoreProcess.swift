// One member of the store as users run it, `tern kv` in a process of its own, so that its death is a real one. Started
// plainly or under strace, which kills it or fails its system calls at a counted place.
import Glibc
import NIOCore
import NIOPosix
import NetGRPC
import TestSupport
import Worker

struct StoreError: Error, CustomStringConvertible {
    var description: String
}

final class StoreProcess: Sendable {
    private let child: pid_t
    private let port: Int
    let log: String
    let channel: GRPCChannel

    /// `roomMegabytes`: the data are on a file system of that size, which only this process sees. `injection`: what strace
    /// does to its system calls, as `fdatasync:error=EIO:when=3`; nil = nothing.
    init(
        folder: String, data: String, port: Int, roomMegabytes: Int? = nil, injection: String? = nil,
        flags: [String] = []
    ) throws {
        guard let program = TernProgram.path else { throw StoreError(description: "no program beside the tests") }
        log = "\(folder)/log"
        self.port = port
        let peer = port + 1
        var command =
            [
                program, "kv", "--name", "m1", "--data-dir", data, "--listen-client-urls", "http://127.0.0.1:\(port)",
                "--advertise-client-urls", "http://127.0.0.1:\(port)", "--listen-peer-urls", "http://127.0.0.1:\(peer)",
                "--initial-advertise-peer-urls", "http://127.0.0.1:\(peer)", "--initial-cluster",
                "m1=http://127.0.0.1:\(peer)"
            ] + flags
        if let injection {
            // -D: the tracer is the grandchild, so that the child is the store itself.
            let call = String(injection.prefix { $0 != ":" })
            command =
                [
                    "strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=\(call)", "-e",
                    "inject=\(injection)"
                ] + command
        }
        if let roomMegabytes {
            let mount = "mount -t tmpfs -o size=\(roomMegabytes)m room \"$0\" && exec \"$@\""
            command = ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, data] + command
        }
        child = try Subprocess.launch(command, log: log)
        channel = GRPCChannel(
            target: .tcp(host: "127.0.0.1", port: port, tls: nil), group: MultiThreadedEventLoopGroup.singleton)
    }

    /// A path as the process sees it, for others.
    func outside(_ path: String) -> String { "/proc/\(child)/root\(path)" }

    var hasEnded: Bool { Subprocess.hasEnded(child) }

    /// The end of what it logged.
    var lastWords: String {
        do { return String(try Files.text(log).suffix(1000)) } catch { return "\(error)" }
    }

    /// As by a power cut of the machine: at once, with everything that it started.
    func kill() async {
        Glibc.kill(-child, SIGKILL)
        while !hasEnded {
            do { try await Task.sleep(for: .milliseconds(2)) } catch { break }
        }
        await channel.close()
    }

    /// As an operator does: waits for its end.
    func terminate() async throws {
        Glibc.kill(child, SIGTERM)
        while !hasEnded { try await Task.sleep(for: .milliseconds(20)) }
    }

    /// Waits until it takes a write or is dead; false: it is dead.
    func becomesReady() async throws -> Bool {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if hasEnded { return false }
            if isListening, await put("ready", "yes", within: .seconds(10)) { return true }
            try await Task.sleep(for: .milliseconds(5))
        }
        throw StoreError(description: "not ready within a minute: \(lastWords)")
    }

    /// Whether somebody accepts connections there. Asked first: a refused connection makes the channel wait.
    private var isListening: Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    /// True when it was acknowledged; false: nobody knows.
    func put(_ key: String, _ value: String, within patience: TimeAmount = .seconds(60)) async -> Bool {
        var writer = ProtobufWriter()
        writer.string(1, key)
        writer.string(2, value)
        do {
            _ = try await channel.unary("/etcdserverpb.KV/Put", writer.bytes, timeout: patience)
            return true
        } catch { return false }
    }

    /// nil: it was done; else in the server's words.
    func refusal(_ path: String, _ message: [UInt8]) async -> String? {
        do {
            _ = try await channel.unary(path, message, timeout: .seconds(60))
            return nil
        } catch { return "\(error)" }
    }

    /// The keys with this prefix, by a linearizable read; nil: it was not answered.
    func values(_ prefix: String) async throws -> [String: Int]? {
        var writer = ProtobufWriter()
        writer.string(1, prefix)
        writer.string(2, prefix + "~")
        let answer: [UInt8]
        do {
            answer = try await channel.unary("/etcdserverpb.KV/Range", writer.bytes, timeout: .seconds(60))
        } catch { return nil }
        var found: [String: Int] = [:]
        var reader = ProtobufReader(answer)
        while try reader.next() {
            guard reader.field == 2 else { continue }
            var (key, value) = ("", "")
            var record = try reader.message()
            while try record.next() {
                if record.field == 1 { key = try record.string() }
                if record.field == 5 { value = try record.string() }
            }
            found[key] = Int(value)
        }
        return found
    }
}
