// Storage is asynchronous: what must be durable goes out as a `Save`, its completion comes back as an input, and only
// then are the votes and acknowledgements released that depend on it. A leader's own save is one of the votes for a
// commit.

extension RaftCore {
    /// The save with this id, and all before it, are durable.
    package mutating func saved(_ id: SaveID) {
        guard fault == nil else { return }
        while let save = saves.first, save.id <= id {
            saves.removeFirst()
            if let through = save.through { log.markDurable(through: through) }
            if let metadata = save.snapshot { finishInstall(metadata) }
            release(save.messages)
        }
        commitByCounting()
    }

    /// The state machine has executed everything up to here.
    package mutating func applied(to index: LogIndex) {
        precondition(index <= handedToApply, "applied \(index), handed out \(handedToApply)")
        appliedIndex = max(appliedIndex, index)
    }

    /// The state machine's state at `index` (applied) is durable: the log up to there may be compacted, and followers
    /// too far behind are sent a snapshot not older than it.
    package mutating func snapshotSaved(at index: LogIndex) {
        guard index > snapshot.index, index <= appliedIndex, let term = log.term(at: index),
            let configuration = configuration(at: index)
        else { return }
        snapshot = SnapshotMetadata(index: index, term: term, configuration: configuration)
    }

    /// Drops the log up to `index`, or as far as a durable snapshot allows. Answers the new `compactIndex`.
    @discardableResult
    package mutating func compact(to index: LogIndex) -> LogIndex {
        guard installing == nil else { return log.base.index }
        let bound = min(index, snapshot.index, log.durable)
        log.compact(to: bound)
        while configurations.count > 1, configurations[1].index <= log.base.index { configurations.removeFirst() }
        return log.base.index
    }

    /// The state machine's state turned out to be wrong: hands out no more entries, and no longer wants to lead (but
    /// does when nobody else can: the log is as good as ever).
    package mutating func suspendApplying() {
        isApplyingSuspended = true
        guard isLeader else { return }
        handOver()
        becomeFollower(term: term, leader: nil)
    }

    /// The state after `metadata.index` is here: the next save installs it, and the log's end behind it stays. False
    /// when it does not fit; nothing has changed then.
    package mutating func replaceState(with metadata: SnapshotMetadata) -> Bool {
        guard isApplyingSuspended, installing == nil, metadata.index >= appliedIndex, metadata.index >= log.base.index,
            log.holds(metadata.id)
        else { return false }
        // Whoever had it had applied it; the news of the commit may be late.
        raiseCommit(to: metadata.index)
        log.rebase(to: metadata.id)
        configurations =
            [(metadata.index, metadata.configuration)] + configurations.filter { $0.index > metadata.index }
        installing = metadata
        return true
    }

    private mutating func finishInstall(_ metadata: SnapshotMetadata) {
        guard let current = installing, current == metadata else { return }
        installing = nil
        isApplyingSuspended = false
        campaignsSkipped = 0
        snapshot = metadata
        appliedIndex = metadata.index
        handedToApply = metadata.index
    }

    private mutating func release(_ messages: [Message]) {
        for message in messages {
            if message.to == id { stepUnchecked(message) } else { outbox.append(message) }
        }
    }
}

extension RaftCore {
    /// The next durable step, when there is something to save. Held messages leave with it, or with the last one under
    /// way.
    mutating func takeSave() -> Save? {
        let isInstalled = installing == nil || saves.contains { $0.snapshot == installing }
        guard isHardStateDirty || log.hasUnsaved || !isInstalled else {
            releaseHeld()
            return nil
        }
        isHardStateDirty = false
        lastSave = SaveID(rawValue: lastSave.rawValue + 1)
        let metadata = isInstalled ? nil : installing
        let entries = log.takeUnsaved()
        saves.append(
            PendingSave(
                id: lastSave, through: entries.last?.index, snapshot: metadata, messages: held, startTick: ticks))
        held = []
        let state = HardState(term: term, vote: vote, commit: commitIndex)
        return Save(id: lastSave, hardState: state, entries: entries, snapshot: metadata)
    }

    private mutating func releaseHeld() {
        guard !held.isEmpty else { return }
        let messages = held
        held = []
        guard !saves.isEmpty else { return release(messages) }
        for message in messages { saves[saves.count - 1].hold(message) }
    }

    /// Committed entries that were not handed out yet.
    mutating func takeCommitted() -> [Entry] {
        guard installing == nil, !isApplyingSuspended else { return [] }
        let bound = settings.appliesBeforeSave ? commitIndex : min(commitIndex, log.durable)
        guard handedToApply < bound else { return [] }
        let entries = log.slice(from: handedToApply.next, through: bound, bytesMax: settings.applyBytesMax)
        handedToApply = entries.last?.index ?? handedToApply
        return entries
    }

    /// A save has been under way for too long.
    var isSaveStalled: Bool { saveAge >= UInt64(settings.saveStallTicks) }

    var saveAge: UInt64 { saves.first.map { ticks - $0.startTick } ?? 0 }
}
