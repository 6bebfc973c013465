// Who a data directory is, where that does not follow from flags: one that joined a running cluster was given its
// number there, one that was restored belongs to a new cluster that the members of the old one cannot talk to. A small
// file beside the databases; it is written once, before they are.
import Glibc
import Raft

/// The cluster and the member that a data directory belongs to.
package struct StoreIdentity: Hashable, Sendable {
    package static let fileName = "identity"
    private static let heading = "tern store identity 1"
    private static let bytesMax = 4096
    package var cluster: UInt64
    package var member: PeerID

    package init(cluster: UInt64, member: PeerID) {
        self.cluster = cluster
        self.member = member
    }

    /// nil: the directory has none.
    package init?(_ directory: String) throws(ConfigurationError) {
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
        guard lines.count == 3, lines[0].joined(separator: " ") == Self.heading, lines[1].count == 2,
            lines[2].count == 2, lines[1][0] == "cluster", lines[2][0] == "member",
            let cluster = UInt64(lines[1][1], radix: 16), let member = UInt64(lines[2][1], radix: 16)
        else { throw ConfigurationError("\(path) is malformed") }
        self.cluster = cluster
        self.member = PeerID(member)
    }

    /// Durable when it returns.
    package func write(to directory: String) throws(ConfigurationError) {
        let path = "\(directory)/\(Self.fileName)"
        let text = """
            \(Self.heading)
            cluster \(String(cluster, radix: 16))
            member \(String(member.rawValue, radix: 16))

            """
        let descriptor = open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ConfigurationError("\(path): errno \(errno)") }
        let bytes = Array(text.utf8)
        let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten, rename(path + ".new", path) == 0 else { throw ConfigurationError("\(path): errno \(errno)") }
    }
}
