// CRI v1 messages about containers. Field numbers are those of runtime.v1.

/// How a mount inside a container sees later mounts (`runtime.v1.MountPropagation`).
package enum MountPropagation: Int32, Sendable {
    case none = 0
    case hostToContainer = 1
    case bidirectional = 2
}

package struct ContainerMount: Sendable, Equatable {
    package var containerPath: String
    package var hostPath: String
    package var isReadOnly = false
    package var propagation = MountPropagation.none
    package init(containerPath: String, hostPath: String, isReadOnly: Bool = false) {
        self.containerPath = containerPath
        self.hostPath = hostPath
        self.isReadOnly = isReadOnly
    }

    func write(_ w: inout ProtoWriter) {
        w.string(1, containerPath)
        w.string(2, hostPath)
        w.bool(3, isReadOnly)
        w.int(5, propagation.rawValue)
    }
}

package struct ContainerResources: Sendable, Equatable {
    package var cpuPeriod: Int64 = 0
    package var cpuQuota: Int64 = 0
    package var cpuShares: Int64 = 0
    package var memoryLimitBytes: Int64 = 0
    package var oomScoreAdjust: Int64 = 0
    package init() {}

    func write(_ w: inout ProtoWriter) {
        w.int(1, cpuPeriod)
        w.int(2, cpuQuota)
        w.int(3, cpuShares)
        w.int(4, memoryLimitBytes)
        w.int(5, oomScoreAdjust)
    }
}

package struct ContainerSecurity: Sendable, Equatable {
    package var addedCapabilities: [String] = []
    package var droppedCapabilities: [String] = []
    package var isPrivileged = false
    package var namespaces = NamespaceOptions()
    package var runAsUser: Int64?
    package var runAsGroup: Int64?
    package var isRootReadOnly = false
    package var supplementalGroups: [Int64] = []
    package var noNewPrivileges = false
    package var maskedPaths: [String] = []
    package var readOnlyPaths: [String] = []
    package var seccomp: SecurityProfile?
    package init() {}

    func write(_ w: inout ProtoWriter) {
        if !addedCapabilities.isEmpty || !droppedCapabilities.isEmpty {
            w.message(1) {
                $0.strings(1, addedCapabilities)
                $0.strings(2, droppedCapabilities)
            }
        }
        w.bool(2, isPrivileged)
        w.message(3) { namespaces.write(&$0) }
        w.wrapped(5, runAsUser)
        w.bool(7, isRootReadOnly)
        w.packed(8, supplementalGroups)
        w.bool(11, noNewPrivileges)
        w.wrapped(12, runAsGroup)
        w.strings(13, maskedPaths)
        w.strings(14, readOnlyPaths)
        if let seccomp { w.message(15) { seccomp.write(&$0) } }
    }
}

package struct EnvironmentVariable: Sendable, Equatable {
    package var name: String
    package var value: String
    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// Everything the runtime needs to make a container (`runtime.v1.ContainerConfig`).
package struct ContainerConfig: Sendable, Equatable {
    package var name = ""
    package var attempt: UInt32 = 0
    package var image = ""
    package var command: [String] = []
    package var arguments: [String] = []
    package var workingDirectory = ""
    package var environment: [EnvironmentVariable] = []
    package var mounts: [ContainerMount] = []
    package var devices: [(container: String, host: String, permissions: String)] = []
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    package var logPath = ""
    package var stdin = false
    package var stdinOnce = false
    package var tty = false
    package var resources = ContainerResources()
    package var security = ContainerSecurity()
    package init() {}

    func write(_ w: inout ProtoWriter) {
        w.message(1) {
            $0.string(1, name)
            $0.uint(2, attempt)
        }
        w.message(2) { $0.string(1, image) }
        w.strings(3, command)
        w.strings(4, arguments)
        w.string(5, workingDirectory)
        for variable in environment {
            w.message(6) {
                $0.string(1, variable.name)
                $0.string(2, variable.value)
            }
        }
        for mount in mounts { w.message(7) { mount.write(&$0) } }
        for device in devices {
            w.message(8) {
                $0.string(1, device.container)
                $0.string(2, device.host)
                $0.string(3, device.permissions)
            }
        }
        w.map(9, labels)
        w.map(10, annotations)
        w.string(11, logPath)
        w.bool(12, stdin)
        w.bool(13, stdinOnce)
        w.bool(14, tty)
        w.message(15) {
            $0.message(1) { resources.write(&$0) }
            $0.message(2) { security.write(&$0) }
        }
    }

    package static func == (left: Self, right: Self) -> Bool { left.encoded == right.encoded }

    /// The message's bytes.
    package var encoded: [UInt8] {
        var writer = ProtoWriter()
        write(&writer)
        return writer.bytes
    }
}

/// `runtime.v1.ContainerState`.
package enum ContainerState: Int64, Sendable, Equatable {
    case created = 0
    case running = 1
    case exited = 2
    case unknown = 3
}

struct ContainerMetadata: ProtoReadable {
    var name = ""
    var attempt: UInt32 = 0
    mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: name = field.string
        case 2: attempt = UInt32(truncatingIfNeeded: field.int)
        default: break
        }
    }
}

/// A container as a list shows it.
package struct ContainerEntry: Sendable, Equatable, ProtoReadable {
    package var id = ""
    package var sandboxID = ""
    package var name = ""
    package var attempt: UInt32 = 0
    package var imageReference = ""
    package var state = ContainerState.created
    package var createdAt: Int64 = 0
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    package init() {}

    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: id = field.string
        case 2: sandboxID = field.string
        case 3:
            let metadata = try ContainerMetadata(proto: field.bytes)
            (name, attempt) = (metadata.name, metadata.attempt)
        case 5: imageReference = field.string
        case 6: state = ContainerState(rawValue: field.int) ?? .unknown
        case 7: createdAt = field.int
        case 8: try labels.readEntry(field)
        case 9: try annotations.readEntry(field)
        default: break
        }
    }
}

/// `ContainerStatusResponse.status`. Times are nanoseconds since 1970.
package struct ContainerStatus: Sendable, Equatable, ProtoReadable {
    package var id = ""
    package var name = ""
    package var attempt: UInt32 = 0
    package var state = ContainerState.created
    package var createdAt: Int64 = 0
    package var startedAt: Int64 = 0
    package var finishedAt: Int64 = 0
    package var exitCode: Int32 = 0
    package var image = ""
    package var imageReference = ""
    package var reason = ""
    package var message = ""
    package var labels: [String: String] = [:]
    package var annotations: [String: String] = [:]
    package var logPath = ""
    package init() {}

    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: id = field.string
        case 2:
            let metadata = try ContainerMetadata(proto: field.bytes)
            (name, attempt) = (metadata.name, metadata.attempt)
        case 3: state = ContainerState(rawValue: field.int) ?? .unknown
        case 4: createdAt = field.int
        case 5: startedAt = field.int
        case 6: finishedAt = field.int
        case 7: exitCode = Int32(truncatingIfNeeded: field.int)
        case 8: image = try SingleString(proto: field.bytes).value
        default: try readRest(field)
        }
    }

    private mutating func readRest(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 9: imageReference = field.string
        case 10: reason = field.string
        case 11: message = field.string
        case 12: try labels.readEntry(field)
        case 13: try annotations.readEntry(field)
        case 15: logPath = field.string
        default: break
        }
    }
}

/// The result of a command that ran to its end in a container.
package struct ExecResult: Sendable, Equatable, ProtoReadable {
    package var stdout: [UInt8] = []
    package var stderr: [UInt8] = []
    package var exitCode: Int32 = 0
    package init() {}

    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: stdout = Array(field.bytes)
        case 2: stderr = Array(field.bytes)
        case 3: exitCode = Int32(truncatingIfNeeded: field.int)
        default: break
        }
    }
}
