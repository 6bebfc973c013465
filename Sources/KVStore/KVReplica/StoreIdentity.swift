// Who a data directory is, where that does not follow from flags: one that joined a running cluster was given its
// number there, one that was restored belongs to a new cluster that the members of the old one cannot talk to, and a
// witness is one for ever. A small file beside the data, written once. While a directory is being made it has
// another name, which nobody starts from: data without its identity would belong to the old cluster.
import Glibc
import Raft

/// The cluster and the member that a data directory belongs to.
package struct StoreIdentity: Hashable, Sendable {
    package static let fileName = "identity"
    /// Of a directory whose data is not whole yet.
    package static let pendingFileName = "identity.pending"
    private static let heading = "tern store identity 1"
    private static let bytesMax = 4096
    package var cluster: UInt64
    package var member: PeerID
    package var isWitness: Bool
    /// The clusters in whose place this one is, the last one last: their members end when they greet this one.
    package private(set) var supersedes: [UInt64]
    private static let supersedesMax = 16

    package init(cluster: UInt64, member: PeerID, isWitness: Bool = false, supersedes: [UInt64] = []) {
        self.cluster = cluster
        self.member = member
        self.isWitness = isWitness
        self.supersedes = supersedes.filter { $0 != cluster }.suffix(Self.supersedesMax)
    }

    /// nil: the directory has none.
    package init?(_ directory: String) throws(ConfigurationError) {
        guard access("\(directory)/\(Self.pendingFileName)", F_OK) != 0 else {
            throw ConfigurationError("the making of \(directory) did not come to its end: remove it and begin again")
        }
        let path = "\(directory)/\(Self.fileName)"
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw ConfigurationError("\(path): errno \(errno)")
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.bytesMax)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { throw ConfigurationError("\(path) cannot be read") }
        let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n").map {
            $0.split(separator: " ").map(String.init)
        }
        guard lines.count >= 3, lines.count <= 4 + Self.supersedesMax, lines[0].joined(separator: " ") == Self.heading,
            lines[1].count == 2,
            lines[2].count == 2, lines[1][0] == "cluster", lines[2][0] == "member",
            let cluster = UInt64(lines[1][1], radix: 16), let member = UInt64(lines[2][1], radix: 16)
        else { throw ConfigurationError("\(path) is malformed") }
        self.cluster = cluster
        self.member = PeerID(member)
        isWitness = false
        supersedes = []
        for line in lines.dropFirst(3) {
            if line == ["role", "witness"], !isWitness {
                isWitness = true
            } else if line.count == 2, line[0] == "supersedes", let old = UInt64(line[1], radix: 16), old != cluster {
                supersedes.append(old)
            } else {
                throw ConfigurationError("\(path) is malformed")
            }
        }
        guard supersedes.count <= Self.supersedesMax else { throw ConfigurationError("\(path) is malformed") }
    }

    /// Somebody's state is there.
    package static func hasData(_ directory: String) -> Bool {
        ["state.sqlite", "members"].contains { access("\(directory)/\($0)", F_OK) == 0 }
    }

    /// Durable when it returns. With `making`, the data are made in between, and the directory is refused until both are
    /// there; without, a directory that was left half-way is as if nobody had begun.
    package func write(to directory: String, making: (() throws -> Void)? = nil) throws {
        let pending = "\(directory)/\(making == nil ? "\(Self.fileName).new" : Self.pendingFileName)"
        let old = supersedes.map { "\nsupersedes \(String($0, radix: 16))" }.joined()
        let text = """
            \(Self.heading)
            cluster \(String(cluster, radix: 16))
            member \(String(member.rawValue, radix: 16))\(isWitness ? "\nrole witness" : "")\(old)

            """
        let descriptor = open(pending, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ConfigurationError("\(pending): errno \(errno)") }
        let bytes = Array(text.utf8)
        let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten else { throw ConfigurationError("\(pending): errno \(errno)") }
        try Self.sync(directory)
        try making?()
        guard rename(pending, "\(directory)/\(Self.fileName)") == 0 else {
            throw ConfigurationError("\(pending): errno \(errno)")
        }
        try Self.sync(directory)
    }

    /// Makes the names in it durable.
    static func sync(_ directory: String) throws(ConfigurationError) {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ConfigurationError("\(directory): errno \(errno)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw ConfigurationError("\(directory): errno \(errno)") }
    }
}
