// Keeps container logs bounded: a file above the limit is put aside and the runtime opens a new one; the oldest go.
// The runtime writes the files; it must never be left writing into one that nobody reads.
import Glibc
import Logging

package struct LogRotation: Sendable {
    private let runtime: any ContainerRuntime
    private let bytesMax: Int64
    private let filesMax: Int
    private let logger: Logger

    package init(runtime: any ContainerRuntime, bytesMax: Int64, filesMax: Int, logger: Logger) {
        self.runtime = runtime
        self.bytesMax = bytesMax
        self.filesMax = max(2, filesMax)
        self.logger = logger
    }

    /// Looks at the log of one running container. Blocking but for the runtime's call.
    package func rotate(_ status: ContainerStatus, now: Nanoseconds) async {
        let path = status.logPath
        guard !path.isEmpty, let size = Files.status(path)?.st_size, Int64(size) > bytesMax else { return }
        let stamp = String(TimeText.text(now).filter(\.isNumber))
        let aside = "\(path).\(stamp.prefix(8))-\(stamp.dropFirst(8))"
        do {
            try Files.rename(path, to: aside)
            do throws(RuntimeError) {
                try await runtime.reopenLog(status.id)
            } catch {
                try Files.rename(aside, to: path)
                throw error
            }
            try removeOld(path)
        } catch {
            logger.warning("a log is not rotated", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }

    private func removeOld(_ path: String) throws(FileError) {
        let (directory, name) = (Files.parent(of: path), Files.lastComponent(path))
        let aside = try Files.list(directory).filter { $0.hasPrefix(name + ".") }
        for old in aside.dropLast(filesMax - 1) { try Files.remove(directory + "/" + old) }
    }
}
