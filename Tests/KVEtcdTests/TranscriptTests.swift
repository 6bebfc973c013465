// Debian's etcdctl, command for command: the recorded transcripts hold for tern and, where the machine has one, for a
// real etcd. `UPDATE=1` writes down what tern answers; a transcript that etcd contradicts fails all the same.
import Glibc
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

    func run(_ endpoint: String) -> [(command: String, output: String)] {
        let environment = ["ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoint, "ENDPOINT": endpoint]
        return steps.map { step in
            (step.command, Transcript.plain(Shell.run(step.command, environment: environment)))
        }
    }
}

enum TranscriptError: Error { case missing(String) }

@Suite(.serialized, .enabled(if: Shell.has("etcdctl"))) struct TranscriptTests {
    static let shared = ["keys", "watches", "leases", "cluster"]

    /// A transcript without a step shows nothing.
    private func compare(_ transcript: Transcript, _ answers: [(command: String, output: String)]) {
        #expect(!transcript.steps.isEmpty && answers.count == transcript.steps.count, "\(transcript.path)")
        for (step, answer) in zip(transcript.steps, answers) {
            #expect(answer.output == step.output, "$ \(step.command)")
        }
    }

    @Test(arguments: shared + ["own"]) func `etcdctl is answered as recorded`(_ name: String) async throws {
        var transcript = try Transcript(name)
        let face = try await Face()
        let answers = transcript.run(face.endpoint)
        try await face.end()
        if getenv("UPDATE") != nil {
            transcript.steps = answers
            return transcript.write()
        }
        compare(transcript, answers)
    }

    @Test(.enabled(if: Shell.has("etcd")), arguments: shared)
    func `etcd answers the same`(_ name: String) throws {
        let transcript = try Transcript(name)
        let etcd = try RealEtcd()
        let answers = transcript.run(etcd.endpoint)
        etcd.end()
        compare(transcript, answers)
    }
}
