// The border between the kubelet and what runs containers. One implementation speaks CRI v1 (RuntimeClient.swift);
// the simulator may bring another. Every call may fail, and none may be retried blindly: what is level-based retries.

/// Why the runtime refused or could not be asked. `code` is the gRPC status code.
package struct RuntimeError: Error, Sendable, Equatable, CustomStringConvertible {
    package var code: Int
    package var message: String

    package init(code: Int, message: String) {
        self.code = code
        self.message = message
    }

    package var isNotFound: Bool { code == 5 }
    /// Nobody answers on the socket.
    package var isUnavailable: Bool { code == 14 }
    package var description: String { message }
    /// As upstream prints it in events.
    package var rpcDescription: String { "rpc error: code = \(Self.name(code)) desc = \(message)" }

    private static let names = [
        "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
        "DataLoss", "Unauthenticated"
    ]

    private static func name(_ code: Int) -> String { names.indices.contains(code) ? names[code] : "Code(\(code))" }
}

/// What runs containers.
package protocol ContainerRuntime: Sendable {
    func version() async throws(RuntimeError) -> RuntimeVersion
    func conditions() async throws(RuntimeError) -> [RuntimeCondition]
    /// Returns the sandbox's id. `handler` is the RuntimeClass's handler, "" for the default.
    func runSandbox(_ config: SandboxConfig, handler: String) async throws(RuntimeError) -> String
    func stopSandbox(_ id: String) async throws(RuntimeError)
    func removeSandbox(_ id: String) async throws(RuntimeError)
    func sandboxStatus(_ id: String) async throws(RuntimeError) -> SandboxStatus
    func sandboxes() async throws(RuntimeError) -> [Sandbox]
    /// Returns the container's id.
    func createContainer(
        _ config: ContainerConfig, sandboxID: String, sandbox: SandboxConfig
    )
        async throws(RuntimeError) -> String
    func startContainer(_ id: String) async throws(RuntimeError)
    /// Returns when the container is dead; it is killed after `timeoutSeconds`.
    func stopContainer(_ id: String, timeoutSeconds: Int64) async throws(RuntimeError)
    func removeContainer(_ id: String) async throws(RuntimeError)
    func containers() async throws(RuntimeError) -> [ContainerEntry]
    func containerStatus(_ id: String) async throws(RuntimeError) -> ContainerStatus
    func containerStats() async throws(RuntimeError) -> [ContainerStats]
    func updateResources(_ id: String, _ resources: ContainerResources) async throws(RuntimeError)
    func reopenLog(_ id: String) async throws(RuntimeError)
    func execSync(_ id: String, command: [String], timeoutSeconds: Int64) async throws(RuntimeError) -> ExecResult
    /// The URL at which the runtime's streaming server waits for this one session.
    func exec(_ id: String, command: [String], _ streams: StreamOptions) async throws(RuntimeError) -> String
    func attach(_ id: String, _ streams: StreamOptions) async throws(RuntimeError) -> String
    func portForward(sandboxID: String, ports: [Int32]) async throws(RuntimeError) -> String
    func images() async throws(RuntimeError) -> [Image]
    /// nil when the image is not there.
    func image(_ reference: String) async throws(RuntimeError) -> Image?
    /// Returns the image's reference.
    func pullImage(
        _ reference: String, credentials: RegistryCredentials?, sandbox: SandboxConfig
    )
        async throws(RuntimeError) -> String
    func removeImage(_ reference: String) async throws(RuntimeError)
    func imageFilesystems() async throws(RuntimeError) -> [FilesystemUsage]
}

/// Which streams of a container an exec or attach wants.
package struct StreamOptions: Sendable, Equatable {
    package var stdin = false
    package var stdout = false
    package var stderr = false
    package var tty = false
    package init(stdin: Bool = false, stdout: Bool = false, stderr: Bool = false, tty: Bool = false) {
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.tty = tty
    }
}
