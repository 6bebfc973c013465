// Who takes part, kept apart from the state database: a member whose database is damaged must know whom to ask for
// another one, and how many must agree before it may lead. Written before the log goes that could tell it otherwise.
import Glibc
import KVCore
import Raft

/// The members as of some entry of the log; what came after it is in the log.
package struct MembersCopy: Hashable, Sendable {
    package var cluster: UInt64?
    package var configuration = Configuration.empty
    package var members: [Member] = []
    private static let magic: UInt64 = 0x7465_726e_6d65_6d31

    package init(cluster: UInt64?, configuration: Configuration, members: [Member]) {
        self.cluster = cluster
        self.configuration = configuration
        self.members = members
    }

    /// nil: it is not what was written.
    package init?(decoding bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        do throws(DecodeError) {
            guard try reader.fixed() == Self.magic else { return nil }
            cluster = try reader.optional { (r: inout ByteReader) throws(DecodeError) in try r.fixed() }
            let peers = try reader.data()
            members = try reader.list { (r: inout ByteReader) throws(DecodeError) in try r.member() }
            let sum = try reader.fixed()
            guard reader.isAtEnd, sum == StateStore.sum([Array(bytes.dropLast(8))]) else { return nil }
            guard !peers.isEmpty else { return }
            guard let configuration = Configuration(decoding: peers) else { return nil }
            self.configuration = configuration
        } catch { return nil }
    }

    package func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.put(fixed: Self.magic)
        writer.put(optional: cluster) { $0.put(fixed: $1) }
        writer.put(configuration.voters.isEmpty ? [] : configuration.encode())
        writer.put(list: members) { $0.put($1) }
        writer.put(fixed: StateStore.sum([writer.bytes]))
        return writer.bytes
    }
}

/// Where the copy is kept.
package protocol MembersMedium: Sendable {
    /// nil: there is none.
    func read() -> [UInt8]?
    /// The old or the new one is there, whatever happens; the new one for good when this returns.
    func write(_ bytes: [UInt8]) throws(DiskError)
}

/// A small file beside the database.
struct MembersFile: MembersMedium {
    private static let bytesMax = 1 << 20
    let directory: String
    private var path: String { directory + "/members" }

    init(_ directory: String) { self.directory = directory }

    func read() -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.bytesMax)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return count > 0 ? Array(bytes[..<count]) : nil
    }

    func write(_ bytes: [UInt8]) throws(DiskError) {
        let new = path + ".new"
        let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .errno(new) }
        let count = Glibc.write(descriptor, bytes, bytes.count)
        let isSynced = count == bytes.count && fsync(descriptor) == 0
        let failure = count >= 0 && count < bytes.count ? DiskError.full("\(new): no room") : .errno(new)
        close(descriptor)
        guard isSynced else { throw failure }
        guard rename(new, path) == 0 else { throw .errno(new) }
        try DataDirectory.sync(directory)
    }
}

extension DiskError {
    /// What the last call of the system says.
    static func errno(_ what: String) -> DiskError {
        let code = Glibc.errno
        return code == ENOSPC || code == EDQUOT ? .full("\(what): errno \(code)") : .failed("\(what): errno \(code)")
    }
}
