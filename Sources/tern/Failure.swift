// What a command says when it cannot do what it was asked; and the few things of the process that commands share.
import Glibc

/// A failure in words for the user; the exit code is 1.
struct CommandFailure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

func currentDirectory() -> String {
    guard let path = getcwd(nil, 0) else { return "" }
    defer { free(path) }
    return String(cString: path)
}

/// The path of this executable.
func executablePath() -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : "tern"
}

/// Writes a line to standard error.
func complain(_ text: String) { write(text, to: 2) }

/// Writes a line to standard output, at once.
func say(_ text: String) { write(text, to: 1) }

private func write(_ text: String, to descriptor: Int32) {
    let bytes = Array((text + "\n").utf8)
    var done = 0
    while done < bytes.count {
        let count = bytes[done...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        done += count
    }
}

func requireRoot(_ why: String) throws {
    guard geteuid() == 0 else { throw CommandFailure("root is needed \(why): run this with sudo") }
}
