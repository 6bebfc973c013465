// The files of a ConfigMap, Secret, token or downward volume, changed all at once: a new directory with all files,
// then one rename of the link `..data`. A reader sees the old set or the new one, never a mixture.
// Names that would leave the volume are refused.
import Glibc

/// One file of such a volume.
package struct ProjectedFile: Sendable, Equatable {
    package var bytes: [UInt8]
    package var mode: UInt32
    package init(bytes: [UInt8], mode: UInt32) {
        self.bytes = bytes
        self.mode = mode
    }
}

package enum AtomicWriter {
    /// Brings `directory` to show exactly `files`; writes nothing when it does already. Returns whether it changed.
    @discardableResult
    package static func write(
        _ files: [String: ProjectedFile], to directory: String, group: gid_t?, stamp: Nanoseconds
    )
        throws(FileError) -> Bool
    {
        for name in files.keys { guard isSafe(name) else { throw FileError("project", name, EINVAL) } }
        let old = Files.readLink(directory + "/..data")
        if let old, try isSame(files, directory + "/" + old) { return false }
        let version = "..\(stamp)"
        let target = directory + "/" + version
        try Files.makeDirectory(target)
        for (name, file) in files.sorted(by: { $0.key < $1.key }) { try writeOne(name, file, target, group) }
        try Files.link(version, at: directory + "/..data")
        try linkTops(files.keys, directory)
        if let old, old.hasPrefix(".."), !old.contains("/"), old != version {
            try Files.removeTree(directory + "/" + old)
        }
        return true
    }

    package static func isSafe(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return !name.isEmpty && !name.hasPrefix("..")
            && parts.allSatisfy { !$0.isEmpty && $0 != ".." && $0 != "." && !$0.utf8.contains(0) }
    }

    private static func writeOne(
        _ name: String, _ file: ProjectedFile, _ target: String, _ group: gid_t?
    )
        throws(FileError)
    {
        let path = target + "/" + name
        try Files.makeDirectory(Files.parent(of: path))
        try Files.write(file.bytes, to: path, mode: mode_t(file.mode))
        if let group { try Files.changeOwner(path, group: group) }
    }

    /// The visible names are links through `..data`; only the first part of a path is linked.
    private static func linkTops(_ names: some Sequence<String>, _ directory: String) throws(FileError) {
        let tops = Set(names.map { String($0.prefix { $0 != "/" }) })
        for top in tops.sorted() where Files.readLink(directory + "/" + top) != "..data/" + top {
            try Files.link("..data/" + top, at: directory + "/" + top)
        }
        for name in try Files.list(directory) where !name.hasPrefix("..") && !tops.contains(name) {
            try Files.remove(directory + "/" + name)
        }
    }

    private static func isSame(_ files: [String: ProjectedFile], _ directory: String) throws(FileError) -> Bool {
        guard Files.isRealDirectory(directory), try paths(directory, "") == files.keys.sorted() else { return false }
        for (name, file) in files {
            guard let status = Files.status(directory + "/" + name), status.st_mode & 0o7777 == file.mode else {
                return false
            }
            guard try Files.read(directory + "/" + name) == file.bytes else { return false }
        }
        return true
    }

    private static func paths(_ directory: String, _ prefix: String) throws(FileError) -> [String] {
        var found: [String] = []
        for name in try Files.list(directory) {
            if Files.isRealDirectory(directory + "/" + name) {
                found += try paths(directory + "/" + name, prefix + name + "/")
            } else {
                found.append(prefix + name)
            }
        }
        return found.sorted()
    }
}
