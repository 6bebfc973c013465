// Requests and limits as the kernel takes them: CPU shares and quota, memory, OOM score; QoS class and cgroup names.
// The constants are upstream's (cm/helpers_linux.go, qos/policy.go): facts that scheduling and users rely on.
import API

package enum QualityOfService: String, Sendable {
    case guaranteed = "Guaranteed"
    case burstable = "Burstable"
    case bestEffort = "BestEffort"
}

package enum Resources {
    package static let cpuPeriodMicroseconds: Int64 = 100_000

    /// CPU shares of a request in thousandths of a core.
    package static func shares(milliCPU: Int64) -> Int64 {
        guard milliCPU > 0 else { return 2 }
        return min(max(2, milliCPU.multipliedReportingOverflow(by: 1024).partialValue / 1000), 262_144)
    }

    /// Quota a period of a limit; 0 = none.
    package static func quota(milliCPU: Int64) -> Int64 {
        guard milliCPU > 0 else { return 0 }
        return max(1000, milliCPU.multipliedReportingOverflow(by: cpuPeriodMicroseconds).partialValue / 1000)
    }

    /// cgroup v2 weight of v1 shares.
    package static func weight(shares: Int64) -> Int64 { 1 + ((max(2, shares) - 2) * 9999) / 262_142 }

    private static func amounts(_ container: JSON, _ which: String, _ resource: String) -> Int64? {
        container["resources"]?[which]?[resource].flatMap(Amount.milli)
    }

    /// The class of the pod; the API's own word counts when it is there.
    package static func qualityOfService(_ pod: JSON) -> QualityOfService {
        if let known = pod["status", "qosClass"]?.string.flatMap(QualityOfService.init) { return known }
        var isGuaranteed = true
        var isAnything = false
        let containers = (pod["spec", "containers"]?.elements ?? []) + (pod["spec", "initContainers"]?.elements ?? [])
        for container in containers {
            for resource in ["cpu", "memory"] {
                let (request, limit) = (
                    amounts(container, "requests", resource), amounts(container, "limits", resource)
                )
                if (request ?? 0) > 0 || (limit ?? 0) > 0 { isAnything = true }
                if limit == nil || (request ?? limit) != limit { isGuaranteed = false }
            }
        }
        if !isAnything { return .bestEffort }
        return isGuaranteed ? .guaranteed : .burstable
    }

    /// Resources of one container.
    package static func container(_ container: JSON, _ pod: JSON, nodeMemoryBytes: Int64) -> ContainerResources {
        var resources = ContainerResources()
        let cpuLimit = amounts(container, "limits", "cpu")
        let cpuRequest = amounts(container, "requests", "cpu") ?? cpuLimit
        resources.cpuShares = shares(milliCPU: cpuRequest ?? 0)
        if let cpuLimit {
            resources.cpuQuota = quota(milliCPU: cpuLimit)
            resources.cpuPeriod = cpuPeriodMicroseconds
        }
        resources.memoryLimitBytes = Amount.units(container["resources", "limits", "memory"]) ?? 0
        resources.oomScoreAdjust = oomScore(container, pod, nodeMemoryBytes: nodeMemoryBytes)
        return resources
    }

    package static func oomScore(_ container: JSON, _ pod: JSON, nodeMemoryBytes: Int64) -> Int64 {
        if (pod["spec", "priority"]?.int ?? 0) >= 2_000_000_000 { return -997 }
        switch qualityOfService(pod) {
        case .guaranteed: return -997
        case .bestEffort: return 1000
        case .burstable:
            let request = Amount.units(container["resources", "requests", "memory"]) ?? 0
            let score = 1000 - Int64(1000 * Double(request) / Double(max(1, nodeMemoryBytes)))
            return score < 3 ? 3 : min(score, 999)
        }
    }

    /// Resources of the whole pod, for its cgroup; limits only where every container has one.
    package static func pod(_ pod: JSON) -> ContainerResources {
        let containers = pod["spec", "containers"]?.elements ?? []
        var resources = ContainerResources()
        var (shares, quota, memory): (Int64, Int64?, Int64?) = (0, 0, 0)
        for container in containers {
            let cpuLimit = amounts(container, "limits", "cpu")
            shares &+= amounts(container, "requests", "cpu") ?? cpuLimit ?? 0
            quota = cpuLimit.flatMap { limit in quota.map { $0 &+ limit } }
            memory = Amount.units(container["resources", "limits", "memory"]).flatMap { limit in
                memory.map { $0 &+ limit }
            }
        }
        resources.cpuShares = Self.shares(milliCPU: shares)
        if let quota, !containers.isEmpty { resources.cpuQuota = Self.quota(milliCPU: quota) }
        resources.cpuPeriod = cpuPeriodMicroseconds
        if let memory, !containers.isEmpty { resources.memoryLimitBytes = memory }
        return resources
    }

    /// `/kubepods/burstable/pod<uid>` below the kubelet's cgroup root.
    package static func cgroup(_ pod: JSON, root: String) -> String {
        let base = (root == "/" ? "" : root) + "/kubepods"
        let leaf = "pod\(pod.uid)"
        switch qualityOfService(pod) {
        case .guaranteed: return "\(base)/\(leaf)"
        case .burstable: return "\(base)/burstable/\(leaf)"
        case .bestEffort: return "\(base)/besteffort/\(leaf)"
        }
    }
}
