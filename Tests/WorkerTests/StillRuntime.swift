// A runtime in which nothing runs: it answers lists that a test gives it and remembers what it was told to remove or reopen.
import Kubelet
import Synchronization

final class StillRuntime: ContainerRuntime {
    struct State {
        var images: [Image] = []
        var containers: [ContainerEntry] = []
        var removedImages: [String] = []
        var reopenedLogs: [String] = []
        var refusesReopening = false
    }
    let state = Mutex(State())

    private func nothing() -> RuntimeError { RuntimeError(code: 12, message: "not here") }

    func version() async throws(RuntimeError) -> RuntimeVersion { RuntimeVersion() }
    func conditions() async throws(RuntimeError) -> [RuntimeCondition] { [] }
    func runSandbox(_ config: SandboxConfig, handler: String) async throws(RuntimeError) -> String { throw nothing() }
    func stopSandbox(_ id: String) async throws(RuntimeError) { throw nothing() }
    func removeSandbox(_ id: String) async throws(RuntimeError) { throw nothing() }
    func sandboxStatus(_ id: String) async throws(RuntimeError) -> SandboxStatus { throw nothing() }
    func sandboxes() async throws(RuntimeError) -> [Sandbox] { [] }
    func createContainer(
        _ config: ContainerConfig, sandboxID: String, sandbox: SandboxConfig
    ) async throws(RuntimeError) -> String { throw nothing() }
    func startContainer(_ id: String) async throws(RuntimeError) { throw nothing() }
    func stopContainer(_ id: String, timeoutSeconds: Int64) async throws(RuntimeError) { throw nothing() }
    func removeContainer(_ id: String) async throws(RuntimeError) { throw nothing() }
    func containers() async throws(RuntimeError) -> [ContainerEntry] { state.withLock { $0.containers } }
    func containerStatus(_ id: String) async throws(RuntimeError) -> ContainerStatus { throw nothing() }
    func containerStats() async throws(RuntimeError) -> [ContainerStats] { [] }
    func updateResources(_ id: String, _ resources: ContainerResources) async throws(RuntimeError) { throw nothing() }
    func reopenLog(_ id: String) async throws(RuntimeError) {
        let isRefused = state.withLock { state in
            if !state.refusesReopening { state.reopenedLogs.append(id) }
            return state.refusesReopening
        }
        if isRefused { throw nothing() }
    }
    func execSync(
        _ id: String, command: [String], timeoutSeconds: Int64
    ) async throws(RuntimeError) -> ExecResult { throw nothing() }
    func exec(_ id: String, command: [String], _ streams: StreamOptions) async throws(RuntimeError) -> String {
        throw nothing()
    }
    func attach(_ id: String, _ streams: StreamOptions) async throws(RuntimeError) -> String { throw nothing() }
    func portForward(sandboxID: String, ports: [Int32]) async throws(RuntimeError) -> String { throw nothing() }
    func images() async throws(RuntimeError) -> [Image] { state.withLock { $0.images } }
    func image(_ reference: String) async throws(RuntimeError) -> Image? { nil }
    func pullImage(
        _ reference: String, credentials: RegistryCredentials?, sandbox: SandboxConfig
    ) async throws(RuntimeError) -> String { throw nothing() }
    func removeImage(_ reference: String) async throws(RuntimeError) {
        state.withLock { $0.removedImages.append(reference) }
    }
    func imageFilesystems() async throws(RuntimeError) -> [FilesystemUsage] { [] }
}
