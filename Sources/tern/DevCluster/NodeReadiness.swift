// Whether a node is ready by what its present process reports. Pure: objects and times in, an answer out. The API keeps what
// a node said last, also when the machine has crashed since.
import API
import Glibc
import Worker

/// Seconds since the epoch, as in the API's times.
typealias WallTime = Int64

enum NodeReadiness {
    /// `processBorn`: when the node's process was started; its first report is not older.
    static func isReady(_ node: JSON, lease: JSON, since began: WallTime, processBorn: WallTime) -> Bool {
        let condition = node["status", "conditions"]?.elements.first { $0["type"]?.string == "Ready" }
        guard condition?["status"]?.string == "True", let reported = seconds(condition?["lastHeartbeatTime"]),
            let renewed = seconds(lease["spec", "renewTime"])
        else { return false }
        return reported >= processBorn && renewed >= began
    }

    private static func seconds(_ time: JSON?) -> WallTime? {
        time?.string.flatMap { Timestamp.parse($0) }.map { WallTime($0) }
    }

    /// The present moment.
    static var now: WallTime { WallTime(Timestamp.nowSeconds()) }

    /// When a process was started, from its ticks since boot; nil when it does not run.
    static func start(of pid: pid_t) -> WallTime? {
        guard let ticks = OwnedProcess.startTime(of: pid).flatMap(Double.init) else { return nil }
        var up = timespec()
        clock_gettime(CLOCK_BOOTTIME, &up)
        let boot = Timestamp.nowSeconds() - Double(up.tv_sec) - Double(up.tv_nsec) / 1e9
        return WallTime(boot + ticks / Double(max(1, sysconf(Int32(_SC_CLK_TCK)))))
    }
}
