// The gateway: the one process of the development cluster in the machine's own network. It balances 127.0.0.1:<port> over the masters,
// and gives the hosts a way out for pulls of images (an HTTP proxy) and a DNS server. It opens its sockets in two network namespaces:
// threads that exist before `setns` stay outside, threads made after it live on the switch. Nothing of the machine's routes or firewall changes.
import CLinux
import DNSServer
import Glibc
import Logging
import NIOCore
import NIOPosix
import NetBalancer
import NetDNS
import NetHTTP
import NetPKI
import Worker

struct Gateway {
    static let firstPort = 16443
    static let name = "gateway"
    var layout: Layout
    var binary: String

    /// The port; starts the process when it does not run.
    func ensureRunning() throws -> Int {
        if let port = runningPort { return port }
        let port = try freePort()
        let pid = try Subprocess.launch(
            [binary, "gateway", "--clone", layout.clone, "--port", "\(port)"], log: layout.log(Self.name))
        let process = OwnedProcess(pidFile: layout.pidFile(Self.name))
        try process.record(pid)
        try Files.write("\(port)\n", to: layout.portFile)
        let deadline = monotonicMilliseconds() + 10_000
        while !accepts(port) {
            guard process.pid != nil, monotonicMilliseconds() < deadline else {
                throw CommandFailure("the gateway did not start; see \(layout.log(Self.name))")
            }
            usleep(5_000)
        }
        return port
    }

    func stop() {
        let process = OwnedProcess(pidFile: layout.pidFile(Self.name))
        if let pid = process.pid { kill(pid, SIGTERM) }
        let deadline = monotonicMilliseconds() + 2000
        while process.pid != nil && monotonicMilliseconds() < deadline { usleep(10_000) }
        if let pid = process.pid { kill(pid, SIGKILL) }
        unlink(layout.pidFile(Self.name))
    }

    /// Nil when it does not run.
    var runningPort: Int? {
        guard OwnedProcess(pidFile: layout.pidFile(Self.name)).pid != nil,
            let text = Result(catching: { try Files.text(layout.portFile) }).success
        else { return nil }
        return Int(text.split(separator: "\n").first ?? "")
    }

    /// The port used before when it is free, else the first free one from 16443.
    private func freePort() throws -> Int {
        let before = Result(catching: { try Files.text(layout.portFile) }).success.flatMap {
            Int($0.split(separator: "\n").first ?? "")
        }
        if let before, isFree(before) { return before }
        for port in Self.firstPort..<Self.firstPort + 200 where isFree(port) { return port }
        throw CommandFailure("no free port from \(Self.firstPort) on 127.0.0.1")
    }

    private func isFree(_ port: Int) -> Bool {
        withLoopback(port) { descriptor, address, length in
            var yes: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
            return bind(descriptor, address, length) == 0
        }
    }

    private func accepts(_ port: Int) -> Bool { withLoopback(port) { connect($0, $1, $2) == 0 } }

    private func withLoopback(_ port: Int, _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Bool) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

/// A process that a file names by pid and start time, since pids are used again.
struct OwnedProcess {
    var pidFile: String

    func record(_ pid: pid_t) throws { try Files.write("\(pid)\n\(Self.startTime(of: pid) ?? "")\n", to: pidFile) }

    /// Nil when it does not run.
    var pid: pid_t? {
        guard let text = Result(catching: { try Files.text(pidFile) }).success else { return nil }
        let lines = text.split(separator: "\n").map(String.init)
        guard lines.count > 1, let pid = pid_t(lines[0]), Self.startTime(of: pid) == lines[1] else { return nil }
        return pid
    }

    static func startTime(of pid: pid_t) -> String? {
        guard let text = Result(catching: { try Files.text("/proc/\(pid)/stat") }).success,
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 20, fields[1] != "Z" else { return nil }
        return String(fields[20])
    }
}

/// What the gateway process runs.
struct GatewayServer {
    var layout: Layout
    var port: Int
    var logger: Logger

    func run() async throws {
        let outside = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let namespace = layout.namespacePath(layout.switchNamespace)
        guard let inside = NamespaceGroup.make(namespace) else {
            throw CommandFailure("\(namespace) cannot be entered")
        }
        let backends = layout.masters.map { Backend(host: $0.address, port: layout.apiPort) }
        // Its sockets, too, are made on the threads that live on the switch.
        let tls = try ClientTLS(trustRootsPEM: try PEMFile.read("\(layout.pki)/ca.crt"))
        let prober = HTTPClient(
            configuration: HTTPClientConfiguration(tls: tls), group: inside, logger: logger)
        let balancer = Balancer(
            backends: backends, listenGroup: outside, connectGroup: inside, probe: MasterProbe(prober).check(_:within:),
            logger: logger)
        let proxy = EgressProxy(listenGroup: inside, connectGroup: outside, logger: logger)
        try await proxy.listen(host: layout.gatewayAddress, port: layout.proxyPort)
        if let zone = Zone(domain: "tern.invalid") {
            let upstreams = nameservers()
            let dns = DNSService(
                configuration: DNSConfiguration(host: layout.gatewayAddress, upstreams: upstreams),
                zone: SharedZone(zone), group: inside,
                forwardGroup: outside, logger: logger)
            try await dns.start()
        }
        _ = try await balancer.listen(host: "127.0.0.1", port: port)
        await Signals.wait()
        exit(0)
    }

    private func nameservers() -> [String] {
        let text = Result(catching: { try Files.text("/etc/resolv.conf") }).success ?? ""
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count > 1 && words[0] == "nameserver" ? String(words[1]) : nil
        }
    }
}
