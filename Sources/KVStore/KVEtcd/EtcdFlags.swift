// What starts an etcd — a command line as Go programs read it, and `ETCD_*` variables — turned into the flags of
// `tern kv`. Pure: it is given both and reads nothing. What tunes etcd's own machinery is taken and has no effect,
// with a warning; what somebody relies on and is not there is refused, never passed over.

/// Why a command line starts nothing.
package struct EtcdFlagError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}

/// Flags for `tern kv`, each as one argument `--name=value` or `--name`.
package struct EtcdFlags: Hashable, Sendable {
    package private(set) var arguments: [String] = []
    /// What was taken without effect, for the log.
    package private(set) var warnings: [String] = []
    private var given: Set<String> = []

    package init(arguments: [String], environment: [String: String]) throws(EtcdFlagError) {
        var rest = arguments[...]
        while let argument = rest.popFirst() { try take(argument, &rest) }
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix(Self.prefix) {
            guard !value.isEmpty else { continue }
            try takeVariable(name, value)
        }
    }

    /// With one dash or two, the value behind `=` or as the next argument.
    private mutating func take(_ argument: String, _ rest: inout ArraySlice<String>) throws(EtcdFlagError) {
        guard argument.hasPrefix("-"), argument != "-", argument != "--" else { return arguments.append(argument) }
        let text = argument.dropFirst(argument.hasPrefix("--") ? 2 : 1)
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let name = parts.first, !name.isEmpty else { throw EtcdFlagError("bad flag syntax: \(argument)") }
        let inline = parts.count > 1 ? parts[1] : nil
        guard let kind = Self.kind(name) else {
            // A flag of `tern kv` alone, or one that it refuses by itself.
            return arguments.append(name == "h" ? "-h" : inline.map { "--\(name)=\($0)" } ?? "--\(name)")
        }
        given.insert(name)
        if kind.isSwitch { return try apply(name, kind, inline ?? "true") }
        guard let value = inline ?? rest.popFirst() else { throw EtcdFlagError("flag needs an argument: --\(name)") }
        try apply(name, kind, value)
    }

    private mutating func takeVariable(_ variable: String, _ value: String) throws(EtcdFlagError) {
        let name = variable.dropFirst(Self.prefix.count).lowercased().replacing("_", with: "-")
        guard let kind = Self.kind(name), variable == Self.variable(name) else {
            warnings.append("the variable \(variable) means nothing")
            return
        }
        guard !given.contains(name) else {
            warnings.append("the variable \(variable) is overridden by --\(name)")
            return
        }
        do throws(EtcdFlagError) { try apply(name, kind, value) } catch {
            throw EtcdFlagError("\(variable): \(error)")
        }
    }

    private mutating func apply(_ name: String, _ kind: Kind, _ value: String) throws(EtcdFlagError) {
        let isOn = kind.isSwitch ? try Self.boolean(name, value) : !value.isEmpty
        switch kind.effect {
        case .taken:
            if !kind.isSwitch {
                // As in Go, where the empty text is what is there unasked.
                guard isOn || !Self.mayBeEmpty.contains(name) else { return }
                arguments.append("--\(name)=\(name == "log-level" ? Self.level(value) : value)")
            } else if isOn {
                arguments.append("--\(name)")
            }
        case .without: warnings.append("--\(name) has no effect here")
        case .only(let usual, let why):
            guard !isOn || usual.contains(value) else { throw EtcdFlagError("--\(name)=\(value): \(why)") }
        case .refused(let why): if isOn { throw EtcdFlagError("--\(name): \(why)") }
        }
    }

    private static func boolean(_ name: String, _ value: String) throws(EtcdFlagError) -> Bool {
        switch value {
        case "1", "t", "T", "true", "TRUE", "True": return true
        case "0", "f", "F", "false", "FALSE", "False": return false
        default: throw EtcdFlagError("invalid boolean value \"\(value)\" for --\(name)")
        }
    }

    /// etcd's names of levels.
    private static func level(_ name: String) -> String {
        switch name {
        case "warn": "warning"
        case "dpanic", "panic", "fatal": "critical"
        default: name
        }
    }

    private static let mayBeEmpty: Set<String> = ["tls-min-version", "tls-max-version", "cipher-suites"]
    private static let prefix = "ETCD_"
    private static func variable(_ flag: String) -> String { prefix + flag.uppercased().replacing("-", with: "_") }
}
