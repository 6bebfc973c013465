// The end of a cluster whose majority was given up (`tern member recover`, record 0017). The member that was recovered
// keeps the number of its old cluster, and tells whoever greets it in that cluster's name that another one took its
// place. Who hears that from the address of a member of its own stops, and does not start again: two clusters that both
// serve would take what is written to the other for nothing. With TLS the speaker has shown a certificate of the
// members' authority that is good for that address.
import Glibc
import KVCore

/// The answer to a hello in the name of a cluster that is no more.
package struct SupersededNotice: Hashable {
    private static let magic: UInt64 = 0x7465_726e_6b76_1003
    package var old: UInt64
    package var new: UInt64

    package init(old: UInt64, new: UInt64) {
        self.old = old
        self.new = new
    }

    package func encode() -> [UInt8] {
        var writer = ByteWriter()
        for word in [Self.magic, PeerProtocol.version, old, new] { writer.put(fixed: word) }
        return writer.bytes
    }

    package init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.fixed() == Self.magic, try reader.fixed() == PeerProtocol.version else { throw DecodeError() }
        old = try reader.fixed()
        new = try reader.fixed()
        guard reader.isAtEnd, old != new else { throw DecodeError() }
    }
}

/// What is left of it in the data directory, so that the member stays ended also where it cannot ask.
package enum SupersededMark {
    package static let fileName = "superseded"

    /// Throws when this data is of a cluster that was given up.
    static func refuse(_ directory: String) throws(ConfigurationError) {
        guard access("\(directory)/\(fileName)", F_OK) == 0 else { return }
        throw ConfigurationError(
            """
            the data in \(directory) are of a cluster that was given up: one of its members was recovered as another \
            cluster. Empty the directory and add this member to that one. Only if the recovered member is gone for \
            good: remove the file \(fileName) in it, and the old cluster goes on
            """)
    }

    /// Durable when it returns.
    static func write(_ directory: String, by new: UInt64) throws(ConfigurationError) {
        let path = "\(directory)/\(fileName)"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ConfigurationError("\(path): errno \(errno)") }
        let text = Array("by cluster \(String(new, radix: 16))\n".utf8)
        let isWritten = Glibc.write(descriptor, text, text.count) == text.count && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten else { throw ConfigurationError("\(path): errno \(errno)") }
        try StoreIdentity.sync(directory)
    }
}
