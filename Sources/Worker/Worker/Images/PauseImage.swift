// The sandbox image: one static program of a few dozen machine instructions that ignores its children (so that the kernel reaps
// them) and sleeps until it is killed. It is written out as an ELF file here, so that a worker needs neither a compiler nor a registry.

package enum PauseImage {
    package static let reference = "tern.local/pause:1"

    /// The image as a tar for import.
    package static func archive() -> [UInt8] {
        var image = ImageArchive(reference: reference, entrypoint: ["/pause"])
        image.add(file: "pause", program(), mode: 0o755)
        return image.archive()
    }

    /// A static ELF executable.
    static func program() -> [UInt8] {
        let base: UInt64 = 0x400000
        let headerBytes: UInt64 = 64 + 56
        let size = headerBytes + UInt64(code.count)
        var file: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { file += $0 } }
        put(UInt16(2))
        put(machine)
        put(UInt32(1))
        put(base + headerBytes)  // entry
        put(UInt64(64))  // program headers
        put(UInt64(0))
        put(UInt32(0))
        put(UInt16(64))
        put(UInt16(56))
        put(UInt16(1))
        put(UInt16(0))
        put(UInt16(0))
        put(UInt16(0))
        put(UInt32(1))  // PT_LOAD
        put(UInt32(5))  // read, execute
        put(UInt64(0))
        put(base)
        put(base)
        put(size)
        put(size)
        put(UInt64(0x1000))
        return file + code
    }

    #if arch(arm64)
        private static let machine: UInt16 = 183
        /// sp -= 32; {SIG_IGN, 0, 0, 0}; rt_sigaction(SIGCHLD, sp, 0, 8); for (;;) ppoll(0, 0, 0, 0)
        private static let code: [UInt8] = [
            0xff, 0x83, 0x00, 0xd1, 0x28, 0x00, 0x80, 0xd2, 0xe8, 0x7f, 0x00, 0xa9, 0xff, 0x7f, 0x01, 0xa9,
            0x20, 0x02, 0x80, 0xd2, 0xe1, 0x03, 0x00, 0x91, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x01, 0x80, 0xd2,
            0xc8, 0x10, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2,
            0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2, 0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4,
            0xfa, 0xff, 0xff, 0x17
        ]
    #else
        private static let machine: UInt16 = 62
        /// push 0 ×3; push SIG_IGN; rt_sigaction(SIGCHLD, rsp, 0, 8); for (;;) pause()
        private static let code: [UInt8] = [
            0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x01,  // push 0; push 0; push 0; push 1
            0xb8, 0x0d, 0x00, 0x00, 0x00,  // mov eax, 13
            0xbf, 0x11, 0x00, 0x00, 0x00,  // mov edi, 17
            0x48, 0x89, 0xe6,  // mov rsi, rsp
            0x31, 0xd2,  // xor edx, edx
            0x41, 0xba, 0x08, 0x00, 0x00, 0x00,  // mov r10d, 8
            0x0f, 0x05,  // syscall
            0xb8, 0x22, 0x00, 0x00, 0x00,  // mov eax, 34
            0x0f, 0x05,  // syscall
            0xeb, 0xf7  // jmp back to mov eax, 34
        ]
    #endif
}
