// Probes and lifecycle hooks: exactly one way of asking, with good ports and times.
import API

enum HandlerValidation {
    static func probe(_ probe: JSON, at path: FieldPath, _ issues: inout Issues) {
        check(probe, at: path, isHook: false, &issues)
        for member in [
            "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"
        ] {
            issues.nonNegative(path[member], probe[member])
        }
        if let seconds = probe["terminationGracePeriodSeconds"]?.int, seconds <= 0 {
            issues.invalid(path["terminationGracePeriodSeconds"], .int(seconds), "must be greater than 0")
        }
    }

    static func check(_ handler: JSON, at path: FieldPath, isHook: Bool, _ issues: inout Issues) {
        let kinds = isHook ? ["exec", "httpGet", "tcpSocket", "sleep"] : ["exec", "httpGet", "tcpSocket", "grpc"]
        var count = 0
        for kind in kinds {
            guard let action = handler[kind], !action.isNull else { continue }
            count += 1
            if count > 1 {
                issues.forbidden(path[kind], "may not specify more than 1 handler type")
            } else {
                one(kind, action, at: path[kind], &issues)
            }
        }
        if count == 0 { issues.required(path, "must specify a handler type") }
    }

    private static func one(_ kind: String, _ action: JSON, at path: FieldPath, _ issues: inout Issues) {
        switch kind {
        case "exec":
            if (action["command"]?.elements ?? []).isEmpty { issues.required(path["command"]) }
        case "httpGet":
            if (action["path"]?.string ?? "").isEmpty { issues.required(path["path"]) }
            portOrName(action["port"], at: path["port"], &issues)
            issues.oneOf(path["scheme"], action["scheme"], ["HTTP", "HTTPS"])
        case "tcpSocket": portOrName(action["port"], at: path["port"], &issues)
        case "grpc": issues.port(path["port"], action["port"])
        default: issues.nonNegative(path["seconds"], action["seconds"])
        }
    }

    /// A number or the name of a port.
    static func portOrName(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        if let name = value?.string {
            issues.invalid(path, .string(name), Names.portName(name))
        } else {
            issues.port(path, value)
        }
    }
}
