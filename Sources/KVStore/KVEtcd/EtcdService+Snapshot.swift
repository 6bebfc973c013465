// Maintenance.Snapshot: the whole store as a file that etcd can restore, streamed with a digest behind it. The file is
// made first, without a name, in the data directory, so that the stream is of one moment and costs no memory.
import Crypto
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
                    let file = try SnapshotFile(of: export, in: replica.configuration.dataDirectory) { !call.isClosed }
                    SnapshotStream(self, call, file, slot).pump()
                } catch {
                    guard !call.isClosed else { return }
                    replica.configuration.logger.error("snapshot", metadata: ["error": "\(error)"])
                    call.finish(EtcdStatus.corruptSnapshot)
                }
            }
        }
    }
}

/// A file without a name; it is gone when nobody holds it.
final class SnapshotFile: Sendable {
    let bytes: Int
    private let descriptor: Int32

    /// `isWanted` is asked now and then; when it says no, an error is thrown.
    init(of export: StoreExport, in directory: String, isWanted: @escaping () -> Bool) throws {
        guard isWanted() else { throw SnapshotUnwanted() }
        var template = Array("\(directory)/snapshot-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw BoltError("\(directory): \(String(cString: strerror(errno)))") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(template)
        do { bytes = try SnapshotWriter(export, isWanted: isWanted).write(to: descriptor) } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    func read(at offset: Int, _ count: Int) throws -> [UInt8] {
        let wanted = min(count, bytes - offset)
        var buffer = [UInt8](repeating: 0, count: max(0, wanted))
        var done = 0
        while done < wanted {
            let got = buffer[done...].withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress, $0.count, off_t(offset + done))
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { throw BoltError("the snapshot cannot be read back: \(errno)") }
            done += got
        }
        return buffer
    }
}

/// Sends a file as fast as the client takes it. One thread at a time: each piece begins where the last one ended.
private final class SnapshotStream: Sendable {
    /// Of one message: a client that gathers it needs a buffer that its allocator keeps.
    private static let pieceBytes = 32 << 10
    private struct Progress {
        var offset = 0
        var digest = SHA256()
        var stall: Scheduled<Void>?
    }
    private let service: EtcdService
    private let call: GRPCServerCall
    private let file: SnapshotFile
    private let slot: SnapshotSlot
    private let progress = Mutex(Progress())

    init(_ service: EtcdService, _ call: GRPCServerCall, _ file: SnapshotFile, _ slot: SnapshotSlot) {
        self.service = service
        self.call = call
        self.file = file
        self.slot = slot
    }

    func pump() {
        while !call.isClosed {
            guard call.isWritable else { return awaitClient() }
            do {
                guard try sendNext() else {
                    // Whoever asks for another when it has this one finds the place free.
                    slot.giveBack()
                    return call.finish()
                }
            } catch {
                return call.finish(EtcdStatus.corruptSnapshot)
            }
        }
    }

    /// Goes on when the client takes more. One that takes nothing any more must not keep the slot.
    private func awaitClient() {
        giveUpLater()
        call.onWritable { [self] in
            progress.withLock { $0.stall }?.cancel()
            pump()
        }
    }

    private func giveUpLater() {
        let before = call.pendingBytes
        let stall = call.eventLoop.scheduleTask(in: service.configuration.snapshotStall) { [self] in
            if call.pendingBytes < before { giveUpLater() } else { call.abort() }
        }
        progress.withLock { $0.stall = stall }
    }

    /// False: that was the last.
    private func sendNext() throws -> Bool {
        let start = progress.withLock { $0.offset }
        let piece = try file.read(at: start, Self.pieceBytes)
        let digest: [UInt8]? = progress.withLock { progress in
            guard !piece.isEmpty else { return Array(progress.digest.finalize()) }
            progress.offset += piece.count
            progress.digest.update(data: piece)
            return nil
        }
        var writer = ProtobufWriter()
        service.header().write(&writer)
        writer.int(2, max(0, file.bytes - start - piece.count))
        writer.byteArray(3, digest ?? piece)
        writer.string(4, service.configuration.version)
        call.send(writer.bytes)
        return digest == nil
    }
}
