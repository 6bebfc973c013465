// Folders that the tests here made.
import Glibc

/// A data directory with the folders of its log.
func removeAll(_ path: String) {
    for folder in [path + "/raft.log", path + "/raft.log.damaged", path] {
        guard let handle = opendir(folder) else { continue }
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { unlink(folder + "/" + name) }
        }
        closedir(handle)
        rmdir(folder)
    }
}
