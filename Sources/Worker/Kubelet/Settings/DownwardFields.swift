// Fields of the pod that its own containers may see: fieldRef and resourceFieldRef, in environments and in volumes.
// One list of paths for both, so that they cannot drift apart. It must never show a field that is not on that list.
import API

package enum DownwardFields {
    /// The value of a `fieldPath`; nil when it names nothing that may be seen.
    package static func value(_ path: String, _ pod: JSON, _ facts: PodFacts) -> String? {
        if let (map, key) = subscripted(path) { return pod["metadata"]?[map]?.stringMap[key] ?? "" }
        switch path {
        case "metadata.name": return pod.name
        case "metadata.namespace": return pod.namespace
        case "metadata.uid": return pod.uid
        case "metadata.labels": return lines(pod.labels)
        case "metadata.annotations": return lines(pod.annotations)
        case "spec.nodeName": return facts.nodeName
        case "spec.serviceAccountName": return pod["spec", "serviceAccountName"]?.string ?? ""
        case "status.hostIP": return facts.hostIPs.first ?? ""
        case "status.hostIPs": return facts.hostIPs.joined(separator: ",")
        case "status.podIP": return facts.podIPs.first ?? ""
        case "status.podIPs": return facts.podIPs.joined(separator: ",")
        default: return nil
        }
    }

    /// `metadata.labels['key']` → ("labels", "key").
    private static func subscripted(_ path: String) -> (String, String)? {
        for map in ["labels", "annotations"] {
            let prefix = "metadata.\(map)['"
            if path.hasPrefix(prefix) && path.hasSuffix("']") && path.utf8.count >= prefix.utf8.count + 2 {
                return (map, String(path.dropFirst(prefix.count).dropLast(2)))
            }
        }
        return nil
    }

    /// `key="value"` a line, ordered, escaped as Go's %q does.
    private static func lines(_ map: [String: String]) -> String {
        map.sorted { $0.key < $1.key }.map { "\($0.key)=\(Go.quote($0.value))" }.joined(separator: "\n")
    }

    /// The value of a resourceFieldRef: a limit (the node's allocatable amount where there is none) or a request.
    package static func resource(
        _ reference: JSON, _ pod: JSON, container own: JSON?, _ facts: PodFacts
    )
        throws(ConfigurationError) -> String
    {
        let name = reference["containerName"]?.string.flatMap(\.nonEmpty)
        let all = (pod["spec", "containers"]?.elements ?? []) + (pod["spec", "initContainers"]?.elements ?? [])
        guard let container = name == nil ? own : all.first(where: { $0["name"]?.string == name }) else {
            throw ConfigurationError("container \(name ?? "") not found")
        }
        let path = reference["resource"]?.string ?? ""
        let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2, parts[0] == "limits" || parts[0] == "requests" else {
            throw ConfigurationError("unsupported container resource : \(path)")
        }
        let resource = parts[1]
        let isMilli = resource == "cpu"
        let text = container["resources"]?[parts[0]]?[resource]
        let amount = text.flatMap(Amount.milli) ?? (parts[0] == "limits" ? allocatable(resource, facts) : 0)
        let divisor = reference["divisor"].flatMap(Amount.milli).flatMap { $0 > 0 ? $0 : nil } ?? 1000
        _ = isMilli
        let (whole, rest) = amount.quotientAndRemainder(dividingBy: divisor)
        return String(whole + (rest > 0 ? 1 : 0))
    }

    /// In thousandths.
    private static func allocatable(_ resource: String, _ facts: PodFacts) -> Int64 {
        switch resource {
        case "cpu": facts.allocatableMilliCPU
        case "memory": facts.allocatableMemoryBytes.multipliedReportingOverflow(by: 1000).partialValue
        case "ephemeral-storage": facts.allocatableEphemeralBytes.multipliedReportingOverflow(by: 1000).partialValue
        default: 0
        }
    }
}
