// The row of a Pod. Its status column condenses phase, conditions and the states of all containers, as upstream's
// printer does.

extension CellContext {
    func pod() -> TableRow {
        let status = PodStatusCell(object, now: now)
        let ips = (object["status", "podIPs"]?.elements ?? []).compactMap { $0["ip"]?.string }
        let ip = ips.first ?? object["status", "podIP"]?.string ?? ""
        let cells: [JSON] = [
            name, .string("\(status.ready)/\(status.total)"), .string(status.text), .string(status.restartsText), age,
            .string(ip.isEmpty ? "<none>" : ip), text("spec", "nodeName", or: "<none>"),
            text("status", "nominatedNodeName", or: "<none>"),
            readinessGates
        ]
        return TableRow(cells: cells, conditions: completion)
    }

    private var readinessGates: JSON {
        let gates = object["spec", "readinessGates"]?.elements ?? []
        guard !gates.isEmpty else { return "<none>" }
        let conditions = object["status", "conditions"]?.elements ?? []
        let met = gates.filter { gate in
            conditions.contains { $0["type"] == gate["conditionType"] && $0["status"] == "True" }
        }
        return .string("\(met.count)/\(gates.count)")
    }

    private var completion: [JSON] {
        switch object["status", "phase"]?.string {
        case "Succeeded":
            [
                [
                    "type": "Completed", "status": "True", "reason": "Succeeded",
                    "message": "The pod has completed successfully."
                ]
            ]
        case "Failed": [["type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."]]
        default: []
        }
    }
}

/// What the columns Ready, Status and Restarts say.
struct PodStatusCell {
    private(set) var ready = 0
    private(set) var total = 0
    private(set) var text = ""
    private var restarts: Int64 = 0
    private var lastRestart: Double?
    private let now: Double

    init(_ pod: JSON, now: Double) {
        self.now = now
        let conditions = pod["status", "conditions"]?.elements ?? []
        text = pod["status", "phase"]?.string ?? ""
        if let reason = pod["status", "reason"]?.string, !reason.isEmpty { text = reason }
        if conditions.contains(where: { $0["type"] == "PodScheduled" && $0["reason"] == "SchedulingGated" }) {
            text = "SchedulingGated"
        }
        let sidecars = Set(
            (pod["spec", "initContainers"]?.elements ?? []).filter { $0["restartPolicy"] == "Always" }.compactMap {
                $0["name"]?.string
            })
        total = (pod["spec", "containers"]?.elements.count ?? 0) + sidecars.count
        var sidecarPart = self
        let isInitializing = readInit(pod, sidecars, &sidecarPart)
        let isInitialized = conditions.contains { $0["type"] == "Initialized" && $0["status"] == "True" }
        if !isInitializing || isInitialized {
            restarts = sidecarPart.restarts
            lastRestart = sidecarPart.lastRestart
            readContainers(pod, conditions)
        }
        readDeletion(pod)
    }

    var restartsText: String {
        guard restarts != 0, let lastRestart else { return String(restarts) }
        return "\(restarts) (\(Timestamp.humanDuration(now - lastRestart)) ago)"
    }

    private mutating func count(_ container: JSON) {
        restarts &+= container["restartCount"]?.int ?? 0
        guard let finished = container["lastState", "terminated", "finishedAt"]?.string,
            let time = Timestamp.parse(finished)
        else { return }
        lastRestart = max(lastRestart ?? time, time)
    }

    /// True while an init container keeps the others from starting.
    private mutating func readInit(_ pod: JSON, _ sidecars: Set<String>, _ sidecarPart: inout PodStatusCell) -> Bool {
        for (index, container) in (pod["status", "initContainerStatuses"]?.elements ?? []).enumerated() {
            count(container)
            let isSidecar = sidecars.contains(container["name"]?.string ?? "")
            if isSidecar { sidecarPart.count(container) }
            if container["state", "terminated", "exitCode"]?.int == 0 { continue }
            if isSidecar, container["started"]?.bool == true {
                if container["ready"]?.bool == true { ready += 1 }
                continue
            }
            let count = pod["spec", "initContainers"]?.elements.count ?? 0
            text = "Init:" + (Self.initReason(container) ?? "\(index)/\(count)")
            return true
        }
        return false
    }

    private static func initReason(_ container: JSON) -> String? {
        if let terminated = container["state", "terminated"] { return exitReason(terminated) }
        if let reason = container["state", "waiting", "reason"]?.string, !reason.isEmpty, reason != "PodInitializing" {
            return reason
        }
        return nil
    }

    private static func exitReason(_ terminated: JSON) -> String {
        if let reason = terminated["reason"]?.string, !reason.isEmpty { return reason }
        if let signal = terminated["signal"]?.int, signal != 0 { return "Signal:\(signal)" }
        return "ExitCode:\(terminated["exitCode"]?.int ?? 0)"
    }

    private mutating func readContainers(_ pod: JSON, _ conditions: [JSON]) {
        var hasRunning = false
        for container in (pod["status", "containerStatuses"]?.elements ?? []).reversed() {
            count(container)
            if let reason = container["state", "waiting", "reason"]?.string, !reason.isEmpty {
                text = reason
            } else if let terminated = container["state", "terminated"] {
                text = Self.exitReason(terminated)
            } else if container["ready"]?.bool == true, container["state", "running"] != nil {
                hasRunning = true
                ready += 1
            }
        }
        if text == "Completed" && hasRunning {
            let isReady = conditions.contains { $0["type"] == "Ready" && $0["status"] == "True" }
            text = isReady ? "Running" : "NotReady"
        }
    }

    private mutating func readDeletion(_ pod: JSON) {
        guard pod["metadata", "deletionTimestamp"]?.string != nil else { return }
        if pod["status", "reason"] == "NodeLost" {
            text = "Unknown"
        } else if !["Succeeded", "Failed"].contains(pod["status", "phase"]?.string ?? "") {
            text = "Terminating"
        }
    }
}
