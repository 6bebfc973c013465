// A small ext4 file system in a file, whose power can be cut: what was not synced is gone, as on a real disk. Needs
// root and loop devices. It must never stay mounted after a test.
import Glibc
import Worker

final class LoopDisk {
    private static let bytes: off_t = 192 << 20
    let path: String
    private let image: String

    init(_ folder: String) throws {
        path = "\(folder)/disk"
        image = "\(folder)/disk.img"
        try Files.makeDirectory(path)
        let file = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0, ftruncate(file, Self.bytes) == 0 else { throw StoreError(description: "\(image): \(errno)") }
        close(file)
        try Subprocess.run(["mkfs.ext4", "-q", image])
        try mount()
    }

    func mount() throws { try Subprocess.run(["mount", "-o", "loop", image, path]) }

    /// From now on nothing reaches the disk, not even its journal.
    func cutPower() throws {
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(directory) }
        var withoutFlush: UInt32 = 2
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH
        guard directory >= 0, ioctl(directory, 0x8004_587d, &withoutFlush) == 0 else {
            throw StoreError(description: "the power of \(path) cannot be cut: errno \(errno)")
        }
    }

    func unmount() throws { try Subprocess.run(["umount", path]) }

    static var isPossible: Bool {
        geteuid() == 0 && Files.exists("/dev/loop-control") && Subprocess.find("mkfs.ext4") != nil
    }
}
