// `tern member recover`: what is left to do when more members are lost for good than a majority can spare. One that is
// left becomes a cluster of its own. It says what that costs and does nothing until it is told to.
import ArgumentParser
import Glibc
import KVCore
import KVReplica
import Master
import Raft
import Worker

extension MemberCommand {
    struct Recover: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "recover",
            abstract: "Make a new cluster of one stopped member, when the majority is lost for good.",
            discussion: """
                Everything in this member's data is kept. What the lost members had acknowledged and this one had not \
                received is lost. The new cluster has another number, so that members of the old one that come back \
                are strangers to it: empty their data and add them anew, a witness too. One that comes back with its \
                data stops as soon as it reaches this member; where it does not reach it, members of the old cluster \
                that are a majority serve clients beside the new one. So stop those that still run, and see that \
                nobody starts them. Nothing is done while one of their addresses answers. The old data stays beside \
                the new.
                """)
        @Option(help: "The data directory; of a master: its folder 'store'.") var dataDir: String
        @Option(help: "This member's name.") var name = "default"
        @Option(help: "The token that it is started with ('tern' for masters).") var initialClusterToken =
            "etcd-cluster"
        @Option(help: "How far the new revision is above the old one.") var bumpRevision: Int64 = 1_000_000_000
        @Flag(help: "Do it although other members' addresses answer: something else listens there.")
        var thoughOthersAnswer = false
        @Flag(help: "Do it. Without this, only say what would happen.") var acceptDataLoss = false

        func run() async throws {
            let plan = try plan()
            for line in plan.lines { say(line) }
            let running = try await plan.others.answering(withinSeconds: 2)
            for member in running { say("RUNS:  \(member.name): \(member.host):\(member.port) answers") }
            guard acceptDataLoss else {
                throw CommandFailure("nothing was changed: repeat with --accept-data-loss")
            }
            guard running.isEmpty || thoughOthersAnswer else {
                throw CommandFailure(
                    "nothing was changed: stop the members that still run, or repeat with --though-others-answer")
            }
            let aside = try setAside()
            try plan.store.write(
                to: dataDir, members: [plan.me], me: plan.me.id, cluster: UInt64.random(in: 1 ... .max),
                supersedes: plan.clusters)
            say("done: revision \(plan.store.revision); the old data is in \(aside)")
        }

        private struct Plan {
            var store: NewStore
            var me: Member
            var others: [Member]
            /// The numbers of the cluster that is given up and of those before it.
            var clusters: [UInt64]
            var lines: [String]
        }

        /// The stopped store is closed again when this returns.
        private func plan() throws -> Plan {
            let stopped = try StoppedStore(dataDir)
            guard !stopped.isWitness else {
                throw CommandFailure("\(dataDir) is a witness's: it has no keys; recover a member that has them")
            }
            let id = stopped.identity?.member ?? PeerID(max(1, fnv64("\(initialClusterToken)/\(name)")))
            let machine = stopped.machine
            guard let me = machine.members[id] else {
                let names = machine.sortedMembers.map(\.name).joined(separator: ", ")
                throw CommandFailure("\(name) with token \(initialClusterToken) is not among the members: \(names)")
            }
            let others = machine.sortedMembers.filter { $0.id != id && stopped.configuration.contains($0.id) }
            let store = try stopped.begin(after: bumpRevision)
            let last = machine.counters.applied
            var lines = [
                "kept:  \(machine.view.keyCount) keys up to revision \(machine.revision)",
                "last:  entry \(last.index) of term \(last.term); of several members recover the one whose last entry "
                    + "has the highest term, and of those the highest entry",
                "lost:  whatever others acknowledged and this member never received",
                "new:   one voter, \(me.name); revision \(store.revision); watchers read anew",
                "shut out: \(others.isEmpty ? "nobody" : others.map(\.name).sorted().joined(separator: ", "))"
            ]
            if !others.isEmpty {
                lines.append(
                    "yours: stop them and never start them with their data again: one that reaches \(me.name) ends by "
                        + "itself, but a majority of them that does not reach it serves clients beside it")
            }
            if stopped.uncommitted > 0 {
                lines.append("note:  \(stopped.uncommitted) entries were not known to be agreed on; they are kept")
            }
            if stopped.isDamaged {
                lines.append("note:  this member's log is damaged: it had more once. Another member may have it whole")
            }
            return Plan(store: store, me: me, others: others, clusters: stopped.clusters, lines: lines)
        }

        private func setAside() throws -> String {
            for number in 1..<1000 {
                let aside = "\(dataDir).before-recovery-\(number)"
                if Files.exists(aside) { continue }
                guard rename(dataDir, aside) == 0 else {
                    throw CommandFailure("\(dataDir): \(String(cString: strerror(errno)))")
                }
                return aside
            }
            throw CommandFailure("\(dataDir): too many recoveries")
        }
    }
}
