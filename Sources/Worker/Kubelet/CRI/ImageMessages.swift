// CRI v1 messages about images, statistics and the runtime itself.

/// An image that the runtime holds.
package struct Image: Sendable, Equatable, ProtoReadable {
    package var id = ""
    package var tags: [String] = []
    package var digests: [String] = []
    package var sizeBytes: UInt64 = 0
    package var runAsUser: Int64?
    package var username = ""
    package var isPinned = false
    package init() {}

    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: id = field.string
        case 2: tags.append(field.string)
        case 3: digests.append(field.string)
        case 4: sizeBytes = UInt64(bitPattern: field.int)
        case 5: runAsUser = try WrappedInt(proto: field.bytes).value
        case 6: username = field.string
        case 8: isPinned = field.bool
        default: break
        }
    }
}

/// `Int64Value`, `UInt64Value`.
struct WrappedInt: ProtoReadable {
    var value: Int64 = 0
    mutating func read(_ field: ProtoField) throws(ProtoError) {
        if field.number == 1 { value = field.int }
    }
}

/// Credentials for one registry.
package struct RegistryCredentials: Sendable, Equatable {
    package var username = ""
    package var password = ""
    package var auth = ""
    package var serverAddress = ""
    package var identityToken = ""
    package init() {}

    func write(_ w: inout ProtoWriter) {
        w.string(1, username)
        w.string(2, password)
        w.string(3, auth)
        w.string(4, serverAddress)
        w.string(5, identityToken)
    }
}

/// Name and version of the runtime.
package struct RuntimeVersion: Sendable, Equatable, ProtoReadable {
    package var name = ""
    package var version = ""
    package init() {}
    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 2: name = field.string
        case 3: version = field.string
        default: break
        }
    }
}

/// `RuntimeReady`, `NetworkReady`.
package struct RuntimeCondition: Sendable, Equatable, ProtoReadable {
    package var type = ""
    package var isTrue = false
    package var reason = ""
    package var message = ""
    package init() {}
    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: type = field.string
        case 2: isTrue = field.bool
        case 3: reason = field.string
        case 4: message = field.string
        default: break
        }
    }
}

/// How much an image filesystem holds.
package struct FilesystemUsage: Sendable, Equatable, ProtoReadable {
    package var mountpoint = ""
    package var usedBytes: UInt64 = 0
    package var inodesUsed: UInt64 = 0
    package init() {}
    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 2: mountpoint = try SingleString(proto: field.bytes).value
        case 3: usedBytes = UInt64(bitPattern: try WrappedInt(proto: field.bytes).value)
        case 4: inodesUsed = UInt64(bitPattern: try WrappedInt(proto: field.bytes).value)
        default: break
        }
    }
}

/// What a container uses; times and CPU in nanoseconds.
package struct ContainerStats: Sendable, Equatable, ProtoReadable {
    package var id = ""
    package var labels: [String: String] = [:]
    package var cpuTimestamp: Int64 = 0
    package var cpuNanoseconds: Int64 = 0
    package var memoryTimestamp: Int64 = 0
    package var workingSetBytes: Int64 = 0
    package var filesystemBytes: UInt64 = 0
    package init() {}

    package mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1:
            let attributes = try StatsAttributes(proto: field.bytes)
            (id, labels) = (attributes.id, attributes.labels)
        case 2: (cpuTimestamp, cpuNanoseconds) = try Self.usage(field)
        case 3: (memoryTimestamp, workingSetBytes) = try Self.usage(field)
        case 4: filesystemBytes = try FilesystemUsage(proto: field.bytes).usedBytes
        default: break
        }
    }

    /// The time stamp (field 1) and the first figure (field 2) of `CpuUsage` and `MemoryUsage`.
    private static func usage(_ outer: ProtoField) throws(ProtoError) -> (Int64, Int64) {
        var reader = ProtoReader(outer.bytes)
        var result: (Int64, Int64) = (0, 0)
        while let field = try reader.next() {
            if field.number == 1 { result.0 = field.int }
            if field.number == 2 { result.1 = try WrappedInt(proto: field.bytes).value }
        }
        return result
    }
}

struct StatsAttributes: ProtoReadable {
    var id = ""
    var labels: [String: String] = [:]
    mutating func read(_ field: ProtoField) throws(ProtoError) {
        switch field.number {
        case 1: id = field.string
        case 3: try labels.readEntry(field)
        default: break
        }
    }
}
