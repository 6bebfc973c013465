// Commands of other programs, run by tests: what they print, on both streams.
import Glibc

package enum Shell {
    /// Everything that the command wrote, and its exit code when that is not 0.
    package static func run(_ command: String, environment: [String: String] = [:]) -> String {
        let variables = environment.sorted { $0.key < $1.key }.map { "export \($0.key)='\($0.value)'; " }.joined()
        guard let pipe = popen("exec 2>&1; \(variables)\(command)", "r") else { return "" }
        var output: [UInt8] = []
        while case let byte = fgetc(pipe), byte != EOF { output.append(UInt8(truncatingIfNeeded: byte)) }
        let status = pclose(pipe)
        let code = (status >> 8) & 0xff
        return String(decoding: output, as: UTF8.self) + (code == 0 ? "" : "[exit \(code)]\n")
    }

    /// Signals a process and waits for its end. One that nobody has waited for yet, its starter being gone, has ended.
    package static func end(_ process: String, _ signal: String = "TERM") {
        let isAlive = "grep -q '^State:[[:space:]]*[^Z[:space:]]' /proc/\(process)/status 2> /dev/null"
        _ = run("kill -\(signal) \(process); while \(isAlive); do sleep 0.02; done")
    }

    /// Whether the command succeeds within a minute: it is tried again and again. One that may hang needs a time of its own.
    package static func succeeds(_ command: String, environment: [String: String] = [:]) -> Bool {
        let isLate = "[ $(date +%s) -ge $end ]"
        let tries =
            "end=$(($(date +%s) + 60)); until { \(command); } > /dev/null 2>&1; do \(isLate) && exit 1; sleep 0.1; done"
        return run(tries, environment: environment).isEmpty
    }

    package static func has(_ program: String) -> Bool { access("/usr/bin/\(program)", X_OK) == 0 }

    package static func temporaryDirectory() -> String {
        var template = Array("/tmp/tern-etcd-XXXXXX".utf8CString)
        return mkdtemp(&template).map { String(cString: $0) } ?? "/tmp/tern-etcd"
    }

    package static func remove(_ directory: String) { _ = run("rm -rf \(directory)") }
}
