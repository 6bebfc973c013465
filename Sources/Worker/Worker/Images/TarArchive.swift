// Writes ustar archives in memory: what an image's layer and an image's file are. Deterministic: no times, no owners.
// Names longer than 100 bytes are refused by precondition: all of ours are short.

struct TarArchive {
    private(set) var bytes: [UInt8] = []

    enum Kind: UInt8 {
        case file = 0x30
        case symbolicLink = 0x32
        case directory = 0x35
    }

    mutating func add(directory name: String, mode: Int = 0o755) {
        addHeader(name + "/", .directory, mode: mode, size: 0)
    }

    mutating func add(link name: String, to target: String) {
        addHeader(name, .symbolicLink, mode: 0o777, size: 0, link: target)
    }

    mutating func add(file name: String, _ content: [UInt8], mode: Int = 0o644) {
        addHeader(name, .file, mode: mode, size: content.count)
        bytes += content
        bytes += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    /// The whole archive with its two closing blocks.
    consuming func finished() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    private mutating func addHeader(_ name: String, _ kind: Kind, mode: Int, size: Int, link: String = "") {
        precondition(name.utf8.count <= 100 && link.utf8.count <= 100, "tar: name too long: \(name)")
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            for (i, byte) in text.utf8.enumerated() { header[offset + i] = byte }
        }
        func octal(_ value: Int, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(name, at: 0)
        put(octal(mode, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(size, 11), at: 124)
        put(octal(0, 11), at: 136)
        put("        ", at: 148)
        header[156] = kind.rawValue
        put(link, at: 157)
        put("ustar", at: 257)
        put("00", at: 263)
        let sum = header.reduce(0) { $0 + Int($1) }
        put(octal(sum, 6), at: 148)
        header[154] = 0
        header[155] = 0x20
        bytes += header
    }
}
