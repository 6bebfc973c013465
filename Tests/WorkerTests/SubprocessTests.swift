// Programs that the worker starts: what they inherit.
import Glibc
import Testing
import Worker

@Suite
struct SubprocessTests {
    @Test func `a program that is started gets no file but its three`() throws {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #expect(socket > 2)
        defer { close(socket) }
        let open = try Subprocess.run(["sh", "-c", "for f in /proc/$$/fd/*; do readlink $f; done; true"])
        #expect(!open.contains("socket:"), "\(open)")
        #expect(open.contains("/dev/null"))
    }
}
