// `tern member`: who takes part in the replicated store. Listing and hand-over ask the masters of the development
// cluster; the rest asks any running member by its address for clients, or works on a stopped one's data.
import API
import ArgumentParser
import KVEtcd
import NetGRPC
import NetHTTP
import NetPKI
import Worker

struct MemberCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "member", abstract: "Members of the replicated store.",
        subcommands: [List.self, Transfer.self, Add.self, Remove.self, Promote.self, Recover.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the members: of the development cluster, or as one that --endpoint names knows them.")
        @OptionGroup var endpoint: OptionalEndpointArguments

        func run() async throws {
            if let endpoint = endpoint.named { return try await MemberCommand.list(endpoint) }
            let report = try await MastersReport.collect(try Layout.current())
            let best =
                report.answers.compactMap(\.status).first { $0["name"]?.string == report.leader }
                ?? report.answers.compactMap(\.status).first
            guard let best else { throw CommandFailure("no master answers") }
            for member in best["members"]?.elements ?? [] {
                let marks = member["isLeader"]?.bool == true ? "leader" : ""
                say(
                    [member["id"], member["name"], member["role"], member["address"]].map { $0?.string ?? "" }.joined(
                        separator: "\t") + "\t\(marks)")
            }
        }
    }

    private static func list(_ endpoint: EndpointArguments) async throws {
        var reader = NetGRPC.ProtobufReader(try await endpoint.ask("Cluster/MemberList", []))
        while try reader.next() {
            guard reader.field == 2 else { continue }
            var member = try reader.message()
            var (id, name, address, role) = ("", "", "", "voter")
            while try member.next() {
                switch member.field {
                case 1: id = String(try member.uint64(), radix: 16)
                case 2: name = try member.string()
                case 3: address = try member.string()
                case 5: if try member.bool() { role = "learner" }
                case EtcdService.witnessField: if try member.bool() { role += " witness" }
                default: continue
                }
            }
            say([id, name, role, address].joined(separator: "\t"))
        }
    }

    struct Transfer: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "transfer", abstract: "Hand leadership to another master.")
        @Argument(help: "The master that shall lead; without one the leader picks.")
        var name: String?

        func run() async throws {
            let layout = try Layout.current()
            let clients = try MasterClients(layout)
            for host in layout.masters {
                guard let status = await clients.call("GET", host, "/tern/status"), status["role"]?.string == "leader"
                else { continue }
                let answer = await clients.call("POST", host, "/tern/transfer" + (name.map { "?to=\($0)" } ?? ""))
                if answer?["ok"]?.bool == true { return }
                throw CommandFailure(answer?["error"]?.string ?? "\(host.name) did not answer")
            }
            throw CommandFailure("no master leads")
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add",
            abstract:
                "Add a member: it learns, and votes when it has caught up. Start it with --initial-cluster-state existing."
        )
        @Argument(help: "Where the others reach it: https://host:2380") var peerURL: String
        @Flag(help: "It learns only, until it is promoted.") var learner = false
        @Flag(help: "It votes and keeps no keys; one a cluster, beside two members with data.") var witness = false
        @OptionGroup var endpoint: EndpointArguments

        func run() async throws {
            var request = NetGRPC.ProtobufWriter()
            request.strings(1, [peerURL])
            request.bool(2, learner)
            request.bool(EtcdService.witnessField, witness)
            let answer = try await endpoint.ask("Cluster/MemberAdd", request.bytes)
            var reader = NetGRPC.ProtobufReader(answer)
            while try reader.next() {
                guard reader.field == 2 else { continue }
                var member = try reader.message()
                while try member.next() { if member.field == 1 { say(String(try member.uint64(), radix: 16)) } }
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "remove", abstract: "Remove a member for good.")
        @Argument(help: "Its number, as 'etcdctl member list' or 'tern member list' show it.") var id: String
        @OptionGroup var endpoint: EndpointArguments

        func run() async throws { _ = try await endpoint.ask("Cluster/MemberRemove", memberRequest(id)) }
    }

    struct Promote: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "promote", abstract: "Let a learner vote.")
        @Argument(help: "Its number.") var id: String
        @OptionGroup var endpoint: EndpointArguments

        func run() async throws { _ = try await endpoint.ask("Cluster/MemberPromote", memberRequest(id)) }
    }
}

private func memberRequest(_ text: String) throws -> [UInt8] {
    guard let id = UInt64(text, radix: 16) else { throw ValidationError("no member's number: \(text)") }
    var request = NetGRPC.ProtobufWriter()
    request.uint64(1, id)
    return request.bytes
}

extension EndpointArguments {
    /// One call to a running member.
    func ask(_ method: String, _ request: [UInt8]) async throws -> [UInt8] {
        let channel = try channel()
        do throws(GRPCStatus) {
            let answer = try await channel.unary("/etcdserverpb.\(method)", request)
            await channel.close()
            return answer
        } catch { throw CommandFailure(error.message) }
    }
}
