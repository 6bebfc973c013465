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
func complain(_ text: String) { fputs(text + "\n", stderr) }

/// Writes a line to standard output, at once.
func say(_ text: String) {
    print(text)
    fflush(stdout)
}

func requireRoot(_ why: String) throws {
    guard geteuid() == 0 else { throw CommandFailure("root is needed \(why): run this with sudo") }
}
