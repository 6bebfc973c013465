// What starts an etcd, flag by flag: the manifest that kubeadm writes, variables, and how Go reads a command line.
import Glibc
import KVCore
import KVEtcd
import KVReplica
import NIOCore
import NetGRPC
import NetPKI
import Raft
import TestSupport
import Testing

@Suite struct FlagTests {
    private func read(_ arguments: [String], _ environment: [String: String] = [:]) throws -> EtcdFlags {
        try EtcdFlags(arguments: arguments, environment: environment)
    }

    @Test func `one dash, values behind a space, and switches with a value are read as Go reads them`() throws {
        let flags = try read(["-name", "a", "--client-cert-auth=true", "-peer-client-cert-auth=f", "--data-dir=d=e"])
        #expect(flags.arguments == ["--name=a", "--client-cert-auth", "--data-dir=d=e"])
        #expect(flags.warnings.isEmpty)
        #expect(try read(["--quota-backend-bytes", "-1"]).arguments == ["--quota-backend-bytes=-1"])
        #expect(throws: EtcdFlagError.self) { try read(["--client-cert-auth=maybe"]) }
        #expect(throws: EtcdFlagError.self) { try read(["--name"]) }
        #expect(throws: EtcdFlagError.self) { try read(["--=x"]) }
    }

    @Test func `what tunes etcd alone is taken with a warning, and what somebody relies on is refused`() throws {
        let flags = try read(["--snapshot-count=10000", "--heartbeat-interval", "100", "--strict-reconfig-check"])
        #expect(flags.arguments.isEmpty)
        #expect(flags.warnings.count == 3)
        for argument in ["--client-crl-file=x", "--auto-tls", "--discovery=http://x", "--config-file=x"] {
            #expect(throws: EtcdFlagError.self) { try read([argument]) }
        }
        for argument in ["--host-whitelist=a.example", "--auth-token=jwt,sign-method=RS256"] {
            #expect(throws: EtcdFlagError.self) { try read([argument]) }
        }
        #expect(try read(["--host-whitelist=*", "--auth-token", "simple"]).arguments.isEmpty)
        #expect(try read(["--auto-tls=false", "--discovery=", "--peer-auto-tls=0"]).arguments.isEmpty)
    }

    @Test func `limits and the rules of TLS go through, and empty ones say nothing`() throws {
        let flags = try read([
            "--max-txn-ops=10", "--max-request-bytes", "1000000", "--max-concurrent-streams=9",
            "--tls-min-version=TLS1.3", "--tls-max-version=", "--cipher-suites=", "--peer-cert-allowed-cn=a,b"
        ])
        #expect(
            flags.arguments == [
                "--max-txn-ops=10", "--max-request-bytes=1000000", "--max-concurrent-streams=9",
                "--tls-min-version=TLS1.3", "--peer-cert-allowed-cn=a,b"
            ])
        #expect(flags.warnings.isEmpty)
    }

    @Test func `a member keeps to the limits that it was told`() async throws {
        let face = try await Face(etcd: {
            $0.operationsMax = 2
            $0.requestBytesMax = 1000
            $0.streamsMax = 3
        })
        let puts = { (count: Int) in
            request { txn in
                for i in 0..<count {
                    txn.message(2) { op in
                        op.message(2) {
                            $0.string(1, "k\(i)"); $0.string(2, "v")
                        }
                    }
                }
            }
        }
        try await face.ask("etcdserverpb.KV/Txn", puts(2))
        #expect(
            await face.refusal("etcdserverpb.KV/Txn", puts(3))
                == GRPCStatus(.invalidArgument, "etcdserver: too many operations in txn request"))
        try await face.put("k", String(repeating: "v", count: 900))
        await #expect(throws: GRPCStatus(.invalidArgument, "etcdserver: request is too large")) {
            try await face.put("k", String(repeating: "v", count: 1000))
        }
        // A fourth call of the connection waits until one of the others has ended.
        var watches: [GRPCCall] = []
        for _ in 0..<3 {
            let watch = try await face.channel.open("/etcdserverpb.Watch/Watch")
            watch.send(WatchAsk.create("k"))
            _ = try await watch.next()
            watches.append(watch)
        }
        await #expect(throws: GRPCStatus.self) {
            _ = try await face.channel.unary("/etcdserverpb.Maintenance/Status", [], timeout: .milliseconds(500))
        }
        for watch in watches { watch.cancel() }
        try await face.put("k", "1")
        try await face.end()
    }

    @Test func `rules of TLS are read in etcd's names, and what is not there is refused`() throws {
        let rules = try TLSRules(
            minimum: "TLS1.2", maximum: "TLS1.2", suites: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
        #expect(rules.minimum == .v12 && rules.maximum == .v12 && rules.suites.count == 1)
        #expect(try TLSRules(minimum: "", maximum: nil, suites: "") == TLSRules())
        for (minimum, maximum, suites) in [
            ("TLS1.1", nil, nil), (nil, "TLS1.4", nil), ("TLS1.3", "TLS1.2", nil),
            (nil, nil, "TLS_RSA_WITH_RC4_128_SHA"), ("TLS1.3", nil, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
        ] as [(String?, String?, String?)] {
            #expect(throws: PKIError.self) { try TLSRules(minimum: minimum, maximum: maximum, suites: suites) }
        }
    }

    @Test func `variables count where no flag is given`() throws {
        let flags = try read(
            ["--name=flag"],
            [
                "ETCD_NAME": "variable", "ETCD_LISTEN_CLIENT_URLS": "http://127.0.0.1:1",
                "ETCD_CLIENT_CERT_AUTH": "true",
                "ETCD_DATA_DIR": "", "ETCD_SERVICE_HOST": "10.0.0.1", "ETCDCTL_API": "3", "ETCD_LOG_LEVEL": "warn",
                "PATH": "/bin"
            ])
        #expect(
            flags.arguments == [
                "--name=flag", "--client-cert-auth", "--listen-client-urls=http://127.0.0.1:1", "--log-level=warning"
            ])
        #expect(flags.warnings.count == 2)
        #expect(throws: EtcdFlagError.self) { try read([], ["ETCD_FORCE_NEW_CLUSTER": "true"]) }
    }

    @Test func `flags of tern alone go through untouched`() throws {
        #expect(try read(["--help", "--some-flag", "x", "-h"]).arguments == ["--help", "--some-flag", "x", "-h"])
    }

    @Test func `retentions are durations, hours, or revisions`() {
        let read = { CompactionPolicy(mode: $0, retention: $1) }
        #expect(read("periodic", "0") == .never)
        #expect(read("revision", "0") == .never)
        #expect(read("periodic", "8") == .age(milliseconds: 8 * 3_600_000))
        #expect(read("periodic", "1h30m") == .age(milliseconds: 5_400_000))
        #expect(read("periodic", "5m") == .age(milliseconds: 300_000))
        #expect(read("periodic", "1.5s") == .age(milliseconds: 1500))
        #expect(read("revision", "1000") == .revisions(1000))
        for (mode, text) in [
            ("periodic", ""), ("periodic", "x"), ("periodic", "-1"), ("periodic", "5q"),
            ("periodic", "9223372036854775807"), ("periodic", "99999999999999999h"), ("revision", "5m"),
            ("revision", "-1"), ("other", "1")
        ] {
            #expect(read(mode, text) == nil, "\(mode) \(text)")
        }
    }

    @Test func `clusters with one token and other addresses have other numbers`() throws {
        let one = ClusterNumbers(token: "etcd-cluster", members: [("a", "10.0.0.1", 2380), ("b", "10.0.0.2", 2380)])
        let turned = ClusterNumbers(token: "etcd-cluster", members: [("b", "10.0.0.2", 2380), ("a", "10.0.0.1", 2380)])
        let other = ClusterNumbers(token: "etcd-cluster", members: [("a", "10.0.1.1", 2380), ("b", "10.0.1.2", 2380)])
        let token = ClusterNumbers(token: "another", members: [("a", "10.0.0.1", 2380), ("b", "10.0.0.2", 2380)])
        #expect(one.cluster == turned.cluster)
        #expect(Set(one.peers) == Set(turned.peers))
        #expect(Set([one.cluster, other.cluster, token.cluster]).count == 3)
        #expect(Set((one.peers + other.peers + token.peers).map(\.id)).count == 6)
    }

    @Test func `data that are there keep the numbers that they were made with`() async throws {
        let folder = Shell.temporaryDirectory()
        defer { Shell.remove(folder) }
        let members: [ClusterNumbers.NamedAddress] = [("m1", "127.0.0.1", 2380)]
        let new = try ClusterNumbers(token: "t", members: members, of: "m1", in: folder)
        #expect(new == ClusterNumbers(token: "t", members: members))
        // A data directory without an identity: made when the token and the name were all.
        let face = try await Face(directory: folder) { configuration in
            configuration.clusterID = new.cluster
            configuration.id = new.peers[0].id
            configuration.initialPeers = new.peers
        }
        try await face.end(keepsData: true)
        let old = try ClusterNumbers(token: "t", members: members, of: "m1", in: folder)
        #expect(old.cluster == fnv64("t"))
        #expect(old.peers.map(\.id) == [PeerID(fnv64("t/m1"))])
        // One that says who it is.
        try StoreIdentity(cluster: new.cluster, member: new.peers[0].id).write(to: folder)
        #expect(try ClusterNumbers(token: "t", members: members, of: "m1", in: folder) == new)
        // Moved to another address it is who it was.
        let replica = try Replica(
            ReplicaConfiguration(
                dataDirectory: folder, id: PeerID(7), name: "m1", clusterID: 7, initialPeers: new.peers,
                listenHost: "127.0.0.1", listenPort: 0, tls: nil))
        #expect(replica.configuration.clusterID == new.cluster)
        #expect(replica.configuration.id == new.peers[0].id)
        await replica.halt()
    }

    @Test func `members that are told of different witnesses have nothing in common`() {
        let members: [ClusterNumbers.NamedAddress] = [("a", "h", 1), ("b", "h", 2), ("c", "h", 3)]
        let told = [nil, "b", "c"].map { ClusterNumbers(token: "t", members: members, witness: $0) }
        #expect(Set(told.map(\.cluster)).count == 3)
        #expect(Set(told.flatMap(\.peers).map(\.id)).count == 9)
        #expect(told.map(\.witness) == [nil, told[1].peers[1].id, told[2].peers[2].id])
        #expect(told[0] == ClusterNumbers(token: "t", members: members))
        let turned = ClusterNumbers(token: "t", members: members.reversed(), witness: "c")
        #expect(turned.cluster == told[2].cluster && turned.witness == told[2].witness)
    }

    @Test func `flags that name another witness than the data were begun with are refused`() async throws {
        let folder = Shell.temporaryDirectory()
        defer { Shell.remove(folder) }
        let members: [ClusterNumbers.NamedAddress] = [("a", "h", 1), ("b", "h", 2), ("c", "h", 3)]
        func read(_ name: String, witness: String?) throws(ConfigurationError) -> ClusterNumbers {
            try ClusterNumbers(token: "t", members: members, witness: witness, of: name, in: folder)
        }
        // Without data anything may be told.
        #expect(try read("a", witness: "b") == ClusterNumbers(token: "t", members: members, witness: "b"))
        let face = try await Face(directory: folder)
        try await face.end(keepsData: true)
        for (begun, others) in [(nil, ["a", "b", "c"]), ("c", ["a", "b"])] as [(String?, [String])] {
            let numbers = ClusterNumbers(token: "t", members: members, witness: begun)
            for (position, name) in ["a", "b", "c"].enumerated() {
                try StoreIdentity(
                    cluster: numbers.cluster, member: numbers.peers[position].id, isWitness: name == begun
                ).write(to: folder)
                #expect(try read(name, witness: begun) == numbers)
                #expect(try read(name, witness: nil) == numbers, "the directory knows")
                for other in others {
                    let error = #expect(throws: ConfigurationError.self) { try read(name, witness: other) }
                    #expect(error?.description.contains("correct --initial-witness") == true)
                    #expect(error?.description.contains(begun ?? "no witness") == true)
                }
            }
        }
    }

    @Test func `a directory of another cluster keeps its role, whatever the flags say`() async throws {
        let folder = Shell.temporaryDirectory()
        defer { Shell.remove(folder) }
        let face = try await Face(directory: folder)
        try await face.end(keepsData: true)
        let peers = (1...3).map { PeerAddress(id: PeerID($0), name: "m\($0)", host: "127.0.0.1", port: Int($0)) }
        for isWitness in [true, false] {
            // As one that joined, or that was restored.
            try StoreIdentity(cluster: 99, member: PeerID(77), isWitness: isWitness).write(to: folder)
            var configuration = ReplicaConfiguration(
                dataDirectory: folder, id: PeerID(1), name: "m1", clusterID: 7, initialPeers: peers,
                listenHost: "127.0.0.1", listenPort: 0, tls: nil)
            configuration.silence()
            configuration.witness = isWitness ? PeerID(2) : PeerID(1)
            let error = #expect(throws: ConfigurationError.self) { try Replica(configuration) }
            #expect(error?.description.contains("for ever or never") == true)
        }
    }
}
