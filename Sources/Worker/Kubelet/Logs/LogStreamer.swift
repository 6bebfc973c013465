// Streams a container's log: the wanted end of the file, then what comes, across rotation, until the container is dead.
// It never holds more than one block of the file, and waits when the client does not read.
import Glibc
import NIOCore
import NetHTTP
import Synchronization

package struct LogStreamer: Sendable {
    private static let blockBytes = 64 << 10
    private static let pollEvery: Duration = .milliseconds(100)

    private let path: String
    private let options: LogOptions
    private let isRunning: @Sendable () async -> Bool

    package init(path: String, options: LogOptions, isRunning: @escaping @Sendable () async -> Bool) {
        self.path = path
        self.options = options
        self.isRunning = isRunning
    }

    package func run(_ response: HTTPResponseWriter) async {
        let isClosed = Atomic<Bool>(false)
        let flag = ClosedFlag(isClosed)
        response.onClose { flag.close() }
        let size: Int64
        let start: Int64
        do throws(FileError) {
            size = try LogFile.endOfLines(path, size: try presentSize())
            start =
                try options.tailLines.map { lines throws(FileError) in
                    try LogFile.offset(ofLast: lines, path, size: size)
                } ?? 0
        } catch {
            return response.plain(error.isMissing ? 404 : 500, "failed to open log file: \(error)")
        }
        response.sendHead(status: 200, headers: [("content-type", "text/plain")])
        // Without `follow` the log ends where it ended when it was asked for, however fast its container writes.
        let end = options.follow ? Int64.max : size
        var cursor = Cursor(offset: start, end: end, budget: options.limitBytes ?? .max)
        do throws(FileError) {
            try await copy(&cursor, response, flag)
        } catch {
            // The head is out: a broken stream is all that can be said.
            return response.reset()
        }
        response.end()
    }

    private func presentSize() throws(FileError) -> Int64 {
        guard let size = Files.status(path)?.st_size else { throw FileError("open", path, ENOENT) }
        return Int64(size)
    }

    private struct Cursor {
        var offset: Int64
        let end: Int64
        var budget: Int
        var rest: [UInt8] = []
        var inode: UInt64 = 0
        var isAtLineStart = true
    }

    private func copy(
        _ cursor: inout Cursor, _ response: HTTPResponseWriter, _ flag: ClosedFlag
    )
        async throws(FileError)
    {
        while !flag.isClosed && cursor.budget > 0 {
            // Asked before reading: what is written until death is still read after it.
            let goesOn = options.follow ? await isRunning() : false
            var file = open(path, O_RDONLY | O_CLOEXEC)
            if file < 0 && errno == ENOENT && goesOn {
                await pause()
                continue
            }
            guard file >= 0 else { throw FileError("open", path) }
            defer { if file >= 0 { close(file) } }
            noteRotation(file, &cursor)
            let isMore = try await readAll(file, &cursor, response, flag)
            close(file)
            file = -1
            if !goesOn && (!isMore || cursor.offset >= cursor.end) { return }
            await pause()
        }
    }

    private func pause() async { do { try await Task.sleep(for: Self.pollEvery) } catch { return } }

    /// A new file under the same name begins at its beginning.
    private func noteRotation(_ file: Int32, _ cursor: inout Cursor) {
        var found = stat()
        guard fstat(file, &found) == 0 else { return }
        if cursor.inode != 0 && (UInt64(found.st_ino) != cursor.inode || Int64(found.st_size) < cursor.offset) {
            cursor.offset = 0
            cursor.rest = []
        }
        cursor.inode = UInt64(found.st_ino)
    }

    /// Reads to the present end; true when something was read.
    private func readAll(
        _ file: Int32, _ cursor: inout Cursor, _ response: HTTPResponseWriter, _ flag: ClosedFlag
    )
        async throws(FileError) -> Bool
    {
        var isMore = false
        var block = [UInt8](repeating: 0, count: Self.blockBytes)
        while !flag.isClosed && cursor.budget > 0 {
            let wanted = Int(min(Int64(block.count), cursor.end - cursor.offset))
            let count = wanted > 0 ? pread(file, &block, wanted, off_t(cursor.offset)) : 0
            guard count >= 0 else { throw FileError("read", path) }
            if count == 0 { return isMore }
            isMore = true
            cursor.offset += Int64(count)
            let out = translate(block[..<count], &cursor)
            if out.readableBytes > 0 { response.write(out) }
            await response.waitUntilWritable()
        }
        return isMore
    }

    /// Whole lines of the file become what the client gets; a begun line waits for its rest.
    private func translate(_ bytes: ArraySlice<UInt8>, _ cursor: inout Cursor) -> ByteBuffer {
        var out = ByteBuffer()
        var pending = cursor.rest + bytes
        cursor.rest = []
        var start = pending.startIndex
        while let end = pending[start...].firstIndex(of: UInt8(ascii: "\n")), cursor.budget > 0 {
            if let line = LogLine(pending[start..<end]) { append(line, &out, &cursor) }
            start = end + 1
        }
        pending.removeSubrange(..<start)
        cursor.rest = pending
        return out
    }

    private func append(_ line: LogLine, _ out: inout ByteBuffer, _ cursor: inout Cursor) {
        if let stream = options.stream, stream != line.stream { return }
        if let since = options.since, let time = TimeText.parse(line.time), time < since { return }
        let stamp = options.timestamps && cursor.isAtLineStart ? Array((line.time + " ").utf8) : []
        cursor.isAtLineStart = !line.isPartial
        let bytes = (stamp + line.bytes).prefix(cursor.budget)
        cursor.budget -= bytes.count
        out.writeBytes(bytes)
    }
}

/// Set once, from any thread.
final class ClosedFlag: Sendable {
    private let flag: Atomic<Bool>
    init(_ flag: consuming Atomic<Bool>) { self.flag = flag }
    var isClosed: Bool { flag.load(ordering: .relaxed) }
    func close() { flag.store(true, ordering: .relaxed) }
}

extension HTTPResponseWriter {
    /// Returns when the socket takes more, or when the client is gone.
    func waitUntilWritable() async {
        guard !isWritable else { return }
        await withCheckedContinuation { continuation in
            let once = Once { continuation.resume() }
            onWritable { once.run() }
            onClose { once.run() }
        }
    }
}

/// Runs its closure at the first call only.
final class Once: Sendable {
    private let done = Atomic<Bool>(false)
    private let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    func run() {
        if done.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged { body() }
    }
}
