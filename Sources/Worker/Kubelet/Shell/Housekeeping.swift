// What is done now and then: logs are rotated, images that this kubelet pulled and nobody uses make room, what
// pods left
// behind on disk goes. Images that others brought are never removed, nor the sandbox image, nor anything in use.
import API
import Logging

package final class Housekeeping: Sendable {
    private let executor: PodExecutor
    private let loop: KubeletLoop
    private let logger: Logger
    private let rotation: LogRotation

    package init(executor: PodExecutor, loop: KubeletLoop, logger: Logger) {
        self.executor = executor
        self.loop = loop
        self.logger = logger
        let configuration = executor.configuration
        rotation = LogRotation(
            runtime: executor.runtime, bytesMax: configuration.containerLogBytesMax,
            filesMax: configuration.containerLogFilesMax, logger: logger)
    }

    /// Runs until the task is cancelled.
    package func run() async {
        var round = 0
        while !Task.isCancelled {
            do { try await Task.sleep(for: .nanoseconds(executor.configuration.housekeepingEvery)) } catch { return }
            round += 1
            await rotateLogs()
            if round % 6 == 1 { await removeLeftovers() }
            if round % 30 == 0 { await collectImages() }
        }
    }

    private func rotateLogs() async {
        let running = await loop.ask { pods in
            pods.uids.flatMap { pods.life($0)?.containers ?? [] }.compactMap { $0.isRunning ? $0.current?.status : nil }
        }
        for status in running ?? [] { await rotation.rotate(status, now: Clock.now()) }
    }

    // MARK: images

    /// Makes room when the images' disk is fuller than the upper limit, down to the lower one.
    package func collectImages(disk: @Sendable (String) -> Disk? = Disk.read) async {
        let configuration = executor.configuration
        do throws(RuntimeError) {
            let mountpoint =
                try await executor.runtime.imageFilesystems().first?.mountpoint ?? configuration.rootDirectory
            guard let found = disk(mountpoint), found.usedPercent >= configuration.imageGCHighPercent else { return }
            let used = Set(try await executor.runtime.containers().map(\.imageReference))
            for image in try await executor.runtime.images() where isUnused(image, used) {
                if disk(mountpoint)?.usedPercent ?? 0 <= configuration.imageGCLowPercent { return }
                try await executor.runtime.removeImage(image.id)
                executor.images.forget(image.id)
                logger.notice("an unused image is removed", metadata: ["image": "\(image.tags.first ?? image.id)"])
            }
        } catch {
            logger.warning("images are not collected", metadata: ["error": "\(error)"])
        }
    }

    private func isUnused(_ image: Image, _ used: Set<String>) -> Bool {
        let names = [image.id] + image.tags + image.digests
        return !image.isPinned && executor.images.wasPulledHere(image.id) && !names.contains { used.contains($0) }
            && !image.tags.contains(executor.configuration.sandboxImage)
    }

    // MARK: leftovers

    /// Directories and groups of pods that neither the API nor the runtime has.
    private func removeLeftovers() async {
        guard let known = await loop.ask({ $0.isSynced ? Set($0.uids) : nil }) ?? nil else { return }
        let pods = executor.volumes.rootDirectory + "/pods"
        do {
            let living = Set(try await executor.runtime.sandboxes().map(\.metadata.uid))
            for uid in Files.isDirectory(pods) ? try Files.list(pods) : []
            where !known.contains(uid) && !living.contains(uid) {
                try executor.volumes.tearDown(uid: uid)
            }
            guard executor.configuration.makesPodCgroups else { return }
            for (uid, group) in executor.cgroups.pods(root: executor.configuration.cgroupRoot)
            where !known.contains(uid) && !living.contains(uid) {
                for problem in executor.cgroups.remove(group) {
                    logger.debug("a pod's group stays", metadata: ["error": "\(problem)"])
                }
            }
        } catch {
            logger.warning("leftovers of pods stay", metadata: ["error": "\(error)"])
        }
    }
}
