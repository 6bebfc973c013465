// Reads the tree as text: the module graph of Package.swift, imports, sizes, documents. Nothing is built for it.
import Foundation
import Testing

/// The checkout, found from this file.
let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

func swiftFiles(_ folders: [String]) throws -> [(path: String, text: String)] {
    try folders.flatMap { folder -> [(String, String)] in
        let base = root.appendingPathComponent(folder)
        let names = FileManager.default.enumerator(atPath: base.path)?.compactMap { $0 as? String } ?? []
        return try names.filter { $0.hasSuffix(".swift") }.sorted().map {
            ("\(folder)/\($0)", try String(contentsOf: base.appendingPathComponent($0), encoding: .utf8))
        }
    }
}

func imports(_ text: String) -> Set<String> {
    Set(
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard let at = words.firstIndex(of: "import"), at <= 1, at + 1 < words.count, !line.hasPrefix("//") else {
                return nil
            }
            return words[at + 1] == "struct" || words[at + 1] == "class" ? nil : words[at + 1]
        })
}

@Suite struct LayeringTests {
    /// What each of our modules may import of ours; a row imports only what stands below it.
    static let allowed: [(folder: String, modules: Set<String>)] = [
        ("Sources/Raft", []),
        ("Sources/API/API", ["CSchema"]),
        ("Sources/API/APIClient", ["API", "NetHTTP", "NetPKI"]),
        ("Sources/Net/NetPKI", []),
        ("Sources/Net/NetDNS", []),
        ("Sources/Net/NetBalancer", []),
        ("Sources/Net/NetGRPC", ["NetPKI"]),
        ("Sources/Net/NetHTTP", ["NetPKI", "CDeflate"]),
        ("Sources/KVStore/KVCore", ["Raft"]),
        ("Sources/KVStore/KVDisk", ["KVCore", "Raft", "CSQLite"]),
        ("Sources/KVStore/KVReplica", ["KVCore", "KVDisk", "Raft", "NetPKI"]),
        ("Sources/KVStore/KVEtcd", ["KVReplica", "KVCore", "Raft", "NetGRPC", "NetHTTP", "NetPKI"]),
        ("Sources/Master/Scheduler", ["API"]),
        ("Sources/Master/Controllers", ["API"]),
        ("Sources/Master/Cloud", ["API"]),
        ("Sources/Master/APIServer", ["API", "KVReplica", "KVCore", "Raft", "NetHTTP", "NetPKI"]),
        ("Sources/Worker/Proxy", ["API", "CLinux"]),
        ("Sources/Worker/Network", ["API", "CLinux"]),
        ("Sources/Worker/DNSServer", ["API", "NetDNS"]),
        ("Sources/Worker/Kubelet", ["API", "APIClient", "NetHTTP", "NetGRPC", "NetPKI", "CLinux"]),
        ("chaos/Simulation", ["Raft", "KVCore", "KVDisk", "CSQLite"])
    ]
    static let ours: Set<String> = [
        "Raft", "API", "APIClient", "NetPKI", "NetDNS", "NetBalancer", "NetGRPC", "NetHTTP", "KVCore", "KVDisk",
        "KVReplica", "KVEtcd", "Scheduler",
        "Controllers", "Cloud", "APIServer", "Master", "Proxy", "Network", "DNSServer", "Kubelet", "Worker",
        "Simulation", "CSchema", "CLinux",
        "CSQLite", "CDeflate"
    ]

    @Test(arguments: allowed.indices) func `a module imports only what stands below it`(_ row: Int) throws {
        let (folder, modules) = Self.allowed[row]
        for (path, text) in try swiftFiles([folder]) {
            let wrong = imports(text).intersection(Self.ours).subtracting(modules).subtracting([
                String(folder.split(separator: "/").last ?? "")
            ])
            #expect(wrong.isEmpty, "\(path) imports \(wrong.sorted())")
        }
    }

    @Test func `pure cores import neither sockets nor Foundation`() throws {
        for (path, text) in try swiftFiles([
            "Sources/Raft", "Sources/KVStore/KVCore", "Sources/Net/NetDNS", "chaos/Simulation"
        ]) {
            let wrong = imports(text).filter { $0.hasPrefix("NIO") || $0.hasPrefix("Foundation") || $0 == "Dispatch" }
            #expect(wrong.isEmpty, "\(path) imports \(wrong.sorted())")
        }
    }

    @Test func `no file is longer than five hundred lines`() throws {
        for (path, text) in try swiftFiles(["Sources", "Tests", "chaos", "bench"]) {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).count
            #expect(lines <= 501, "\(path) has \(lines) lines")
        }
    }

    @Test func `every source file says what it is`() throws {
        for (path, text) in try swiftFiles(["Sources", "chaos", "bench"]) {
            #expect(text.hasPrefix("//"), "\(path) has no opening comment")
        }
    }

    @Test func `errors are not swallowed`() throws {
        for (path, text) in try swiftFiles(["Sources"]) {
            let bare = text.split(separator: "\n").filter { !$0.trimmingCharacters(in: .whitespaces).hasPrefix("//") }
                .joined(separator: "\n")
            #expect(!bare.contains(/\btry\?/), "\(path) has try?")
            #expect(!bare.contains(/catch\s*\{\s*\}/), "\(path) has an empty catch")
        }
    }

    @Test func `a TCP option is not set at the socket's own level, where its number means another one`() throws {
        for (path, text) in try swiftFiles(["Sources", "chaos"]) {
            #expect(!text.contains("socketOption(.tcp"), "\(path) asks for SO_DEBUG, which needs a capability")
        }
    }

    @Test func `the tree names no machine's paths`() throws {
        for (path, text) in try swiftFiles(["Sources", "Tests", "chaos", "bench"]) {
            for word in ["/" + "root/", "/" + "work/main", "/" + "farm/"] {
                #expect(!text.contains(word), "\(path) contains \(word)")
            }
        }
    }

    @Test func `every path that the architecture document names exists`() throws {
        let text = try String(contentsOf: root.appendingPathComponent("docs/ARCHITECTURE.md"), encoding: .utf8)
        let names = text.split(whereSeparator: { " `()|,\n".contains($0) }).map(String.init)
        let paths = names.filter { $0.hasPrefix("Sources/") || $0.hasPrefix("Tests/") || $0.hasPrefix("chaos/") }
        #expect(!paths.isEmpty)
        for path in paths {
            #expect(
                FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path), "\(path) is not there")
        }
    }
}
