// `REDIS_SERVICE_HOST` and its kin: one set of variables a service, as every pod of the namespace gets them.
// Names and order are upstream's, since programs read them. It must never show a service without an address of its own.
import API

package enum ServiceEnvironment {
    /// Variables of `services`, plus those of default/kubernetes, which a pod always gets.
    package static func variables(services: [JSON], kubernetes: JSON?, isLinked: Bool) -> [EnvironmentVariable] {
        var list: [EnvironmentVariable] = []
        if let kubernetes { list += variables(of: kubernetes) }
        guard isLinked else { return list }
        for service in services where !(service.name == "kubernetes" && service.namespace == "default") {
            list += variables(of: service)
        }
        return list
    }

    private static func variables(of service: JSON) -> [EnvironmentVariable] {
        let ip = service["spec", "clusterIP"]?.string ?? ""
        let ports = service["spec", "ports"]?.elements ?? []
        guard !ip.isEmpty, ip != "None", let first = ports.first?["port"]?.int else { return [] }
        let name = variableName(service.name)
        let host = ip.contains(":") ? "[\(ip)]" : ip
        var list = [
            EnvironmentVariable("\(name)_SERVICE_HOST", ip), EnvironmentVariable("\(name)_SERVICE_PORT", String(first))
        ]
        for port in ports {
            guard let number = port["port"]?.int, let portName = port["name"]?.string, !portName.isEmpty else {
                continue
            }
            list.append(EnvironmentVariable("\(name)_SERVICE_PORT_\(variableName(portName))", String(number)))
        }
        for (i, port) in ports.enumerated() {
            guard let number = port["port"]?.int else { continue }
            let transport = port["protocol"]?.string ?? "TCP"
            let lower = transport.lowercased()
            let prefix = "\(name)_PORT_\(number)_\(transport)"
            if i == 0 { list.append(EnvironmentVariable("\(name)_PORT", "\(lower)://\(host):\(number)")) }
            list += [
                EnvironmentVariable(prefix, "\(lower)://\(host):\(number)"),
                EnvironmentVariable("\(prefix)_PROTO", lower),
                EnvironmentVariable("\(prefix)_PORT", String(number)), EnvironmentVariable("\(prefix)_ADDR", ip)
            ]
        }
        return list
    }

    private static func variableName(_ name: String) -> String { name.replacingDashes().uppercased() }
}

extension String {
    func replacingDashes() -> String { String(map { $0 == "-" ? "_" : $0 }) }
}
