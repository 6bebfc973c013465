// The environment of a container: envFrom, env with its sources and expansions, and the variables of services.
// Pure: ConfigMaps, Secrets and services are handed in. What is missing is an error with upstream's words.
import API

/// A container cannot be configured as its spec says; `CreateContainerConfigError` shows the message.
package struct ConfigurationError: Error, Sendable, Equatable {
    package var message: String
    package init(_ message: String) { self.message = message }
}

/// A ConfigMap or Secret that a pod names.
package struct ObjectName: Hashable, Sendable {
    package enum Kind: String, Sendable {
        case configMap = "configmap"
        case secret = "secret"
    }
    package var kind: Kind
    package var namespace: String
    package var name: String
    package init(_ kind: Kind, _ namespace: String, _ name: String) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
    }
}

/// The keys and bytes of a ConfigMap or Secret.
package typealias KeyedBytes = [String: [UInt8]]

/// What is known when a container is made.
package struct PodFacts: Sendable {
    package var nodeName = ""
    package var hostIPs: [String] = []
    package var podIPs: [String] = []
    /// nil: the object does not exist.
    package var objects: [ObjectName: KeyedBytes?] = [:]
    package var services: [EnvironmentVariable] = []
    package var allocatableMilliCPU: Int64 = 0
    package var allocatableMemoryBytes: Int64 = 0
    package var allocatableEphemeralBytes: Int64 = 0
    package init() {}
}

package enum Environment {
    /// The variables in order; later ones override earlier ones of the same name.
    package static func variables(
        _ container: JSON, _ pod: JSON, _ facts: PodFacts
    ) throws(ConfigurationError)
        -> [EnvironmentVariable]
    {
        var list = OrderedEnvironment()
        for source in container["envFrom"]?.elements ?? [] { try addAll(of: source, pod, facts, &list) }
        let services = Dictionary(facts.services.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        for entry in container["env"]?.elements ?? [] {
            let name = entry["name"]?.string ?? ""
            if let source = entry["valueFrom"] {
                guard let value = try value(of: source, container, pod, facts) else { continue }
                list.set(name, value)
            } else {
                list.set(name, Expansion.expand(entry["value"]?.string ?? "") { list.value($0) ?? services[$0] })
            }
        }
        for service in facts.services where list.value(service.name) == nil { list.set(service.name, service.value) }
        return list.variables
    }

    private static func addAll(
        of source: JSON, _ pod: JSON, _ facts: PodFacts, _ list: inout OrderedEnvironment
    )
        throws(ConfigurationError)
    {
        let prefix = source["prefix"]?.string ?? ""
        for (field, kind) in [("configMapRef", ObjectName.Kind.configMap), ("secretRef", .secret)] {
            guard let reference = source[field] else { continue }
            let name = reference["name"]?.string ?? ""
            guard let bytes = facts.objects[ObjectName(kind, pod.namespace, name)] ?? nil else {
                if reference["optional"]?.bool == true { continue }
                throw ConfigurationError("\(kind.rawValue) \"\(name)\" not found")
            }
            for (key, value) in bytes.sorted(by: { $0.key < $1.key }) {
                list.set(prefix + key, String(decoding: value, as: UTF8.self))
            }
        }
    }

    /// nil: an optional source that is not there.
    private static func value(
        of source: JSON, _ container: JSON, _ pod: JSON, _ facts: PodFacts
    )
        throws(ConfigurationError) -> String?
    {
        if let field = source["fieldRef"] {
            let path = field["fieldPath"]?.string ?? ""
            guard let value = DownwardFields.value(path, pod, facts) else {
                throw ConfigurationError("unsupported fieldPath: \(path)")
            }
            return value
        }
        if let resource = source["resourceFieldRef"] {
            return try DownwardFields.resource(resource, pod, container: container, facts)
        }
        for (field, kind) in [("configMapKeyRef", ObjectName.Kind.configMap), ("secretKeyRef", .secret)] {
            if let reference = source[field] { return try keyed(reference, kind, pod, facts) }
        }
        return nil
    }

    private static func keyed(
        _ reference: JSON, _ kind: ObjectName.Kind, _ pod: JSON, _ facts: PodFacts
    )
        throws(ConfigurationError) -> String?
    {
        let (name, key) = (reference["name"]?.string ?? "", reference["key"]?.string ?? "")
        let isOptional = reference["optional"]?.bool == true
        guard let bytes = facts.objects[ObjectName(kind, pod.namespace, name)] ?? nil else {
            if isOptional { return nil }
            throw ConfigurationError("\(kind.rawValue) \"\(name)\" not found")
        }
        guard let value = bytes[key] else {
            if isOptional { return nil }
            let title = kind == .configMap ? "ConfigMap" : "Secret"
            throw ConfigurationError("couldn't find key \(key) in \(title) \(pod.namespace)/\(name)")
        }
        return String(decoding: value, as: UTF8.self)
    }

    /// Every ConfigMap and Secret that the containers' environments name.
    package static func references(_ container: JSON, namespace: String) -> [ObjectName] {
        var names: [ObjectName] = []
        for source in container["envFrom"]?.elements ?? [] {
            if let name = source["configMapRef", "name"]?.string {
                names.append(ObjectName(.configMap, namespace, name))
            }
            if let name = source["secretRef", "name"]?.string { names.append(ObjectName(.secret, namespace, name)) }
        }
        for entry in container["env"]?.elements ?? [] {
            if let name = entry.value(at: ["valueFrom", "configMapKeyRef", "name"])?.string {
                names.append(ObjectName(.configMap, namespace, name))
            }
            if let name = entry.value(at: ["valueFrom", "secretKeyRef", "name"])?.string {
                names.append(ObjectName(.secret, namespace, name))
            }
        }
        return names
    }
}

/// Variables by name that keep the order in which they first came.
struct OrderedEnvironment {
    private(set) var variables: [EnvironmentVariable] = []
    private var index: [String: Int] = [:]

    func value(_ name: String) -> String? { index[name].map { variables[$0].value } }

    mutating func set(_ name: String, _ value: String) {
        if let i = index[name] {
            variables[i].value = value
        } else {
            index[name] = variables.count
            variables.append(EnvironmentVariable(name, value))
        }
    }
}
