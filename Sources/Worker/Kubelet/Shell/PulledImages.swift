// Remembers, across restarts, which images this kubelet pulled itself: only those may ever be removed to make room.
// One empty file an image in `<root>/pulled-images`.

package struct PulledImages: Sendable {
    private let directory: String

    package init(rootDirectory: String) { directory = rootDirectory + "/pulled-images" }

    private func path(_ id: String) -> String {
        directory + "/" + String(id.map { $0.isLetter || $0.isNumber ? $0 : "-" })
    }

    package func add(_ id: String) throws(FileError) {
        try Files.makeDirectory(directory)
        try Files.write("", to: path(id))
    }

    package func contains(_ id: String) -> Bool { Files.exists(path(id)) }
    package func remove(_ id: String) throws(FileError) { try Files.remove(path(id)) }
}
