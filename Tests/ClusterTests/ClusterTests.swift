// The development cluster as users meet it. One cluster for the whole suite; each test leaves it whole.
import API
import Testing
import Worker

@Suite(
    .serialized,
    .enabled(if: TestCluster.isPossible, "needs root, the program beside the tests, and a kubectl on PATH"),
    .cluster, .timeLimit(.minutes(10)))
struct ClusterTests {
    func cluster() throws -> TestCluster { try #require(TestCluster.current) }

    static func condition(_ object: JSON, _ type: String) -> JSON? {
        object["status", "conditions"]?.elements.first { $0["type"]?.string == type }
    }
}
