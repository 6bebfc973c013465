// Probes as values: what is asked, when the next try is due, and when enough tries agree for the result to change.
// The asking itself is an effect (Shell/ProbeExecutor.swift).
import API

package enum ProbeKind: String, Sendable, CaseIterable {
    case startup = "Startup"
    case liveness = "Liveness"
    case readiness = "Readiness"
}

/// A port by number or by the name of a container port.
package enum PortReference: Sendable, Equatable {
    case number(Int)
    case name(String)

    init(_ json: JSON?) {
        if let number = json?.int {
            self = .number(Int(truncatingIfNeeded: number))
        } else {
            self = .name(json?.string ?? "")
        }
    }

    /// The number, looked up among the container's ports; nil when there is no such port or it is out of range.
    package func resolve(in container: JSON) -> Int? {
        let found: Int?
        switch self {
        case .number(let number): found = number
        case .name(let name):
            let port = (container["ports"]?.elements ?? []).first { $0["name"]?.string == name }
            found = port?["containerPort"]?.int.map { Int(truncatingIfNeeded: $0) } ?? Int(name)
        }
        return found.flatMap { (1...65535).contains($0) ? $0 : nil }
    }
}

/// What a probe or a lifecycle hook does.
package enum ProbeAction: Sendable, Equatable {
    case exec(command: [String])
    case http(host: String?, port: PortReference, path: String, isTLS: Bool, headers: [EnvironmentVariable])
    case tcp(host: String?, port: PortReference)
    case grpc(port: Int, service: String)
    case sleep(seconds: Int64)

    /// From a `Probe` or a `LifecycleHandler`; nil when it names no action.
    package init?(_ json: JSON) {
        if let exec = json["exec"] {
            self = .exec(command: (exec["command"]?.elements ?? []).compactMap(\.string))
        } else if let get = json["httpGet"] {
            let headers = (get["httpHeaders"]?.elements ?? []).map {
                EnvironmentVariable($0["name"]?.string ?? "", $0["value"]?.string ?? "")
            }
            let path = get["path"]?.string ?? "/"
            self = .http(
                host: get["host"]?.string, port: PortReference(get["port"]),
                path: path.hasPrefix("/") ? path : "/" + path,
                isTLS: get["scheme"]?.string == "HTTPS", headers: headers)
        } else if let socket = json["tcpSocket"] {
            self = .tcp(host: socket["host"]?.string, port: PortReference(socket["port"]))
        } else if let grpc = json["grpc"] {
            self = .grpc(port: Int(truncatingIfNeeded: grpc["port"]?.int ?? 0), service: grpc["service"]?.string ?? "")
        } else if let sleep = json["sleep"] {
            self = .sleep(seconds: sleep["seconds"]?.int ?? 0)
        } else {
            return nil
        }
    }
}

/// A probe of the spec, defaults filled in.
package struct ProbeSpec: Sendable, Equatable {
    package var action: ProbeAction
    package var initialDelay: Nanoseconds
    package var period: Nanoseconds
    package var timeoutSeconds: Int64
    package var successThreshold: Int64
    package var failureThreshold: Int64
    package var graceSeconds: Int64?

    package init?(_ json: JSON) {
        guard let action = ProbeAction(json) else { return nil }
        func positive(_ name: String, _ fallback: Int64) -> Int64 {
            let value = json[name]?.int ?? fallback
            return value > 0 ? min(value, 1 << 31) : fallback
        }
        self.action = action
        initialDelay = .seconds(min(max(0, json["initialDelaySeconds"]?.int ?? 0), 1 << 31))
        period = .seconds(positive("periodSeconds", 10))
        timeoutSeconds = positive("timeoutSeconds", 1)
        successThreshold = positive("successThreshold", 1)
        failureThreshold = positive("failureThreshold", 3)
        graceSeconds = json["terminationGracePeriodSeconds"]?.int
    }
}

/// The run of one probe on one container.
package struct ProbeState: Sendable, Equatable {
    package private(set) var nextAt: Nanoseconds
    package private(set) var isInFlight = false
    private var lastWasSuccess: Bool?
    private var inARow: Int64 = 0
    /// What the tries so far amount to; nil before the first verdict.
    package private(set) var verdict: Bool?

    package init(_ spec: ProbeSpec, startedAt: Nanoseconds) { nextAt = startedAt &+ spec.initialDelay }

    package mutating func begin() { isInFlight = true }

    /// Takes in one try. Returns true when the verdict changed, or when a failing probe reached its threshold again.
    package mutating func record(_ isSuccess: Bool, _ spec: ProbeSpec, now: Nanoseconds) -> Bool {
        isInFlight = false
        nextAt = now &+ spec.period
        inARow = lastWasSuccess == isSuccess ? inARow &+ 1 : 1
        lastWasSuccess = isSuccess
        guard inARow >= (isSuccess ? spec.successThreshold : spec.failureThreshold) else { return false }
        let changed = verdict != isSuccess
        verdict = isSuccess
        return changed
    }

    /// The next try is due at once (the startup probe has just passed).
    package mutating func hurry(now: Nanoseconds) { nextAt = min(nextAt, now) }
}
