// Brings the image of a container: pull policy, one pull at a time for an image, credentials. Messages are upstream's.
import API
import Logging
import Synchronization

/// Why an image is not to be had, as `state.waiting` shows it.
package struct ImageError: Error, Sendable, Equatable {
    package var reason: String
    package var message: String
}

package final class ImageSource: Sendable {
    /// Tells of an event: isWarning, reason, message.
    package typealias Tell = @Sendable (Bool, String, String) -> Void

    private typealias Pull = Task<Result<String, RuntimeError>, Never>
    private let runtime: any ContainerRuntime
    private let objects: ObjectCache
    private let pulled: PulledImages
    private let logger: Logger
    private let pulls = Mutex<[String: Pull]>([:])

    package init(runtime: any ContainerRuntime, objects: ObjectCache, pulled: PulledImages, logger: Logger) {
        self.runtime = runtime
        self.objects = objects
        self.pulled = pulled
        self.logger = logger
    }

    /// This kubelet pulled the image, so that it may remove it.
    package func wasPulledHere(_ id: String) -> Bool { pulled.contains(id) }

    package func forget(_ id: String) {
        do throws(FileError) { try pulled.remove(id) } catch {
            logger.debug("a mark stays", metadata: ["error": "\(error)"])
        }
    }

    private func remember(_ id: String) {
        do throws(FileError) { try pulled.add(id) } catch {
            logger.warning("a pulled image is not remembered", metadata: ["error": "\(error)"])
        }
    }

    package func ensure(
        _ container: JSON, _ pod: JSON, sandbox: SandboxConfig, tell: Tell
    ) async throws(ImageError) -> Image {
        let name = container["image"]?.string ?? ""
        guard ImageName.isValid(name) else {
            let message =
                "Failed to apply default image tag \"\(name)\": couldn't parse image name \"\(name)\": "
                + "invalid reference format"
            tell(true, "InspectFailed", message)
            throw ImageError(reason: "InvalidImageName", message: message)
        }
        let policy = container["imagePullPolicy"]?.string ?? (ImageName.isLatest(name) ? "Always" : "IfNotPresent")
        if policy != "Always", let present = try await inspect(name, tell) {
            tell(false, "Pulled", "Container image \"\(name)\" already present on machine")
            return present
        }
        if policy == "Never" {
            let message = "Container image \"\(name)\" is not present with pull policy of Never"
            tell(true, "ErrImageNeverPull", message)
            throw ImageError(reason: "ErrImageNeverPull", message: message)
        }
        return try await pull(name, pod, sandbox, tell)
    }

    private func inspect(_ name: String, _ tell: Tell) async throws(ImageError) -> Image? {
        do throws(RuntimeError) {
            return try await runtime.image(name)
        } catch {
            let message = "Failed to inspect image \"\(name)\": \(error.rpcDescription)"
            tell(true, "InspectFailed", message)
            throw ImageError(reason: "ImageInspectError", message: message)
        }
    }

    private func pull(
        _ name: String, _ pod: JSON, _ sandbox: SandboxConfig, _ tell: Tell
    ) async throws(ImageError)
        -> Image
    {
        tell(false, "Pulling", "Pulling image \"\(name)\"")
        let began = Clock.now()
        let wasThere = try await inspect(name, tell) != nil
        let credentials = await credentials(for: name, pod)
        let task = pulls.withLock { pulls in
            if let running = pulls[name] { return running }
            let task = Pull { [runtime] in
                do throws(RuntimeError) {
                    return .success(try await runtime.pullImage(name, credentials: credentials, sandbox: sandbox))
                } catch {
                    return .failure(error)
                }
            }
            pulls[name] = task
            return task
        }
        let result = await Self.wait(for: task)
        pulls.withLock { $0[name] = nil }
        guard let result else { throw ImageError(reason: "ErrImagePull", message: "pull cancelled") }
        switch result {
        case .failure(let error):
            tell(true, "Failed", "Failed to pull image \"\(name)\": \(error.rpcDescription)")
            tell(true, "Failed", "Error: ErrImagePull")
            throw ImageError(reason: "ErrImagePull", message: error.rpcDescription)
        case .success(let reference):
            guard let image = try await inspect(reference, tell) else {
                throw ImageError(reason: "ErrImagePull", message: "image \"\(name)\" is gone after its pull")
            }
            if !wasThere { remember(image.id) }
            let took = Self.duration(Clock.now() &- began)
            tell(
                false, "Pulled",
                "Successfully pulled image \"\(name)\" in \(took) (\(took) including waiting). "
                    + "Image size: \(image.sizeBytes) bytes."
            )
            return image
        }
    }

    private static func duration(_ time: Nanoseconds) -> String {
        let millis = max(0, time / 1_000_000)
        guard millis >= 1000 else { return "\(millis)ms" }
        let fraction = String(millis % 1000 + 1000).dropFirst()
        return "\(millis / 1000).\(fraction)s"
    }

    /// Waits for a pull that others may share; nil when this waiter was cancelled.
    private static func wait(for task: Pull) async -> Result<String, RuntimeError>? {
        let waiter = Mutex<(CheckedContinuation<Result<String, RuntimeError>?, Never>?, Bool)>((nil, false))
        let box = WaiterBox(waiter)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                box.set(continuation)
                Task { box.resume(await task.value) }
            }
        } onCancel: {
            box.resume(nil)
        }
    }

    private func credentials(for image: String, _ pod: JSON) async -> RegistryCredentials? {
        let host = ImageName.registry(image)
        for reference in pod["spec", "imagePullSecrets"]?.elements ?? [] {
            guard let name = reference["name"]?.string else { continue }
            do throws(StatusError) {
                let secret = try await objects.get(ObjectName(.secret, pod.namespace, name))
                if let found = secret.flatMap({ RegistryCredentials(secret: $0, host: host) }) { return found }
            } catch {
                continue  // a secret that cannot be read is like one that is not there: the pull shows it
            }
        }
        return nil
    }
}

/// A continuation that is resumed once, by the task or by a cancellation.
private final class WaiterBox: Sendable {
    typealias Outcome = Result<String, RuntimeError>?
    private let state: Mutex<(CheckedContinuation<Outcome, Never>?, Bool)>

    init(_ state: consuming Mutex<(CheckedContinuation<Outcome, Never>?, Bool)>) { self.state = state }

    func set(_ continuation: CheckedContinuation<Outcome, Never>) {
        let isDone = state.withLock { state in
            if !state.1 { state.0 = continuation }
            return state.1
        }
        if isDone { continuation.resume(returning: nil) }
    }

    func resume(_ outcome: Outcome) {
        let continuation = state.withLock { state in
            defer { state = (nil, true) }
            return state.0
        }
        continuation?.resume(returning: outcome)
    }
}
