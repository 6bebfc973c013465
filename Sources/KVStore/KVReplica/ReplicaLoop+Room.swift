// The loop looks at the disk's room once a second, on another thread: a disk that hangs answers late.
import KVCore
import KVDisk
import Logging
import NIOPosix
import Synchronization

extension ReplicaLoop {
    private static let lookMilliseconds: Int64 = 1000

    func lookAtRoom(_ now: Int64) {
        guard room.wish >= 0, !isLookingAtRoom, now - lastLookAtRoom >= Self.lookMilliseconds else { return }
        (isLookingAtRoom, lastLookAtRoom) = (true, now)
        let path = configuration.dataDirectory
        NIOThreadPool.singleton.submit { [self] state in
            guard case .active = state else { return }
            let space = DiskSpace(of: path)
            post(.run { $0?.noteRoom(space) })
        }
    }

    private func noteRoom(_ space: DiskSpace?) {
        isLookingAtRoom = false
        guard let space else { return }
        let reusable = stateStore.withLock { $0?.reusableBytes } ?? 0
        let hasChanged = room.note(space, reusableBytes: reusable)
        status.withLock { ($0.diskFreeBytes, $0.isDiskLow) = (space.freeBytes, room.isLow) }
        guard hasChanged else { return }
        core.diskRoomChanged(isLow: room.isLow)
        let facts: Logger.Metadata = [
            "free": "\(space.freeBytes)", "mark": "\(room.bytesMin(of: space))", "within": "\(reusable)",
            "path": "\(configuration.dataDirectory)"
        ]
        guard room.isLow else { return configuration.logger.notice("the disk has room again", metadata: facts) }
        configuration.logger.warning(
            "the disk is nearly full: with a majority like this new writes are refused", metadata: facts)
    }
}
