// The operators' commands on members in processes of their own: save, restore to a time, recover, add, promote, remove.
import Glibc
import TestSupport
import Testing

@Suite(
    .serialized, .enabled(if: Members.isPossible, "needs the program beside the tests and etcdctl"),
    .timeLimit(.minutes(10)))
struct CommandTests {
    private func withMembers(_ names: [String], _ body: (Members) async throws -> Void) async throws {
        let members = Members(names)
        defer { members.end() }
        try await body(members)
    }

    private func startAll(_ members: Members) throws {
        for name in members.names { members.start(name) }
        for name in members.names { try #require(members.isServing(name), "\(members.log(name))") }
    }

    private func count(_ members: Members, _ name: String, _ prefix: String) -> Int {
        members.etcdctl(name, "get --prefix --keys-only \(prefix)").split(separator: "\n").count
    }

    @Test func `a snapshot becomes a new cluster as it was at a second, and the old members are strangers to it`()
        async throws
    {
        try await withMembers(["a", "b", "c"]) { members in
            try startAll(members)
            for i in 0..<8 { _ = members.etcdctl("a", "put k/\(i) v\(i)") }
            let second = time(nil)
            while time(nil) == second { try await Task.sleep(for: .milliseconds(5)) }
            for i in 8..<12 { _ = members.etcdctl("b", "put k/\(i) v\(i)") }
            let saved = members.tern("snapshot save snap --endpoint \(members.client("b"))")
            #expect(saved.hasPrefix("saved revision 13, 12 keys, "), "\(saved)")
            #expect(members.tern("snapshot save snap").contains("snap exists already"))
            let inspected = members.tern("snapshot inspect snap")
            #expect(inspected.contains("keys      12, 12 versions,") && inspected.contains("\ntimes     "))
            for name in members.names { #expect(inspected.contains("\"\(name)\"")) }

            for name in members.names { members.kill(name) }
            for name in members.names {
                let restored = members.tern(
                    """
                    snapshot restore snap --at \(second) --name \(name) --data-dir new-\(name) \
                    --initial-cluster \(members.cluster(members.names))
                    """)
                #expect(restored.hasPrefix("restored 8 keys of revision 9 as revision 1000000013\n"), "\(restored)")
                let again = members.tern("snapshot restore snap --name \(name) --data-dir new-\(name)")
                #expect(again.contains("[exit "), "a directory that is there was written over: \(again)")
            }
            // One of the old ones comes back among the new ones.
            for name in ["a", "b"] { members.start(name, data: "\(members.folder)/new-\(name)") }
            members.start("c")
            for name in ["a", "b"] { try #require(members.isServing(name), "\(members.log(name))") }
            #expect(count(members, "a", "k/") == 8)
            _ = members.etcdctl("a", "put k/new v")
            #expect(members.etcdctl("c", "--command-timeout=2s get k/new").contains("[exit "))
            let stale = members.etcdctl("c", "--command-timeout=2s get k/new --consistency=s")
            #expect(!stale.contains("v"), "it was told of the new cluster's keys: \(stale)")
            let watched = members.etcdctl("a", "watch k/ --prefix --rev 5")
            #expect(watched.contains("required revision has been compacted"), "\(watched)")
            // The third of the new ones takes its place.
            members.kill("c")
            members.start("c", data: "\(members.folder)/new-c")
            try #require(members.isServing("c"), "\(members.log("c"))")
            #expect(count(members, "c", "k/") == 9)
        }
    }

    @Test func `a file that was cut or altered, and a time that it does not know, restore nothing`() async throws {
        try await withMembers(["a"]) { members in
            try startAll(members)
            for i in 0..<5 { _ = members.etcdctl("a", "put k/\(i) v\(i)") }
            _ = members.tern("snapshot save snap --endpoint \(members.client("a"))")
            _ = Shell.run("cd \(members.folder) && head -c -100 snap > cut && cp snap altered")
            _ = Shell.run("printf X | dd of=\(members.folder)/altered bs=1 seek=20000 conv=notrunc")
            let wrong = [
                "cut", "altered", "missing", "snap --at 1999-01-01T00:00:00Z", "snap --at yesterday",
                "snap --revision 99999",
                "snap --revision 3 --at 0", "snap --name z --initial-cluster a=http://127.0.0.1:1",
                "snap --bump-revision 9223372036854775807"
            ]
            for arguments in wrong {
                let answer = members.tern("snapshot restore \(arguments) --data-dir made")
                #expect(answer.contains("[exit "), "\(arguments): \(answer)")
                #expect(access("\(members.folder)/made", F_OK) != 0, "\(arguments) left a directory")
            }
            #expect(members.tern("snapshot save x --endpoint http://127.0.0.1:1").contains("[exit "))
            #expect(access("\(members.folder)/x", F_OK) != 0)
            // Its data are not taken while it runs.
            #expect(members.tern("snapshot save x --data-dir a").contains("[exit "))
            members.kill("a", "KILL")
            let stopped = members.tern("snapshot save x --data-dir a")
            #expect(stopped.hasPrefix("saved revision 6, 5 keys, "), "\(stopped)")
        }
    }

    @Test func `who is left of three becomes a cluster of its own when that is said, and not before`() async throws {
        try await withMembers(["a", "b", "c"]) { members in
            try startAll(members)
            for i in 0..<6 { _ = members.etcdctl("c", "put k/\(i) v\(i)") }
            for name in ["b", "a"] { members.kill(name, "KILL") }
            // Not while one of the others may still serve.
            let early = members.tern("member recover --data-dir a --name a --accept-data-loss")
            #expect(early.contains("RUNS:  c: ") && early.contains("nothing was changed"), "\(early)")
            #expect(early.contains("[exit ") && access("\(members.data("a")).before-recovery-1", F_OK) != 0)
            members.kill("c", "KILL")
            let asked = members.tern("member recover --data-dir a --name a")
            #expect(asked.contains("new:   one voter, a;") && asked.contains("shut out: b, c"), "\(asked)")
            #expect(asked.contains(#/last:  entry \d+ of term [1-9]\d*;/#), "\(asked)")
            #expect(asked.contains("yours: stop them and never start them"), "\(asked)")
            #expect(asked.contains("nothing was changed") && asked.contains("[exit "), "\(asked)")
            let done = members.tern("member recover --data-dir a --name a --accept-data-loss")
            #expect(done.contains("done: revision 10000000"), "\(done)")
            // The lost ones come back, two of the old cluster, who elect each other; until they reach who was recovered.
            for name in ["b", "c"] { members.start(name) }
            try #require(members.isServing("b"))
            members.start("a")
            try #require(members.isServing("a"), "\(members.log("a"))")
            _ = members.etcdctl("a", "put side recovered")
            for name in ["b", "c"] {
                try await eventually("\(name) ends: \(members.log(name))") {
                    members.log(name).contains("was given up") && members.hasEnded(name)
                }
                // And does not start again.
                members.kill(name)
                members.start(name)
                try await eventually("\(name) stays ended: \(members.log(name))") { members.hasEnded(name) }
                #expect(members.log(name).contains("are of a cluster that was given up"), "\(members.log(name))")
                members.kill(name)
            }
            #expect(members.etcdctl("a", "get side --print-value-only") == "recovered\n")
            #expect(count(members, "a", "k/") == 6)
            // Emptied, it joins what was recovered.
            _ = Shell.run("rm -rf \(members.data("b"))")
            let added = members.tern("member add \(members.peer("b")) --endpoint \(members.client("a"))")
            #expect(!added.contains("[exit "), "\(added)")
            members.start("b", with: ["a", "b"], "--initial-cluster-state existing")
            try #require(members.isServing("b"), "\(members.log("b"))")
            #expect(members.etcdctl("b", "get side --print-value-only") == "recovered\n")
        }
    }

    @Test func `members are added, promoted, and removed by their commands`() async throws {
        try await withMembers(["a", "b", "c"]) { members in
            try startAll(members)
            _ = members.etcdctl("a", "put k v")
            members.findPorts("d")
            let added = members.tern("member add \(members.peer("d")) --learner --endpoint \(members.client("b"))")
            try #require(!added.contains("[exit "), "\(added)")
            members.start("d", with: ["a", "b", "c", "d"], "--initial-cluster-state existing")
            let list = "member list --endpoint \(members.client("a"))"
            try await eventually("d is a learner: \(members.tern(list))") {
                members.tern(list).contains("\td\tlearner\t")
            }
            let number = try #require(members.numbers("a")["d"])
            #expect(members.tern("member promote zz --endpoint \(members.client("a"))").contains("no member's number"))
            try await eventually("d is promoted") {
                !members.tern("member promote \(number) --endpoint \(members.client("c"))").contains("[exit ")
            }
            #expect(members.tern(list).contains("\td\tvoter\t"))
            try #require(members.isServing("d"), "\(members.log("d"))")
            // It counts: with a and b gone, four members have no majority; with one of them back they have.
            for name in ["a", "b"] { members.kill(name, "KILL") }
            #expect(members.etcdctl("d", "--command-timeout=2s put k w").contains("[exit "))
            members.start("a")
            try #require(members.isServing("d"), "\(members.log("d"))")
            members.start("b")
            try #require(members.isServing("b"))
            let removed = members.tern("member remove \(number) --endpoint \(members.client("a"))")
            #expect(!removed.contains("[exit "), "\(removed)")
            #expect(members.numbers("b").keys.sorted() == ["a", "b", "c"])
            let unknown = members.tern("member remove \(number) --endpoint \(members.client("a"))")
            #expect(unknown.contains("member not found") && unknown.contains("[exit "), "\(unknown)")
        }
    }

    @Test func `etcdctl adds a voter and a learner, promotes, and removes`() async throws {
        try await withMembers(["a", "b", "c"]) { members in
            try startAll(members)
            func role(_ name: String) -> String? {
                for line in members.tern("member list --endpoint \(members.client("a"))").split(separator: "\n") {
                    let columns = line.split(separator: "\t")
                    if columns.count > 2, columns[1] == name { return String(columns[2]) }
                }
                return nil
            }
            members.findPorts("d")
            let added = members.etcdctl("b", "member add d --peer-urls=\(members.peer("d"))")
            #expect(added.contains("added to cluster") && added.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\""))
            members.start("d", with: ["a", "b", "c", "d"], "--initial-cluster-state existing")
            try await eventually("d becomes a voter by itself: \(members.log("d"))") { role("d") == "voter" }
            try #require(members.isServing("d"), "\(members.log("d"))")
            let voter = try #require(members.numbers("a")["d"])
            let removed = members.etcdctl("a", "member remove \(voter)")
            #expect(removed.contains("removed from cluster"), "\(removed)")
            members.kill("d")

            members.findPorts("e")
            let learns = members.etcdctl("c", "member add e --learner --peer-urls=\(members.peer("e"))")
            #expect(learns.contains("added to cluster"), "\(learns)")
            members.start("e", with: ["a", "b", "c", "e"], "--initial-cluster-state existing")
            try await eventually("e is a learner") { role("e") == "learner" }
            let learner = try #require(members.numbers("a")["e"])
            try await eventually("e is promoted") {
                members.etcdctl("b", "member promote \(learner)").contains("promoted in cluster")
            }
            #expect(role("e") == "voter")
            #expect(members.etcdctl("a", "member list").split(separator: "\n").count == 4)
            #expect(members.etcdctl("a", "member remove \(learner)").contains("removed from cluster"))
            #expect(members.numbers("b").keys.sorted() == ["a", "b", "c"])
        }
    }

    private func eventually(_ what: @autoclosure () -> String, _ holds: () async throws -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if try await holds() { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        Issue.record("not within a minute: \(what())")
    }
}
