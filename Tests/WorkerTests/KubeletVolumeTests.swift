// Files of projected volumes on a real directory: all at once, nothing outside.
import Glibc
import Kubelet
import Testing

private func scratch() throws -> String {
    var template = Array("/tmp/kubelet-volumes-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw FileError("mkdtemp", "/tmp") }
    return String(cString: made)
}

private func file(_ text: String, mode: UInt32 = 0o644) -> ProjectedFile {
    ProjectedFile(bytes: Array(text.utf8), mode: mode)
}

struct KubeletVolumeTests {
    @Test func `a new set of files takes the place of the old one at once`() throws {
        let directory = try scratch()
        defer { do { try Files.removeTree(directory) } catch { Issue.record("\(error)") } }
        #expect(
            try AtomicWriter.write(
                ["a": file("1"), "b/c": file("2", mode: 0o400)], to: directory, group: nil, stamp: 1))
        #expect(try Files.text(directory + "/a") == "1")
        #expect(try Files.text(directory + "/b/c") == "2")
        #expect(Files.readLink(directory + "/a") == "..data/a")
        #expect(
            try !AtomicWriter.write(
                ["a": file("1"), "b/c": file("2", mode: 0o400)], to: directory, group: nil, stamp: 2))
        #expect(try AtomicWriter.write(["a": file("3")], to: directory, group: nil, stamp: 3))
        #expect(try Files.text(directory + "/a") == "3")
        #expect(try Files.list(directory) == ["..3", "..data", "a"])
    }

    @Test(arguments: ["../x", "/x", "a/../../x", "", "..data", "a//b"]) func `a name that leaves the volume is refused`(
        name: String
    ) throws {
        let directory = try scratch()
        defer { do { try Files.removeTree(directory) } catch { Issue.record("\(error)") } }
        #expect(throws: FileError.self) {
            try AtomicWriter.write([name: file("1")], to: directory, group: nil, stamp: 1)
        }
    }

    @Test func `the last lines of a log are found from its end`() throws {
        let directory = try scratch()
        defer { do { try Files.removeTree(directory) } catch { Issue.record("\(error)") } }
        let path = directory + "/log"
        let text = (0..<5000).map { "line \($0)\n" }.joined()
        try Files.write(text, to: path)
        let size = Int64(text.utf8.count)
        let offset = try LogFile.offset(ofLast: 2, path, size: size)
        #expect(String(text.utf8.suffix(Int(size - offset))) == "line 4998\nline 4999\n")
        #expect(try LogFile.offset(ofLast: 10_000, path, size: size) == 0)
        #expect(try LogFile.offset(ofLast: 0, path, size: size) == size)
    }
}
