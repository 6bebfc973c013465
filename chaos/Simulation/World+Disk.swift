// Durable work: begun when a replica wants it, done later and in order, each step a place where the process may end.

import KVCore
import Raft

extension World {
    mutating func begin(_ operation: Disk.LogOperation, _ position: Int) {
        if !isHealed { aim(at: operation, position) }
        let life = hosts[position].life
        let busy = life?.isLogBusy == true ? life?.batchMax ?? 0 : 0
        hosts[position].withDisk { $0.begin(operation, busy: busy) }
        writeLog(position)
    }

    private mutating func aim(at operation: Disk.LogOperation, _ position: Int) {
        switch operation {
        case .save(let save): aim(at: save, position)
        case .distrust:
            report.count(.verdicts)
            // It does not have as many steps as what is struck inside elsewhere.
            let points: [CrashPoint] = [.beforeVerdict, .afterVerdict, .insideVerdict, .insideVerdict]
            if chance(900) { hosts[position].crashPoint = points[Int(below(4))] }
        case .compact: break
        }
    }

    /// Steps that are rare are struck where they come.
    private mutating func aim(at save: ReplicaSave, _ position: Int) {
        if save.state != nil {
            if chance(200) { hosts[position].crashPoint = chance(500) ? .afterInstall : .insideInstall }
        } else if let first = save.raft.entries.first?.index, first <= hosts[position].disk.last, chance(plan.aim) {
            hosts[position].crashPoint = chance(500) ? .afterLowering : .tornSave
        }
        if save.raft.snapshot != nil, chance(200) { hosts[position].crashPoint = .beforeMark }
    }

    private mutating func begin(_ operation: Disk.StateOperation, _ position: Int) {
        hosts[position].withDisk { $0.begin(operation) }
        writeState(position)
    }

    private mutating func diskTime(_ position: Int) -> UInt64 {
        var time = between(plan.diskMin, plan.diskMax)
        if hosts[position].slowUntil > now { time = time * 20 + 20_000 }
        return max(now + time, hosts[position].stalledUntil)
    }

    mutating func writeLog(_ position: Int) {
        guard hosts[position].life?.isLogBusy == false, !hosts[position].disk.logQueue.isEmpty else { return }
        hosts[position].life?.isLogBusy = true
        let waiting = hosts[position].disk.logQueue.count
        hosts[position].life?.batchMax = waiting
        queue.add(.logDone(host: position, life: hosts[position].lives), at: diskTime(position))
    }

    private mutating func writeState(_ position: Int) {
        guard hosts[position].life?.isStateBusy == false, !hosts[position].disk.stateQueue.isEmpty else { return }
        hosts[position].life?.isStateBusy = true
        queue.add(.stateDone(host: position, life: hosts[position].lives), at: diskTime(position))
    }

    /// True when the disk does not do it now: the event comes again.
    private mutating func isDiskStalled(_ position: Int, _ event: Event) -> Bool {
        guard hosts[position].stalledUntil > now else { return false }
        queue.add(event, at: hosts[position].stalledUntil)
        return true
    }

    private mutating func waitForRoom(_ event: Event) -> Int? {
        report.count(.fullDiskWrites)
        queue.add(event, at: now + 100_000)
        return nil
    }

    /// The process has ended by an error of its disk.
    private mutating func endByError(_ position: Int) -> Int? {
        if let error = hosts[position].ioError { report.count(error == .write ? .failedWrites : .failedSyncs) }
        crash(position, isPowerCut: false, survivors: 0)
        return nil
    }

    /// By one of its database; what the kernel claims is tried soon.
    private mutating func endByStateError(_ position: Int) -> Int? {
        let host = hosts[position]
        report.count((host.stateError ?? host.ioError) == .write ? .failedStateWrites : .failedStateSyncs)
        crash(position, isPowerCut: false, survivors: 0)
        if chance(600) { hosts[position].crashPoint = .afterCheckpoint }
        return nil
    }

    private mutating func endWithoutCause(_ position: Int, _ text: String) -> Int? {
        fail("host \(hosts[position].id) ended, and its disk is well: \(text)")
        return nil
    }

    mutating func finishLog(_ position: Int, _ life: Int) -> Int? {
        let event = Event.logDone(host: position, life: life)
        guard hosts[position].lives == life, let batchMax = hosts[position].life?.batchMax,
            !isPaused(position, event), !isDiskStalled(position, event)
        else { return nil }
        let host = hosts[position]
        let result = hosts[position].withDisk {
            $0.finishLog(
                countMax: batchMax, crash: host.crashPoint, trouble: host.ioError, isFull: host.fullUntil > now)
        }
        switch result {
        case .full: return waitForRoom(event)
        case .crashed: return crashAtPoint(position)
        case .failed: return endByError(position)
        case .broken(let text): return endWithoutCause(position, text)
        case .done(let save?): saved(save, position)
        case .done(nil): break
        }
        hosts[position].life?.isLogBusy = false
        drain(position)
        writeLog(position)
        return position
    }

    private mutating func saved(_ save: SaveID, _ position: Int) {
        let wasFlipped = hosts[position].life?.isFlipped == true
        let installed = hosts[position].life?.core.statesInstalled
        hosts[position].life?.core.saved(save)
        if hosts[position].life?.core.statesInstalled != installed {
            report.count(hosts[position].isWitness ? .witnessSnapshots : .snapshotsInstalled)
        }
        if wasFlipped, hosts[position].life?.isFlipped == false { report.count(.repairedStates) }
    }

    mutating func finishState(_ position: Int, _ life: Int) -> Int? {
        let event = Event.stateDone(host: position, life: life)
        guard hosts[position].life != nil, hosts[position].lives == life, !isPaused(position, event),
            !isDiskStalled(position, event)
        else { return nil }
        let host = hosts[position]
        let clock = Int64(now / 1000) + 1
        let ending = hosts[position].withDisk {
            $0.finishState(
                crash: host.crashPoint, trouble: host.stateError ?? host.ioError, isFull: host.fullUntil > now,
                now: clock)
        }
        switch ending {
        case .full: return waitForRoom(event)
        case .crashed: return crashAtPoint(position)
        case .failed: return endByStateError(position)
        case .broken(let text): return endWithoutCause(position, text)
        case .done(let synced):
            if let synced { hosts[position].life?.core.stateDurable(at: synced) }
            if planted == .compactsAheadOfCheckpoint {
                hosts[position].life?.core.stateDurable(at: hosts[position].disk.stateApplied)
            }
        }
        hosts[position].life?.isStateBusy = false
        drain(position)
        writeState(position)
        return position
    }

    private mutating func crashAtPoint(_ position: Int) -> Int? {
        if let point = hosts[position].crashPoint { report.count(point) }
        crash(position, isPowerCut: chance(500), survivors: 0)
        return nil
    }

    /// The shell's housekeeping: the state database follows in batches, and is synced now and then.
    mutating func maintain(_ position: Int, _ life: Int) -> Int? {
        guard hosts[position].life != nil, hosts[position].lives == life else { return nil }
        schedule(.maintain(host: position, life: life), after: 30_000, 700_000)
        lookForRoom(position)
        guard hosts[position].pausedUntil <= now,
            hosts[position].disk.stateQueue.isEmpty
        else { return nil }
        if hosts[position].life?.core.hasUnsavedState == true, chance(600),
            let changes = hosts[position].life?.core.takeStateChanges()
        {
            if hosts[position].life?.isFlipped == true { hosts[position].withDisk { $0.noteWrongState() } }
            begin(.write(changes), position)
        } else {
            begin(.checkpoint, position)
        }
        drain(position)
        return position
    }

    private mutating func lookForRoom(_ position: Int) {
        guard let life = hosts[position].life, hosts[position].pausedUntil <= now else { return }
        let isLow = hosts[position].lowUntil > now
        guard life.isLow != isLow else { return }
        life.isLow = isLow
        life.core.diskRoomChanged(isLow: isLow)
    }

    mutating func compact(_ position: Int, to index: LogIndex) {
        report.count(.compactions)
        if !isHealed, hosts[position].crashPoint == nil, chance(6) {
            let points: [CrashPoint] = [.beforeCompaction, .tornCompaction, .afterCompaction]
            hosts[position].crashPoint = points[Int(below(3))]
        }
        begin(.compact(to: index), position)
    }
}
