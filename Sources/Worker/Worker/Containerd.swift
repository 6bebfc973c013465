// The worker's own containerd: its configuration, its start, its health. It is started in a session of its own and is adopted by the
// host's pid 1, so that it (and every container) survives the worker's restart. Containers that others made live elsewhere: our
// containerd has a root, a state directory and a socket of its own.
import Glibc
import Logging

package struct Containerd: Sendable {
    /// Where the CRI is served.
    package static let socket = "/run/tern/containerd.sock"
    /// Seconds to wait for the socket after a start.
    package static let startSecondsMax = 20
    private static let lookNanoseconds: UInt64 = 500_000_000

    package var dataDirectory: String
    package var logFile: String
    package var environment: [String: String]
    package var sandboxImage: String

    package init(
        dataDirectory: String, logFile: String, environment: [String: String],
        sandboxImage: String = PauseImage.reference
    ) {
        self.dataDirectory = dataDirectory
        self.logFile = logFile
        self.environment = environment
        self.sandboxImage = sandboxImage
    }

    /// Makes sure that containerd answers and holds the sandbox image. The child when it had to be started.
    package func ensureRunning() throws -> pid_t? {
        var child: pid_t?
        if !answers() {
            child = try start()
            try waitForSocket()
        }
        try ensureSandboxImage()
        return child
    }

    private func start() throws -> pid_t {
        try Files.makeDirectory("/run/tern/containerd")
        try Files.makeDirectory("\(dataDirectory)/containerd")
        let configuration = "\(dataDirectory)/containerd/config.toml"
        try Files.write(configurationText(), to: configuration)
        unlink(Self.socket)
        return try Subprocess.launch(["containerd", "-c", configuration], environment: environment, log: logFile)
    }

    /// Starts containerd again when it has died, until the task is cancelled. What it ran goes on meanwhile: each
    /// container has a shim. It never kills one that is merely slow.
    package func keepRunning(_ started: pid_t?, logger: Logger) async {
        var child = started
        var retryAt = 0
        while !Task.isCancelled {
            do { try await Task.sleep(nanoseconds: Self.lookNanoseconds) } catch { return }
            if let known = child, Subprocess.hasEnded(known) { (child, retryAt) = (nil, 0) }
            guard child == nil, !answers(), monotonicMilliseconds() >= retryAt else { continue }
            retryAt = monotonicMilliseconds() + Self.startSecondsMax * 1000
            do {
                child = try start()
                logger.warning("containerd had ended and was started again")
            } catch {
                logger.error("containerd does not start", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Whether something answers at the socket.
    package func answers() -> Bool {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            for (i, byte) in Self.socket.utf8.enumerated() { path[i] = byte }
        }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 || errno == EAGAIN
            }
        }
    }

    private func waitForSocket() throws {
        let deadline = monotonicMilliseconds() + Self.startSecondsMax * 1000
        while !answers() {
            guard monotonicMilliseconds() < deadline else {
                throw SubprocessError.timedOut(command: "containerd (see \(logFile))", seconds: Self.startSecondsMax)
            }
            usleep(10_000)
        }
    }

    private func ensureSandboxImage() throws {
        guard sandboxImage == PauseImage.reference else { return }
        let present = try Subprocess.run([
            "ctr", "-a", Self.socket, "-n", "k8s.io", "images", "ls", "-q", "name==\(sandboxImage)"
        ])
        if present.contains(sandboxImage) { return }
        let path = "\(dataDirectory)/containerd/pause.tar"
        try Files.write(PauseImage.archive(), to: path)
        try Subprocess.run(["ctr", "-a", Self.socket, "-n", "k8s.io", "images", "import", path])
    }

    private func configurationText() -> String {
        let plugins = ["/usr/lib/cni", "/opt/cni/bin"].first { Files.exists("\($0)/bridge") } ?? "/opt/cni/bin"
        let runc = Subprocess.find("runc") ?? "runc"
        let disabled = [
            "snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.aufs", "snapshotter.v1.devmapper",
            "internal.v1.opt",
            "tracing.processor.v1.otlp"
        ].map { "\"io.containerd.\($0)\"" }.joined(separator: ", ")
        return """
            version = 2
            root = "\(dataDirectory)/containerd/root"
            state = "/run/tern/containerd/state"
            oom_score = 0
            disabled_plugins = [\(disabled)]
            [grpc]
              address = "\(Self.socket)"
            [ttrpc]
              address = "\(Self.socket).ttrpc"
            [plugins."io.containerd.grpc.v1.cri"]
              sandbox_image = "\(sandboxImage)"
              restrict_oom_score_adj = true
              disable_apparmor = true
              netns_mounts_under_state_dir = true
              stream_server_address = "127.0.0.1"
              stream_server_port = "0"
              [plugins."io.containerd.grpc.v1.cri".cni]
                bin_dir = "\(plugins)"
                conf_dir = "/etc/cni/net.d"
              [plugins."io.containerd.grpc.v1.cri".registry]
                config_path = "\(dataDirectory)/containerd/certs.d"
              [plugins."io.containerd.grpc.v1.cri".containerd]
                snapshotter = "overlayfs"
                [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
                  runtime_type = "io.containerd.runc.v2"
                  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
                    BinaryName = "\(runc)"
                    Root = "/run/tern/containerd/runc"
                    SystemdCgroup = false

            """
    }
}
