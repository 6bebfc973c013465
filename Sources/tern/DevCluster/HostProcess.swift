// A host of the development cluster as processes: its network namespace plus private pid, mount, uts, ipc and cgroup namespaces.
// Its pid 1 is a small shell loop that starts `tern master` or `tern worker`, starts it again when it dies, and reaps orphans.
// Killing the outer process ends everything on the host at once: a power cut. Its files stand in the data directory only.
import Glibc
import Worker

struct HostProcess {
    var layout: Layout
    var host: Host

    private var owned: OwnedProcess { OwnedProcess(pidFile: layout.pidFile(host.name)) }

    /// The outer process, when it runs.
    var pid: pid_t? { owned.pid }

    /// When the outer process was started; nil when it does not run.
    var startedAt: WallTime? { pid.flatMap { NodeReadiness.start(of: $0) } }

    /// The host's pid 1 as the machine sees it.
    var initPid: pid_t? {
        guard let pid, let text = Result(catching: { try Files.text("/proc/\(pid)/task/\(pid)/children") }).success
        else { return nil }
        return text.split(separator: " ").first.flatMap { pid_t($0) }
    }

    /// Starts the host unless it runs. `command` is what its pid 1 keeps running.
    func start(_ command: [String], environment: [String: String]) throws {
        if pid != nil { return }
        killLeftovers()
        let data = layout.data(host)
        for folder in ["kubelet", "pods", "containers", "cni", "pki", "run"] {
            try Files.makeDirectory("\(data)/\(folder)")
        }
        try Files.makeDirectory(layout.run)
        try Files.makeDirectory(layout.logs)
        makeCgroups()
        var variables = environment
        variables["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        variables["TERN_HOST"] = host.name
        variables["TERN_DATA"] = data
        variables["TERN_CGROUP"] = layout.cgroup(host)
        variables["TERN_DNS"] = layout.gatewayAddress
        variables["TERN_HOSTS"] = layout.hosts.map { "\($0.address) \($0.name)" }.joined(separator: "\n")
        let arguments =
            ["sh", "-c", Self.enterScript, layout.namespacePath(layout.namespace(host)), Self.insideScript] + command
        let pid = try Subprocess.launch(arguments, environment: variables, log: layout.log(host.name))
        try owned.record(pid)
    }

    /// Ends the host at once, as a power cut does; its disk keeps what was written.
    func kill() {
        if let pid { Glibc.kill(pid, SIGKILL) }
        killLeftovers()
        unlink(layout.pidFile(host.name))
    }

    /// Asks the host to end in order, and ends it after `graceSeconds`.
    func stop(graceSeconds: Int) {
        if let initPid { Glibc.kill(initPid, SIGTERM) }
        let deadline = monotonicMilliseconds() + graceSeconds * 1000
        while pid != nil && monotonicMilliseconds() < deadline { usleep(20_000) }
        kill()
    }

    /// Freezes or thaws every process of the host.
    func setFrozen(_ frozen: Bool) throws {
        if Files.exists("/sys/fs/cgroup/cgroup.controllers") {
            try writeControl(frozen ? "1" : "0", to: "/sys/fs/cgroup/\(layout.cgroup(host))/cgroup.freeze")
        } else {
            try writeControl(
                frozen ? "FROZEN" : "THAWED", to: "/sys/fs/cgroup/freezer/\(layout.cgroup(host))/freezer.state")
        }
    }

    /// Removes the host's cgroups; they must be empty.
    func removeCgroups() {
        killLeftovers()
        for folder in cgroupFolders { removeTree(folder) }
    }

    // MARK: - Private

    private var cgroupFolders: [String] {
        let top = "/sys/fs/cgroup"
        if Files.exists("\(top)/cgroup.controllers") { return ["\(top)/\(layout.cgroup(host))"] }
        return Files.list(top).map { "\(top)/\($0)" }.filter { Files.exists("\($0)/cgroup.procs") }.map {
            "\($0)/\(layout.cgroup(host))"
        }
    }

    private func makeCgroups() {
        for folder in cgroupFolders {
            mkdir(folder, 0o755)
            guard folder.contains("/cpuset/") else { continue }
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let value = Result(catching: { try Files.text("/sys/fs/cgroup/cpuset/\(file)") }).success {
                    do { try writeControl(value, to: "\(folder)/\(file)") } catch { complain("\(error)") }
                }
            }
        }
    }

    /// Kills every process that is still in the host's cgroups (containers of a host that died half-way).
    private func killLeftovers() {
        for _ in 0..<50 {
            let pids = cgroupFolders.flatMap(processes(below:))
            if pids.isEmpty { return }
            for pid in pids { Glibc.kill(pid, SIGKILL) }
            usleep(20_000)
        }
    }

    private func processes(below folder: String) -> [pid_t] {
        guard Files.exists(folder) else { return [] }
        let own = (Result(catching: { try Files.text("\(folder)/cgroup.procs") }).success ?? "").split(separator: "\n")
            .compactMap { pid_t($0) }
        return own + children(of: folder).flatMap(processes(below:))
    }

    private func removeTree(_ folder: String) {
        for child in children(of: folder) { removeTree(child) }
        rmdir(folder)
    }

    private func children(of folder: String) -> [String] {
        Files.list(folder).map { "\(folder)/\($0)" }.filter { Files.exists("\($0)/cgroup.procs") }
    }

    private func writeControl(_ text: String, to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path: path, errno: errno) }
        defer { close(descriptor) }
        guard write(descriptor, text, text.utf8.count) >= 0 else { throw FileError(path: path, errno: errno) }
    }

    /// Enters the host's cgroups and namespaces. `$0` is the network namespace, `$1` the inner script, the rest the command.
    private static let enterScript = """
        set -e
        if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo $$ > /sys/fs/cgroup/$TERN_CGROUP/cgroup.procs
        else for d in /sys/fs/cgroup/*/$TERN_CGROUP; do echo $$ > $d/cgroup.procs; done; fi
        inner=$1; shift
        exec nsenter --net="$0" unshare --pid --mount --uts --ipc --cgroup --fork --kill-child=SIGKILL --mount-proc \
        --propagation private sh -c "$inner" "$@"
        """

    /// The host from the inside: its mounts, its names, then the loop. `$0` and the rest are the command.
    private static let insideScript = """
        set -e
        hostname "$TERN_HOST"
        mount --make-rshared /
        controllers=; [ -e /sys/fs/cgroup/cgroup.controllers ] || controllers=$(ls /sys/fs/cgroup)
        mount -t sysfs sysfs /sys
        if [ -n "$controllers" ]; then
          mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
          for c in $controllers; do
            case $c in
            systemd) mkdir /sys/fs/cgroup/systemd; mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd;;
            unified) ;;
            *,*) mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c;;
            cpu|cpuacct|cpuset|memory|devices|freezer|blkio|pids|net_cls|net_prio|perf_event|hugetlb|rdma)
              [ -L /sys/fs/cgroup/$c ] || { mkdir /sys/fs/cgroup/$c; mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c 2>/dev/null || rmdir /sys/fs/cgroup/$c; };;
            esac
          done
        else mount -t cgroup2 cgroup2 /sys/fs/cgroup; fi
        mount -t tmpfs -o mode=755 tmpfs /run
        for p in etc var/lib var/log; do
          mkdir -p /run/overlay/$p/upper /run/overlay/$p/work
          mount -t overlay -o lowerdir=/$p,upperdir=/run/overlay/$p/upper,workdir=/run/overlay/$p/work overlay /$p
        done
        mkdir -p /var/lib/kubelet /var/log/pods /var/log/containers /etc/cni/net.d
        mount --bind "$TERN_DATA/kubelet" /var/lib/kubelet
        mount --bind "$TERN_DATA/pods" /var/log/pods
        mount --bind "$TERN_DATA/containers" /var/log/containers
        mount --bind "$TERN_DATA/cni" /etc/cni/net.d
        rm -f /etc/resolv.conf; echo "nameserver $TERN_DNS" > /etc/resolv.conf
        printf '127.0.0.1 localhost\\n%s\\n' "$TERN_HOSTS" > /etc/hosts
        echo 1 > /proc/sys/net/ipv4/ip_forward
        set +e
        child=; stopping=
        trap 'stopping=1; [ -n "$child" ] && kill -TERM $child' TERM
        while [ -z "$stopping" ]; do
          "$0" "$@" & child=$!
          while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
          [ -n "$stopping" ] || { echo "host $TERN_HOST: the process ended with $code; it is started again"; sleep 0.3; }
        done
        exit 0
        """
}

extension Result {
    /// The value, or nil for a failure that means "not there".
    var success: Success? { if case .success(let value) = self { value } else { nil } }
}
