// Debian's etcdctl, command for command: the recorded transcripts hold for tern and, where the machine has one, for a
// real etcd. `UPDATE=1` writes down what tern answers; a transcript that etcd contradicts fails all the same.
import Glibc
import TestSupport
import Testing

/// A text of commands, each with what it printed under it.
struct Transcript {
    var steps: [(command: String, output: String)] = []
    let path: String

    init(_ name: String) throws {
        path = #filePath.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/Transcripts/\(name).txt"
        guard let file = fopen(path, "r") else { throw TranscriptError.missing(path) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("$ ") {
                steps.append((String(line.dropFirst(2)), ""))
            } else if !steps.isEmpty {
                steps[steps.count - 1].output += line + "\n"
            }
        }
        // The last line break of the file ends the last line.
        if !steps.isEmpty { steps[steps.count - 1].output.removeLast() }
    }

    func write() {
        guard let file = fopen(path, "w") else { return }
        for step in steps { fputs("$ \(step.command)\n\(step.output)", file) }
        fclose(file)
    }

    /// What differs from run to run is named instead.
    static func plain(_ output: String) -> String {
        let lines = output.split(separator: "\n", omittingEmptySubsequences: false).filter {
            !$0.hasPrefix(#"{"level":"#)
        }
        var text = lines.joined(separator: "\n")
        text = text.replacing(#/"(cluster_id|member_id|ID|raft_term)":[0-9]+/#) { match in "\"\(match.output.1)\":0" }
        text = text.replacing(#/"(ClusterID|MemberID|RaftTerm)" : [0-9]+/#) { match in "\"\(match.output.1)\" : 0" }
        // Padded to 16 places, with leading zeros left out.
        text = text.replacing(#/ *\b[0-9a-f]{12,16}\b/#) { _ in " <id>" }
        text = text.replacing(#/127\.0\.0\.1:[0-9]{2,5}/#) { _ in "127.0.0.1:PORT" }
        text = text.replacing(#/took = .*/#) { _ in "took" }
        text = text.replacing(#/ETCD_INITIAL_CLUSTER=.*/#) { _ in "ETCD_INITIAL_CLUSTER" }
        // etcd keeps the keys of a lease in a hash map: any order is right.
        text = text.replacing(#/attached keys\(\[([^\]]*)\]\)/#) { match in
            "attached keys([\(match.output.1.split(separator: " ").sorted().joined(separator: " "))])"
        }
        return text
    }

    func run(_ endpoint: String, stretch: Double) -> [(command: String, output: String)] {
        let environment = ["ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoint, "ENDPOINT": endpoint]
        return steps.map { step in
            let command = Transcript.stretched(step.command, stretch)
            return (step.command, Transcript.plain(Shell.run(command, environment: environment)))
        }
    }

    /// With longer times in it.
    static func stretched(_ command: String, _ factor: Double) -> String {
        command.replacing(#/(timeout|sleep) ([0-9.]+)/#) { match in
            "\(match.output.1) \((Double(match.output.2) ?? 1) * factor)"
        }
    }

    /// What is answered must be what stands here. Commands have times in them, and a machine may be late: then everything
    /// is asked anew with longer ones. A transcript without a step shows nothing.
    func compare(_ ask: (_ stretch: Double) async throws -> [(command: String, output: String)]) async rethrows {
        var answers: [(command: String, output: String)] = []
        for stretch in [1.0, 4, 15] {
            answers = try await ask(stretch)
            if !answers.isEmpty, answers.map(\.output) == steps.map(\.output) { return }
        }
        #expect(!steps.isEmpty && answers.count == steps.count, "\(path)")
        for (step, answer) in zip(steps, answers) { #expect(answer.output == step.output, "$ \(step.command)") }
    }
}

enum TranscriptError: Error { case missing(String) }

@Suite(.serialized, .enabled(if: Shell.has("etcdctl"))) struct TranscriptTests {
    static let shared = ["keys", "watches", "leases", "cluster"]

    @Test(arguments: shared + ["own"]) func `etcdctl is answered as recorded`(_ name: String) async throws {
        var transcript = try Transcript(name)
        if getenv("UPDATE") != nil {
            transcript.steps = try await answers(transcript, stretch: 1)
            return transcript.write()
        }
        try await transcript.compare { stretch in try await answers(transcript, stretch: stretch) }
    }

    private func answers(
        _ transcript: Transcript, stretch: Double
    ) async throws -> [(command: String, output: String)] {
        let face = try await Face()
        let answers = transcript.run(face.endpoint, stretch: stretch)
        try await face.end()
        return answers
    }

    @Test(.enabled(if: Shell.has("etcd")), arguments: shared)
    func `etcd answers the same`(_ name: String) async throws {
        let transcript = try Transcript(name)
        try await transcript.compare { stretch in
            let etcd = try RealEtcd()
            defer { etcd.end() }
            return transcript.run(etcd.endpoint, stretch: stretch)
        }
    }
}
