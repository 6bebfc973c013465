// Masters that share an identity directory and start together, as under docker-compose.
import Glibc
import Master
import NetPKI
import Testing
import Worker

struct IdentityTests {
    @Test func `masters that start together on one directory have one identity`() async throws {
        var template = Array("/tmp/tern-identity-XXXXXX".utf8CString)
        let directory = String(cString: try #require(mkdtemp(&template)))
        let authorities = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<6 {
                group.addTask { try ClusterIdentity(directory: directory).storeCA.certificatePEM }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(authorities.count == 1)
        try Subprocess.run(["rm", "-rf", directory])
    }
}
