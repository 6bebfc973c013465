// docs/KV-CALLS.md says of every call and every error of the etcd interface which test shows it. Here the list is held
// against the code and the tests, so that neither can leave it behind.
import Glibc
import NIOCore
import NetGRPC
import TestSupport
import Testing

/// The tree as text.
private enum Tree {
    static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }

    static func text(_ path: String) throws -> String {
        let file = try #require(fopen("\(root)/\(path)", "r"), "\(path)")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while case let count = fread(&block, 1, block.count, file), count > 0 { bytes += block[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func files(_ pattern: String) -> [String] {
        Shell.run("cd \(root) && ls \(pattern)").split(separator: "\n").map(String.init)
    }

    /// Every test's name, and the text of the file that has it.
    static func tests() throws -> [String: String] {
        var found: [String: String] = [:]
        for path in files("Tests/KVEtcdTests/*.swift Tests/NetTests/GRPC/*.swift") {
            let text = try text(path)
            for match in text.matches(of: #/func `([^`]+)`/#) { found[String(match.output.1)] = text }
        }
        return found
    }
}

/// The rows of the list's tables, by the first cell of their heads.
private struct CallList {
    var rows: [String: [[String]]] = [:]

    init() throws {
        var head = ""
        for line in try Tree.text("docs/KV-CALLS.md").split(separator: "\n", omittingEmptySubsequences: false) {
            guard line.hasPrefix("| ") else { continue }
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast().map {
                String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
            }
            if cells.last == "shown by" { head = cells[0] } else { rows[head, default: []].append(cells) }
        }
    }

    var calls: [[String]] { rows["call"] ?? [] }
    var errors: [[String]] { rows["name"] ?? [] }
    var general: [[String]] { rows["code"] ?? [] }
}

@Suite(.serialized) struct CallListTests {
    /// Of etcd 3.6's rpc.proto, its lock and election services, and health/v1.
    private static let published: [String: String] = [
        "etcdserverpb.KV": "Range RangeStream Put DeleteRange Txn Compact",
        "etcdserverpb.Watch": "Watch",
        "etcdserverpb.Lease": "LeaseGrant LeaseRevoke LeaseKeepAlive LeaseTimeToLive LeaseLeases",
        "etcdserverpb.Cluster": "MemberAdd MemberRemove MemberUpdate MemberList MemberPromote",
        "etcdserverpb.Maintenance": "Alarm Status Defragment Hash HashKV Snapshot MoveLeader Downgrade",
        "etcdserverpb.Auth": """
        AuthEnable AuthDisable AuthStatus Authenticate UserAdd UserGet UserList UserDelete UserChangePassword \
        UserGrantRole UserRevokeRole RoleAdd RoleGet RoleList RoleDelete RoleGrantPermission RoleRevokePermission
        """,
        "v3lockpb.Lock": "Lock Unlock",
        "v3electionpb.Election": "Campaign Proclaim Leader Observe Resign",
        "grpc.health.v1.Health": "Check Watch"
    ]

    /// What etcdctl makes those calls for that a transcript shows.
    private static let etcdctl = [
        "LeaseRevoke": "lease revoke", "LeaseTimeToLive": "lease timetolive", "LeaseLeases": "lease list",
        "Defragment": "defrag", "RoleAdd": "role add"
    ]

    private var published: Set<String> {
        Set(Self.published.flatMap { service, methods in methods.split(separator: " ").map { "\(service)/\($0)" } })
    }

    @Test func `the list has each call that is published, and each that the code has`() throws {
        let list = try CallList()
        let names = list.calls.map { $0[0] }
        #expect(Set(names) == published && names.count == published.count)
        // What the code tells apart, wherever it does so.
        let methods = Set(published.compactMap { $0.split(separator: "/").last.map(String.init) })
        let known = methods.union(Self.published.keys.map { "/\($0)" })
        for path in Tree.files("Sources/KVStore/KVEtcd/EtcdService*.swift") {
            for line in try Tree.text(path).matches(of: #/\n\s+case ("[^:]+"):/#) {
                for word in String(line.output.1).matches(of: #/"([^"]+)"/#) {
                    #expect(known.contains(String(word.output.1)), "\(path): \(word.output.1)")
                }
            }
        }
    }

    @Test func `each row names a test that is there, and each error's test knows its text`() throws {
        let list = try CallList()
        let tests = try Tree.tests()
        func source(_ name: String) throws -> String? {
            guard name.hasPrefix("Transcripts/") else { return tests[name] }
            return try Tree.text("Tests/KVEtcdTests/\(name)")
        }
        for row in list.calls {
            let text = try #require(try source(row.last ?? ""), "\(row)").lowercased()
            let method = String(row[0].split(separator: "/").last ?? "")
            let isTranscript = row.last?.hasPrefix("Transcripts/") == true
            let word = isTranscript ? Self.etcdctl[method] : method.lowercased()
            #expect(text.contains(try #require(word, "\(row)")), "\(row): its test does not know it")
        }
        for row in list.errors {
            let text = try #require(try source(row[4]), "\(row)")
            #expect(
                text.contains(row[2].isEmpty ? row[4] : String(row[2].replacing("etcdserver: ", with: ""))), "\(row)")
        }
        for row in list.general { #expect(try #require(try source(row[2])).contains(row[1]), "\(row)") }
    }

    @Test func `the list has each error that the code has, with its code and text`() throws {
        let listed = try CallList().errors.reduce(into: [String: [String]]()) { $0[$1[0]] = [$1[1], $1[2]] }
        let codes = [
            "invalid": "invalidArgument", "precondition": "failedPrecondition", "unavailable": "unavailable",
            "exhausted": "resourceExhausted", "unsupported": "unimplemented", "reason": "reason"
        ]
        var found: Set<String> = []
        let source = try Tree.text("Sources/KVStore/KVEtcd/EtcdStatus.swift")
        for match in source.matches(of: #/static let (\w+) = (\w+)\(\s*(?:\.(\w+))?,?\s*(?:#?"(.*)"#?)?\)/#) {
            let (name, maker) = (String(match.output.1), String(match.output.2))
            let code = match.output.3.map(String.init) ?? codes[maker] ?? "?"
            let text = match.output.4.map(String.init) ?? ""
            let isWhole = maker == "GRPCStatus" || maker == "reason"
            #expect(listed[name] == [code, isWhole ? text : "etcdserver: \(text)"], "\(name)")
            found.insert(name)
        }
        #expect(found == Set(listed.keys) && source.matches(of: #/static let /#).count == found.count)
        for path in Tree.files("Sources/KVStore/KVEtcd/*.swift") where !path.hasSuffix("/EtcdStatus.swift") {
            #expect(!(try Tree.text(path).contains("GRPCStatus(.")), "\(path) has words of its own")
        }
        let all = try Tree.files("Sources/KVStore/KVEtcd/*.swift").map { try Tree.text($0) }.joined()
        for name in found {
            let uses = try Regex("(EtcdStatus\\.|: )\(name)(?![A-Za-z])")
            #expect(all.contains(uses), "\(name) is never sent")
        }
    }

    @Test func `the list has each error of any call`() throws {
        let texts = try CallList().general.map { $0[1] }
        var found: Set<String> = []
        for path in ["GRPCServerCall", "GRPCServerStream", "GRPCFraming"] {
            let source = try Tree.text("Sources/Net/NetGRPC/\(path).swift")
            for match in source.matches(of: #/GRPCStatus\(\s*\.\w+,\s*"([^"\\]+)/#) {
                let text = String(match.output.1)
                #expect(texts.contains { text.hasPrefix($0) }, "\(text)")
                found.formUnion(texts.filter { text.hasPrefix($0) })
            }
        }
        #expect(found == Set(texts))
    }

    @Test func `each call is answered as the list says`() async throws {
        let list = try CallList()
        for row in list.calls {
            let face = try await Face()
            var status: GRPCStatus?
            var first: [UInt8]?
            do throws(GRPCStatus) {
                let call = try await face.channel.serverStream(
                    "/\(row[0])", [], timeout: row[1] == "served" ? .milliseconds(300) : .seconds(60))
                first = try await call.next()
                call.cancel()
            } catch { status = error }
            switch row[1] {
            case "served":
                #expect(status?.code != .unimplemented && status?.code != .internal, "\(row) \(status as Any)")
            case "empty":
                let answer = try Fields(try #require(first, "\(row) \(status as Any)"))
                #expect(answer.numbers.isEmpty && Array(answer.bodies.keys) == [1], "\(row)")
            case "refused":
                #expect([.unimplemented, .failedPrecondition].contains(try #require(status, "\(row)").code), "\(row)")
                #expect(status?.message.contains("unknown method") == false, "\(row)")
            default: Issue.record("\(row)")
            }
            try await face.end()
        }
    }
}
