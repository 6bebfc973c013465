// Rows of the core kinds: nodes, services, configuration, events.

extension CellContext {
    func core(_ kind: String) -> [JSON]? {
        switch kind {
        case "Node": node
        case "Namespace": [name, text("status", "phase"), age]
        case "Service": service
        case "Endpoints": [name, .string(endpoints), age]
        case "EndpointSlice": endpointSlice
        case "ConfigMap": [name, .int(Int64(count("data") + count("binaryData"))), age]
        case "Secret": [name, text("type"), .int(Int64(count("data"))), age]
        case "ServiceAccount": [name, age]
        case "Event": event
        case "Lease": [name, text("spec", "holderIdentity"), age]
        default: nil
        }
    }

    private var node: [JSON] {
        let info = object["status", "nodeInfo"]
        let wide = ["osImage", "kernelVersion", "containerRuntimeVersion"].map { key -> JSON in
            let text = info?[key]?.string ?? ""
            return .string(text.isEmpty ? "<unknown>" : text)
        }
        let addresses = object["status", "addresses"]?.elements ?? []
        let shown = ["InternalIP", "ExternalIP"].map { type -> JSON in
            addresses.first { $0["type"]?.string == type }?["address"] ?? "<none>"
        }
        return [name, .string(nodeStatus), .string(nodeRoles), age, info?["kubeletVersion"] ?? ""] + shown + wide
    }

    private var nodeStatus: String {
        let ready = (object["status", "conditions"]?.elements ?? []).first { $0["type"] == "Ready" }
        var text = "Unknown"
        if let ready { text = ready["status"] == "True" ? "Ready" : "NotReady" }
        return object["spec", "unschedulable"]?.bool == true ? "\(text),SchedulingDisabled" : text
    }

    private var nodeRoles: String {
        let prefix = "node-role.kubernetes.io/"
        var roles = Set<String>()
        for (key, value) in object.labels {
            if key.hasPrefix(prefix), key.count > prefix.count { roles.insert(String(key.dropFirst(prefix.count))) }
            if key == "kubernetes.io/role", !value.isEmpty { roles.insert(value) }
        }
        return roles.isEmpty ? "<none>" : roles.sorted().joined(separator: ",")
    }

    private var service: [JSON] {
        let ips = object["spec", "clusterIPs"]?.elements.compactMap(\.string) ?? []
        let ip = ips.first ?? object["spec", "clusterIP"]?.string ?? ""
        return [
            name, text("spec", "type"), .string(ip.isEmpty ? "<none>" : ip), .string(externalIP), .string(servicePorts),
            age,
            Self.labels(object["spec", "selector"])
        ]
    }

    private var externalIP: String {
        let external = object["spec", "externalIPs"]?.elements.compactMap(\.string) ?? []
        switch object["spec", "type"]?.string {
        case "LoadBalancer":
            let ingress = object["status", "loadBalancer", "ingress"]?.elements ?? []
            let addresses = ingress.compactMap { $0["ip"]?.string ?? $0["hostname"]?.string } + external
            return addresses.isEmpty ? "<pending>" : addresses.joined(separator: ",")
        case "ExternalName": return object["spec", "externalName"]?.string ?? ""
        default: return external.isEmpty ? "<none>" : external.joined(separator: ",")
        }
    }

    private var servicePorts: String {
        let ports = (object["spec", "ports"]?.elements ?? []).map { port -> String in
            let node = port["nodePort"]?.int ?? 0
            let number = "\(port["port"]?.int ?? 0)" + (node > 0 ? ":\(node)" : "")
            return "\(number)/\(port["protocol"]?.string ?? "TCP")"
        }
        return ports.isEmpty ? "<none>" : ports.joined(separator: ",")
    }

    private var endpoints: String {
        var texts: [String] = []
        for subset in object["subsets"]?.elements ?? [] {
            let addresses = subset["addresses"]?.elements.compactMap { $0["ip"]?.string } ?? []
            let ports = subset["ports"]?.elements.compactMap { $0["port"]?.int } ?? []
            if ports.isEmpty {
                texts += addresses
            } else {
                for port in ports { texts += addresses.map { $0.contains(":") ? "[\($0)]:\(port)" : "\($0):\(port)" } }
            }
        }
        return texts.isEmpty ? "<none>" : Self.shortened(texts)
    }

    private var endpointSlice: [JSON] {
        let ports = (object["ports"]?.elements ?? []).map { port in port["port"]?.int.map(String.init) ?? "*" }
        let addresses = (object["endpoints"]?.elements ?? []).flatMap {
            $0["addresses"]?.elements.compactMap(\.string) ?? []
        }
        return [
            name, text("addressType"), .string(ports.isEmpty ? "<unset>" : Self.shortened(ports)),
            .string(addresses.isEmpty ? "<unset>" : Self.shortened(addresses)), age
        ]
    }

    private var event: [JSON] {
        let subject = object["involvedObject"] ?? object["regarding"]
        let eventTime = object["eventTime"]?.string
        let first = (object["firstTimestamp"] ?? object["deprecatedFirstTimestamp"])?.string ?? eventTime
        let last =
            object["series", "lastObservedTime"]?.string
            ?? (object["lastTimestamp"] ?? object["deprecatedLastTimestamp"])?.string ?? eventTime
        let count = object["series", "count"]?.int ?? (object["count"] ?? object["deprecatedCount"])?.int ?? 0
        let message = (object["message"] ?? object["note"])?.string ?? ""
        let named = "\((subject?["kind"]?.string ?? "").lowercased())/\(subject?["name"]?.string ?? "")"
        return [
            .string(Timestamp.age(last, now: now)), text("type"), text("reason"), .string(named),
            subject?["fieldPath"] ?? "",
            .string(eventSource), .string(Self.trimmed(message)), .string(Timestamp.age(first, now: now)),
            .int(max(1, count)), name
        ]
    }

    private var eventSource: String {
        let source = object["source"] ?? object["deprecatedSource"]
        let parts = [source?["component"]?.string ?? "", source?["host"]?.string ?? ""].filter { !$0.isEmpty }
        if !parts.isEmpty { return parts.joined(separator: ", ") }
        let controller = (object["reportingComponent"] ?? object["reportingController"])?.string ?? ""
        let instance = object["reportingInstance"]?.string ?? ""
        return [controller, instance].filter { !$0.isEmpty }.joined(separator: ", ")
    }

    private static func trimmed(_ text: String) -> String {
        let isSpace = { (c: Character) in c == " " || c == "\n" || c == "\t" || c == "\r" }
        return String(text.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }
}
