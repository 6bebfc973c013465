// Maintenance.Snapshot: the whole store as a file that etcd can restore, streamed with a digest behind it. It is sent
// while it is made: whoever makes it waits for the client, for a moment at a time and for a few seconds in all. A client
// that is slower gets the rest from a file without a name in the data directory, so that the state is not held for it.
import Crypto
import Dispatch
import Glibc
import KVCore
import KVReplica
import Logging
import NIOCore
import NIOPosix
import NetGRPC
import Raft
import Synchronization

/// How many snapshots are being made or sent.
final class SnapshotSlots: Sendable {
    static let slotsMax = 2
    private let taken = Mutex(0)

    /// nil: there is none.
    func take() -> SnapshotSlot? {
        taken.withLock { taken in
            guard taken < Self.slotsMax else { return nil }
            taken += 1
            return SnapshotSlot(self)
        }
    }

    fileprivate func giveBack() { taken.withLock { $0 -= 1 } }
}

/// Held by whoever works on a snapshot, also after its client is gone: it bounds the work, not the calls.
final class SnapshotSlot: Sendable {
    private let slots: SnapshotSlots
    private let isHeld = Atomic<Bool>(true)

    fileprivate init(_ slots: SnapshotSlots) { self.slots = slots }

    func giveBack() { if isHeld.exchange(false, ordering: .relaxed) { slots.giveBack() } }

    deinit { giveBack() }
}

extension EtcdService {
    func snapshot(_ call: GRPCServerCall, _ message: [UInt8]) throws(GRPCStatus) {
        guard !replica.isFenced else { throw EtcdStatus.corrupt }
        guard let slot = snapshotSlots.take() else {
            throw EtcdStatus.tooManySnapshots
        }
        Task { [self] in
            guard let export = await replica.export() else { return call.finish(EtcdStatus.stopped) }
            NIOThreadPool.singleton.submit { [self] state in
                guard case .active = state else { return call.finish(EtcdStatus.stopped) }
                do {
                    var writer = SnapshotWriter(export) { !call.isClosed }
                    let plan = try writer.plan()
                    let stream = SnapshotStream(self, call, slot, bytes: plan.bytes)
                    try writer.write(plan) { try stream.take($0) }
                    try stream.end()
                } catch {
                    guard !call.isClosed else { return }
                    replica.configuration.logger.error("snapshot", metadata: ["error": "\(error)"])
                    call.finish(EtcdStatus.corruptSnapshot)
                }
            }
        }
    }
}

/// Where it waits for a client: a file without a name, which is gone when nobody holds it.
private final class SnapshotSpool: Sendable {
    private let descriptor: Int32

    init(in directory: String) throws {
        var template = Array("\(directory)/snapshot-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw BoltError("\(directory): \(String(cString: strerror(errno)))") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(template)
    }

    deinit { close(descriptor) }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        try DescriptorBytes.write(bytes, to: descriptor, at: offset)
    }

    func read(at offset: Int, _ count: Int) throws -> [UInt8] {
        try DescriptorBytes.read(descriptor, at: offset, count)
    }
}

/// A file on its way to one client: made by a thread, which sends it or puts it aside, and sent from aside by the call's
/// event loop.
private final class SnapshotStream: @unchecked Sendable {
    /// Of one message.
    private static let pieceBytes = BoltWriter.pieceBytes
    /// Whoever makes the file is ahead of the client by no more than this.
    private static let aheadBytesMax = 4 << 20
    /// And waits so long for it, at once and in all.
    private static let waitMilliseconds = 200
    private static let waitsMillisecondsMax: Int64 = 5000

    /// What the thread and the event loop share. The disk is never waited for while it is held: the event loop has other
    /// calls.
    private struct State {
        /// nil: everything was sent as it was made.
        var spool: SnapshotSpool?
        /// Bytes in there, by the thread, and those that were sent of them, by the event loop.
        var written = 0
        var taken = 0
        var sent = 0
        /// Behind the last piece; nil: it is not made yet.
        var digest: [UInt8]?
        var stall: Scheduled<Void>?
    }
    private let service: EtcdService
    private let call: GRPCServerCall
    private let slot: SnapshotSlot
    private let bytes: Int
    private let state = Mutex(State())
    private let writable = DispatchSemaphore(value: 0)
    private let digest = SnapshotDigest()
    // Of the thread alone.
    private var waited: Int64 = 0

    init(_ service: EtcdService, _ call: GRPCServerCall, _ slot: SnapshotSlot, bytes: Int) {
        self.service = service
        self.call = call
        self.slot = slot
        self.bytes = bytes
    }

    /// By the thread: the next piece.
    func take(_ piece: UnsafeRawBufferPointer) throws {
        guard !call.isClosed else { throw SnapshotUnwanted() }
        let isDirect = state.withLock { $0.spool == nil }
        guard isDirect, isTaken() else { return try putAside(piece) }
        for start in stride(from: 0, to: piece.count, by: Self.pieceBytes) {
            let (message, blob) = send(
                UnsafeRawBufferPointer(rebasing: piece[start..<min(start + Self.pieceBytes, piece.count)]))
            digest.add(message, blob)
        }
    }

    /// By the thread: that was all.
    func end() throws {
        let whole = digest.finish()
        let isDirect = state.withLock { state in
            state.digest = whole
            return state.spool == nil
        }
        if isDirect { finish() }
    }

    /// The client takes more, at once or within a moment, or goes on with what it has.
    private func isTaken() -> Bool {
        while call.pendingBytes >= Self.aheadBytesMax, !call.isClosed {
            let left = Self.waitsMillisecondsMax - waited
            guard left > 0 else { return false }
            let before = call.pendingBytes
            call.onWritable { [writable] in writable.signal() }
            let began = DispatchTime.now().uptimeNanoseconds
            let limit = DispatchTime.now() + .milliseconds(min(Self.waitMilliseconds, Int(left)))
            let isWritable = writable.wait(timeout: limit) == .success
            waited += Int64((DispatchTime.now().uptimeNanoseconds - began) / 1_000_000)
            guard isWritable || call.pendingBytes < before else { return false }
        }
        return true
    }

    private func putAside(_ piece: UnsafeRawBufferPointer) throws {
        let directory = service.configuration.snapshotDirectory ?? service.replica.configuration.dataDirectory
        let (known, offset) = state.withLock { ($0.spool, $0.written) }
        let spool = try known ?? SnapshotSpool(in: directory)
        try spool.write(piece, at: offset)
        for start in stride(from: 0, to: piece.count, by: Self.pieceBytes) {
            let part = Array(piece[start..<min(start + Self.pieceBytes, piece.count)])
            digest.add(part, part.indices)
        }
        state.withLock { state in
            state.spool = spool
            state.written += piece.count
        }
        if known == nil { awaitClient() }
    }

    /// Answers the message, and where the piece is in it.
    private func send(_ piece: UnsafeRawBufferPointer) -> ([UInt8], Range<Int>) {
        let sent = state.withLock { state in
            state.sent += piece.count
            return state.sent
        }
        return send(piece, remaining: bytes - sent)
    }

    private func send(_ blob: UnsafeRawBufferPointer, remaining: Int) -> ([UInt8], Range<Int>) {
        var writer = ProtobufWriter(capacity: blob.count + 128)
        service.header().write(&writer)
        writer.int(2, max(0, remaining))
        writer.byteArray(3, blob)
        let end = writer.bytes.count
        writer.string(4, service.configuration.version)
        call.send(writer.bytes)
        return (writer.bytes, (end - blob.count)..<end)
    }

    /// Whoever asks for another when it has this one finds the place free; whoever leaves it untaken keeps the place.
    private func finish() {
        (state.withLock { $0.digest ?? [] }).withUnsafeBytes { _ = send($0, remaining: 0) }
        giveUpLater()
        call.onWritable { [self] in
            state.withLock { $0.stall }?.cancel()
            slot.giveBack()
        }
        call.finish()
    }
}

/// SHA-256 of pieces in their order, on a thread of its own.
private final class SnapshotDigest: @unchecked Sendable {
    /// Pieces that wait for it.
    private static let waitingMax = 128
    private let queue = DispatchQueue(label: "snapshot-digest")
    private let room = DispatchSemaphore(value: waitingMax)
    /// Of the queue alone.
    private var hash = SHA256()

    func add(_ bytes: [UInt8], _ part: Range<Int>) {
        room.wait()
        queue.async { [self] in
            hash.update(data: bytes[part])
            room.signal()
        }
    }

    func finish() -> [UInt8] { queue.sync { Array(hash.finalize()) } }
}

// MARK: From aside

extension SnapshotStream {
    private func pump() {
        while !call.isClosed {
            guard call.isWritable else { return awaitClient() }
            do {
                let (spool, start, end, isLast) = state.withLock { ($0.spool, $0.taken, $0.written, $0.digest != nil) }
                if let spool, start < end {
                    let piece = try spool.read(at: start, min(Self.pieceBytes, end - start))
                    state.withLock { $0.taken += piece.count }
                    piece.withUnsafeBytes { _ = send($0) }
                    continue
                }
                // The thread is slower than the client now.
                guard isLast else { return lookAgain() }
                return finish()
            } catch {
                return call.finish(EtcdStatus.corruptSnapshot)
            }
        }
    }

    private func lookAgain() { call.eventLoop.scheduleTask(in: .milliseconds(2)) { [self] in pump() } }

    /// Goes on when the client takes more. One that takes nothing any more must not keep the slot.
    private func awaitClient() {
        giveUpLater()
        call.onWritable { [self] in
            state.withLock { $0.stall }?.cancel()
            pump()
        }
    }

    private func giveUpLater() {
        let before = call.pendingBytes
        let stall = call.eventLoop.scheduleTask(in: service.configuration.snapshotStall) { [self] in
            if call.pendingBytes < before { giveUpLater() } else { call.abort() }
        }
        state.withLock { $0.stall = stall }
    }
}
