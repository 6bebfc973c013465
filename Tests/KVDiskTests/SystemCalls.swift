// SQLite's calls of the system, replaced for a while: there is one set of them in a process.
import CSQLite
import Testing

/// `calls`: by their names, each as a C function of its own type.
func whileReplacing(_ calls: [String: sqlite3_syscall_ptr], _ body: () throws -> Void) throws {
    let system = try #require(sqlite3_vfs_find(nil))
    for (name, call) in calls { _ = system.pointee.xSetSystemCall(system, name, call) }
    defer { for name in calls.keys { _ = system.pointee.xSetSystemCall(system, name, nil) } }
    try body()
}
