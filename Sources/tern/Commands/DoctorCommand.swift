// `tern doctor`: what this machine lacks for a worker or a development cluster.
import ArgumentParser
import Glibc
import Worker

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Check what this machine offers; exit 1 when something is missing.")

    func run() throws {
        var isComplete = true
        func check(_ what: String, _ good: Bool, _ remedy: String) {
            say("\(good ? "ok     " : "missing") \(what)\(good ? "" : ": \(remedy)")")
            if !good { isComplete = false }
        }
        check("root", geteuid() == 0, "run as root (namespaces, mounts, netlink)")
        for (program, package) in [
            ("containerd", "containerd"), ("ctr", "containerd"), ("runc", "runc"), ("ip", "iproute2"),
            ("nsenter", "util-linux"), ("unshare", "util-linux"),
            ("conntrack", "conntrack")
        ] {
            check(program, Subprocess.find(program) != nil, "apt-get install \(package)")
        }
        check("libnftables", dlopen("libnftables.so.1", RTLD_NOW) != nil, "apt-get install libnftables1")
        check(
            "CNI plugins", Files.exists("/usr/lib/cni/ptp") || Files.exists("/opt/cni/bin/ptp"),
            "apt-get install containernetworking-plugins")
        let filesystems = Result(catching: { try Files.text("/proc/filesystems") }).success ?? ""
        check("overlay file system", filesystems.contains("overlay"), "load the kernel module overlay")
        check(
            "cgroups", Files.exists("/sys/fs/cgroup/cgroup.controllers") || Files.exists("/sys/fs/cgroup/memory"),
            "mount cgroups")
        if !isComplete { throw ExitCode(1) }
    }
}
