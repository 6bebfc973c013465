// What a stranger says first on the peer port, what a member that joins is answered, and the file that says whose a data directory is.
import Glibc
import KVCore
import KVReplica
import Raft
import Testing

@Suite struct PeerFuzzTests {
    @Test func `greetings`() {
        let valid = PeerHello(cluster: 7, from: PeerID(1), to: PeerID(2)).encode()
        fuzz("greetings", [valid]) { bytes in
            do throws(DecodeError) { #expect(try PeerHello(decoding: bytes).encode() == bytes) } catch { return }
        }
    }

    @Test func `news that a cluster was given up`() {
        fuzz("superseded", [SupersededNotice(old: 7, new: 8).encode()]) { bytes in
            do throws(DecodeError) { #expect(try SupersededNotice(decoding: bytes).encode() == bytes) } catch { return }
        }
    }

    @Test func `questions of who joins, and their answers`() {
        let members = (1...3).map { Member(id: PeerID($0), name: "m\($0)", host: "10.0.0.\($0)", port: 2380) }
        let corpus = [PeerLookup(cluster: 7).encode(), PeerDirectory(cluster: 7, members: members).encode()]
        fuzz("lookups", corpus) { bytes in
            do throws(DecodeError) { #expect(try PeerLookup(question: bytes).encode() == bytes) } catch {}
            do throws(DecodeError) {
                let directory = try PeerDirectory(decoding: bytes)
                #expect(try PeerDirectory(decoding: directory.encode()) == directory)
            } catch { return }
        }
    }

    @Test func `the file that says whose a directory is`() throws {
        var template = Array("/tmp/tern-fuzz-XXXXXX".utf8CString)
        let folder = String(cString: try #require(mkdtemp(&template)))
        let path = "\(folder)/\(StoreIdentity.fileName)"
        defer {
            unlink(path)
            rmdir(folder)
        }
        try StoreIdentity(cluster: 0xabc, member: PeerID(0xdef)).write(to: folder)
        var corpus = [try read(path)]
        try StoreIdentity(cluster: 1, member: PeerID(2), isWitness: true, supersedes: [3, 4]).write(to: folder)
        corpus.append(try read(path))
        try fuzz("identities", corpus, count: 1_000) { bytes in
            try write(bytes, path)
            do {
                guard let identity = try StoreIdentity(folder) else {
                    Issue.record("there is a file")
                    return
                }
                try identity.write(to: folder)
                #expect(try StoreIdentity(folder) == identity)
            } catch { #expect("\(error)".contains(StoreIdentity.fileName)) }
        }
    }

    private func read(_ path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        try #require(count > 0)
        return Array(bytes[..<count])
    }

    private func write(_ bytes: [UInt8], _ path: String) throws {
        let descriptor = open(path, O_WRONLY | O_TRUNC)
        defer { close(descriptor) }
        #expect(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
    }
}
