// The past beyond what memory holds, read from the state database on threads of its own: views at old revisions, and
// watches that begin there and go on in memory once they have caught up. Nothing here holds up the replica's loop or
// the log; the state database is asked for a few revisions at a time.
import KVCore
import KVDisk
import Logging
import NIOPosix
import Synchronization

/// Why the past cannot be read.
package enum HistoryError: Error, Hashable, Sendable {
    case refused(ReadError)
    /// The disk failed, or is too far behind memory: may be tried again.
    case unavailable(String)
}

extension Replica {
    private static let lagMilliseconds = 20
    private static let lagRoundsMax = 250

    /// The store at an earlier revision, right within the range: from memory at once when it reaches so far, else from
    /// disk. `done` is called on the caller's thread or on one of this module's.
    package func view(
        at revision: Revision, _ range: KeyRange, _ done: @escaping @Sendable (Result<KVView, HistoryError>) -> Void
    ) {
        let snapshot = loop.published.withLock { $0.read() }
        do throws(ReadError) {
            if revision >= snapshot.windowFloor { return done(.success(try view(at: revision))) }
            let past = try PastView(snapshot, at: revision, range)
            guard historyReads.beginView() else {
                return done(.failure(.unavailable("too many reads of the past at once")))
            }
            NIOThreadPool.singleton.submit { [self] state in
                guard case .active = state else {
                    historyReads.endView()
                    return done(.failure(.unavailable("stopped")))
                }
                let result = collect(past)
                // Whoever asks again when it is answered finds the place free.
                historyReads.endView()
                done(result)
            }
        } catch { done(.failure(.refused(error))) }
    }

    private func collect(_ start: PastView) -> Result<KVView, HistoryError> {
        var past = start
        do throws(DiskError) {
            while let through = past.needsThrough {
                guard let store = loop.stateStore.withLock({ $0 }) else { return .failure(.unavailable("stopped")) }
                historyReads.count()
                let items = try store.history(after: past.seen, through: through)
                if items.isEmpty {
                    guard past.seen < store.writtenRevision else { return .failure(.unavailable("not written yet")) }
                    return .failure(missing(after: past.seen))
                }
                for item in items where !past.add(item) { return .failure(missing(after: past.seen)) }
            }
        } catch {
            configuration.logger.error("history", metadata: ["error": "\(error)"])
            return .failure(.unavailable("\(error)"))
        }
        guard let view = past.finish() else { return .failure(missing(after: past.seen)) }
        return .success(view)
    }

    /// Gone by compaction, or never received (a snapshot brings only the recent past).
    private func missing(after revision: Revision) -> HistoryError {
        .refused(.compacted(max(view().compactRevision, revision.next)))
    }

    /// Changes after the revision are not in memory any more, but kept.
    func isOnlyOnDisk(_ after: Revision) -> Bool {
        let snapshot = loop.published.withLock { $0.read() }
        return ReplicaLoop.isOnlyOnDisk(after, floor: snapshot.windowFloor, compacted: snapshot.view.compactRevision)
    }

    private func isReplaying(_ id: WatchID) -> Bool { loop.replays.withLock { $0.contains(id) } }

    func replay(
        _ id: WatchID, _ range: KeyRange, after: Revision, _ isWritable: @escaping @Sendable () -> Bool,
        _ deliver: @escaping @Sendable (WatchDelivery) -> Void
    ) {
        let isAdmitted = loop.replays.withLock { replays in
            guard replays.count < HistoryReads.replaysMax else { return false }
            return replays.insert(id).inserted
        }
        guard isAdmitted else { return deliver(.tooMany) }
        Task { [self] in
            let last = await replayFromDisk(id, range, after: after, isWritable, deliver)
            let isLast = loop.replays.withLock { replays in
                replays.remove(id)
                return replays.isEmpty
            }
            if isLast { loop.passes.withLock { $0.removeAll() } }
            if let last { await tell([last], deliver) }
        }
    }

    /// What ends the watch; nil when it goes on in memory or was cancelled.
    private func replayFromDisk(
        _ id: WatchID, _ range: KeyRange, after: Revision, _ isWritable: @escaping @Sendable () -> Bool,
        _ deliver: @escaping @Sendable (WatchDelivery) -> Void
    ) async -> WatchDelivery? {
        var next = after
        var lagRounds = 0
        while isReplaying(id) {
            let floor = loop.published.withLock { $0.snapshot.windowFloor }
            if next >= floor {
                if await join(id, range, after: next, deliver) { return nil }
                if loop.isEndedOutside { return .ended(.stopped) }
                continue
            }
            let read = await read(id, range, after: next, through: floor)
            guard isReplaying(id) else { return nil }
            guard case .success(let found) = read else { return .ended(loop.isEndedOutside ? .stopped : .unreadable) }
            guard let piece = found else {
                lagRounds += 1
                if next.next < view().compactRevision { return .compacted(view().compactRevision) }
                guard lagRounds < Self.lagRoundsMax, await pause() else { return .ended(.unreadable) }
                continue
            }
            guard piece.first == next.next else { return .compacted(max(piece.first, view().compactRevision)) }
            if !piece.deliveries.isEmpty { await tell(piece.deliveries, deliver) }
            next = piece.last
            while !isWritable(), isReplaying(id) { guard await pause() else { return .ended(.stopped) } }
        }
        return nil
    }

    /// On the replica's thread, as every delivery.
    private func tell(_ deliveries: [WatchDelivery], _ deliver: @escaping @Sendable (WatchDelivery) -> Void) async {
        await loop.call(orElse: ()) { _ in for delivery in deliveries { deliver(delivery) } }
    }

    private func join(
        _ id: WatchID, _ range: KeyRange, after: Revision, _ deliver: @escaping @Sendable (WatchDelivery) -> Void
    ) async -> Bool {
        await loop.call(orElse: false) { [self] loop in
            guard isReplaying(id) else { return true }
            return loop.register(id, range, after: after, deliver)
        }
    }

    private struct ReadFailure: Error {}

    /// The next piece, from what others have read or from disk; nil: there is none yet. Fails when the disk does, or the
    /// watch is gone.
    private func read(
        _ id: WatchID, _ range: KeyRange, after: Revision, through: Revision
    ) async -> Result<HistoryPiece?, ReadFailure> {
        if let piece = loop.passes.withLock({ $0.next(range, after: after) }) { return .success(piece) }
        await historyReads.beginReplay()
        defer { historyReads.endReplay() }
        guard isReplaying(id) else { return .failure(ReadFailure()) }
        // Whoever was before in the queue may have wanted the same.
        if let piece = loop.passes.withLock({ $0.next(range, after: after) }) { return .success(piece) }
        return await withCheckedContinuation {
            (waiting: CheckedContinuation<Result<HistoryPiece?, ReadFailure>, Never>) in
            NIOThreadPool.singleton.submit { [self] state in
                guard case .active = state, isReplaying(id) else {
                    return waiting.resume(returning: .failure(ReadFailure()))
                }
                waiting.resume(returning: readHere(range, after: after, through: through))
            }
        }
    }

    private func readHere(
        _ range: KeyRange, after: Revision, through: Revision
    ) -> Result<HistoryPiece?, ReadFailure> {
        let generation = loop.generation.load(ordering: .acquiring)
        do throws(DiskError) {
            guard let store = loop.stateStore.withLock({ $0 }) else { return .failure(ReadFailure()) }
            historyReads.count()
            let items = try store.history(after: after, through: through)
            loop.passes.withLock { passes in
                // Not of a state that was replaced meanwhile.
                guard generation == loop.generation.load(ordering: .acquiring) else { return }
                passes.add(items, after: after)
            }
            return .success(HistoryPiece(items[...], range))
        } catch {
            configuration.logger.error("history", metadata: ["error": "\(error)"])
            return .failure(ReadFailure())
        }
    }

    private func pause() async -> Bool {
        do { try await Task.sleep(for: .milliseconds(Self.lagMilliseconds)) } catch { return false }
        return true
    }
}
