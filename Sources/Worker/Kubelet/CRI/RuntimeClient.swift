// CRI v1 over gRPC: one short method a call. The transport is a closure so that this file knows no sockets;
// `RuntimeClient.connect` (RuntimeConnection.swift) gives the real one.

/// A container runtime behind a CRI v1 socket.
package struct RuntimeClient: ContainerRuntime {
    /// One unary gRPC call: path ("/runtime.v1.RuntimeService/Version"), request, seconds until it is given up.
    package typealias Call =
        @Sendable (_ path: String, _ request: [UInt8], _ timeoutSeconds: Int64) async throws(RuntimeError) -> [UInt8]

    /// Upstream's default for calls that neither stop, pull nor execute.
    package static let callSeconds: Int64 = 120
    package static let pullSeconds: Int64 = 3600

    private let call: Call

    package init(call: @escaping Call) { self.call = call }

    private func unary(
        _ method: String, service: String = "RuntimeService", seconds: Int64 = callSeconds,
        _ body: (inout ProtoWriter) -> Void = { _ in }
    ) async throws(RuntimeError) -> [UInt8] {
        var writer = ProtoWriter()
        body(&writer)
        return try await call("/runtime.v1.\(service)/\(method)", writer.bytes, seconds)
    }

    private func decode<Message: ProtoReadable>(_ bytes: [UInt8]) throws(RuntimeError) -> Message {
        do { return try Message(proto: bytes) } catch {
            throw RuntimeError(code: 13, message: "runtime's answer: \(error.reason)")
        }
    }

    package func version() async throws(RuntimeError) -> RuntimeVersion {
        try decode(try await unary("Version") { $0.string(1, "v1") })
    }

    package func conditions() async throws(RuntimeError) -> [RuntimeCondition] {
        let answer: SingleMessage<RepeatedMessage<RuntimeCondition>> = try decode(try await unary("Status"))
        return answer.value?.values ?? []
    }

    package func runSandbox(_ config: SandboxConfig, handler: String) async throws(RuntimeError) -> String {
        let bytes = try await unary("RunPodSandbox", seconds: 240) {
            $0.message(1) { config.write(&$0) }
            $0.string(2, handler)
        }
        let answer: SingleString = try decode(bytes)
        return answer.value
    }

    package func stopSandbox(_ id: String) async throws(RuntimeError) {
        _ = try await unary("StopPodSandbox") { $0.string(1, id) }
    }
    package func removeSandbox(_ id: String) async throws(RuntimeError) {
        _ = try await unary("RemovePodSandbox") { $0.string(1, id) }
    }

    package func sandboxStatus(_ id: String) async throws(RuntimeError) -> SandboxStatus {
        let answer: SingleMessage<SandboxStatus> = try decode(try await unary("PodSandboxStatus") { $0.string(1, id) })
        guard let status = answer.value else { throw RuntimeError(code: 5, message: "sandbox \(id) has no status") }
        return status
    }

    package func sandboxes() async throws(RuntimeError) -> [Sandbox] {
        let answer: RepeatedMessage<Sandbox> = try decode(try await unary("ListPodSandbox"))
        return answer.values
    }

    package func createContainer(
        _ config: ContainerConfig, sandboxID: String, sandbox: SandboxConfig
    ) async throws(RuntimeError) -> String {
        let bytes = try await unary("CreateContainer") {
            $0.string(1, sandboxID)
            $0.message(2) { config.write(&$0) }
            $0.message(3) { sandbox.write(&$0) }
        }
        let answer: SingleString = try decode(bytes)
        return answer.value
    }

    package func startContainer(_ id: String) async throws(RuntimeError) {
        _ = try await unary("StartContainer") { $0.string(1, id) }
    }
    package func removeContainer(_ id: String) async throws(RuntimeError) {
        _ = try await unary("RemoveContainer") { $0.string(1, id) }
    }
    package func reopenLog(_ id: String) async throws(RuntimeError) {
        _ = try await unary("ReopenContainerLog") { $0.string(1, id) }
    }

    package func stopContainer(_ id: String, timeoutSeconds: Int64) async throws(RuntimeError) {
        _ = try await unary("StopContainer", seconds: Self.callSeconds &+ max(0, timeoutSeconds)) {
            $0.string(1, id)
            $0.int(2, timeoutSeconds)
        }
    }

    package func containers() async throws(RuntimeError) -> [ContainerEntry] {
        let answer: RepeatedMessage<ContainerEntry> = try decode(try await unary("ListContainers"))
        return answer.values
    }

    package func containerStatus(_ id: String) async throws(RuntimeError) -> ContainerStatus {
        let answer: SingleMessage<ContainerStatus> = try decode(try await unary("ContainerStatus") { $0.string(1, id) })
        guard let status = answer.value else { throw RuntimeError(code: 5, message: "container \(id) has no status") }
        return status
    }

    package func containerStats() async throws(RuntimeError) -> [ContainerStats] {
        let answer: RepeatedMessage<ContainerStats> = try decode(try await unary("ListContainerStats"))
        return answer.values
    }

    package func updateResources(_ id: String, _ resources: ContainerResources) async throws(RuntimeError) {
        _ = try await unary("UpdateContainerResources") {
            $0.string(1, id)
            $0.message(2) { resources.write(&$0) }
        }
    }

    package func execSync(
        _ id: String, command: [String], timeoutSeconds: Int64
    ) async throws(RuntimeError)
        -> ExecResult
    {
        let bytes = try await unary("ExecSync", seconds: timeoutSeconds > 0 ? timeoutSeconds &+ 10 : Self.callSeconds) {
            $0.string(1, id)
            $0.strings(2, command)
            $0.int(3, timeoutSeconds)
        }
        return try decode(bytes)
    }

    package func exec(_ id: String, command: [String], _ streams: StreamOptions) async throws(RuntimeError) -> String {
        let bytes = try await unary("Exec") {
            $0.string(1, id)
            $0.strings(2, command)
            $0.bool(3, streams.tty)
            $0.bool(4, streams.stdin)
            $0.bool(5, streams.stdout)
            $0.bool(6, streams.stderr)
        }
        let answer: SingleString = try decode(bytes)
        return answer.value
    }

    package func attach(_ id: String, _ streams: StreamOptions) async throws(RuntimeError) -> String {
        let bytes = try await unary("Attach") {
            $0.string(1, id)
            $0.bool(2, streams.stdin)
            $0.bool(3, streams.tty)
            $0.bool(4, streams.stdout)
            $0.bool(5, streams.stderr)
        }
        let answer: SingleString = try decode(bytes)
        return answer.value
    }

    package func portForward(sandboxID: String, ports: [Int32]) async throws(RuntimeError) -> String {
        let bytes = try await unary("PortForward") {
            $0.string(1, sandboxID)
            $0.packed(2, ports.map(Int64.init))
        }
        let answer: SingleString = try decode(bytes)
        return answer.value
    }

    package func images() async throws(RuntimeError) -> [Image] {
        let answer: RepeatedMessage<Image> = try decode(try await unary("ListImages", service: "ImageService"))
        return answer.values
    }

    package func image(_ reference: String) async throws(RuntimeError) -> Image? {
        let bytes = try await unary("ImageStatus", service: "ImageService") {
            $0.message(1) { $0.string(1, reference) }
        }
        let answer: SingleMessage<Image> = try decode(bytes)
        return answer.value
    }

    package func pullImage(
        _ reference: String, credentials: RegistryCredentials?, sandbox: SandboxConfig
    ) async throws(RuntimeError) -> String {
        let bytes = try await unary("PullImage", service: "ImageService", seconds: Self.pullSeconds) {
            $0.message(1) { $0.string(1, reference) }
            if let credentials { $0.message(2) { credentials.write(&$0) } }
            $0.message(3) { sandbox.write(&$0) }
        }
        let answer: SingleString = try decode(bytes)
        return answer.value
    }

    package func removeImage(_ reference: String) async throws(RuntimeError) {
        _ = try await unary("RemoveImage", service: "ImageService") { $0.message(1) { $0.string(1, reference) } }
    }

    package func imageFilesystems() async throws(RuntimeError) -> [FilesystemUsage] {
        let answer: RepeatedMessage<FilesystemUsage> = try decode(
            try await unary("ImageFsInfo", service: "ImageService"))
        return answer.values
    }
}
