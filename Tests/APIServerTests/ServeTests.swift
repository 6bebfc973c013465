// Not a test of its own: with TERN_SERVE=1 it serves until it is killed, for trying clients by hand.
import Foundation
import Testing

@Test(.enabled(if: ProcessInfo.processInfo.environment["TERN_SERVE"] != nil)) func `serves until killed`() async throws
{
    let server = try await TestServer()
    print("KUBECONFIG=\(server.directory)/kubeconfig")
    fflush(nil)
    try await Task.sleep(for: .seconds(3600))
}
