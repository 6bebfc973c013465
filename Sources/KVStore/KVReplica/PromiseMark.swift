// A member that reads by lease is bound by promises for a moment, also over a restart, and also when it is started again
// without them. So its directory remembers that it ever gave any: an empty file, durable before the first promise.
import Glibc
import Raft

/// Whether a data directory belongs to a member that may have promised something.
package enum PromiseMark {
    package static let fileName = "promises"

    /// The settings that a member of this directory starts with.
    package static func settings(
        _ settings: RaftSettings, in directory: String
    ) throws(ConfigurationError) -> RaftSettings {
        let path = "\(directory)/\(fileName)"
        guard settings.leaseReads else {
            var changed = settings
            changed.mayHavePromised = access(path, F_OK) == 0
            return changed
        }
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw ConfigurationError("\(path): errno \(errno)") }
        defer { close(file) }
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw ConfigurationError("\(directory): errno \(errno)") }
        defer { close(folder) }
        guard fsync(file) == 0, fsync(folder) == 0 else { throw ConfigurationError("\(path): errno \(errno)") }
        return settings
    }
}
