// `process_*` as Prometheus' own clients name them, read from /proc when metrics are asked for. What cannot be read is
// left out.
import Glibc

/// Figures of this process.
package enum ProcessMetrics {
    package static func register(_ registry: MetricsRegistry) {
        let resident = registry.gauge("process_resident_memory_bytes", help: "Resident memory.")
        let virtual = registry.gauge("process_virtual_memory_bytes", help: "Virtual memory.")
        let virtualMax = registry.gauge("process_virtual_memory_max_bytes", help: "Virtual memory that is allowed.")
        let cpu = registry.counter("process_cpu_seconds_total", help: "CPU seconds used.")
        let files = registry.gauge("process_open_fds", help: "Open file descriptors.")
        let filesMax = registry.gauge("process_max_fds", help: "File descriptors that are allowed.")
        let start = registry.gauge("process_start_time_seconds", help: "Start of the process since 1970.")
        if let time = startTime() { start.set(time) }
        registry.onCollect {
            let pages = numbers("/proc/self/statm")
            if pages.count > 1 {
                virtual.set(pages[0] * Double(getpagesize()))
                resident.set(pages[1] * Double(getpagesize()))
            }
            cpu.set(processorSeconds())
            if let count = openFiles() { files.set(count) }
            filesMax.set(limit(RLIMIT_NOFILE.rawValue))
            virtualMax.set(limit(RLIMIT_AS.rawValue))
        }
    }

    private static func processorSeconds() -> Double {
        var usage = rusage()
        getrusage(0, &usage)  // RUSAGE_SELF
        let micros = Double(usage.ru_utime.tv_usec) + Double(usage.ru_stime.tv_usec)
        return Double(usage.ru_utime.tv_sec) + Double(usage.ru_stime.tv_sec) + micros / 1e6
    }

    private static func limit(_ resource: UInt32) -> Double {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(resource), &limit) == 0 else { return -1 }
        return Double(limit.rlim_cur)
    }

    /// Ticks since the machine's start are the 22nd field; the second is a name in parentheses that may hold anything.
    private static func startTime() -> Double? {
        let text = read("/proc/self/stat")
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        let boot = read("/proc/stat").split(separator: "\n").first { $0.hasPrefix("btime ") }?.dropFirst(6)
        guard fields.count > 19, let ticks = Double(fields[19]), let boot, let seconds = Double(boot) else {
            return nil
        }
        return seconds + ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    private static func numbers(_ path: String) -> [Double] {
        read(path).split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
    }

    private static func read(_ path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var text: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = Glibc.read(file, &bytes, bytes.count)
            guard count > 0 else { break }
            text += bytes[..<count]
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func openFiles() -> Double? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // Itself, and the two dots.
        return Double(max(0, count - 3))
    }
}
