// `tern snapshot save|restore|inspect`: one file with everything that a store holds, in the form of etcd's snapshots. It
// comes from a running member or from a stopped data directory, and becomes the data directory of a new cluster.
import ArgumentParser
import Glibc
import KVCore
import KVEtcd
import KVReplica
import Master
import NIOPosix
import NetGRPC
import NetPKI
import Raft
import Worker

struct SnapshotCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot", abstract: "Save, look into and restore the replicated store.",
        subcommands: [Save.self, Restore.self, Inspect.self])

    struct Save: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "save", abstract: "Save a running member, or a data directory that nobody uses.")
        @Argument(help: "The file to write.") var file: String
        @OptionGroup var endpoint: EndpointArguments
        @Option(help: "Instead of an endpoint: the data directory of a stopped member.") var dataDir: String?

        func run() async throws {
            guard !Files.exists(file) else { throw CommandFailure("\(file) exists already") }
            if let dataDir {
                try PartialFile.write(file) { descriptor in
                    try SnapshotWriter(try StoppedStore(dataDir).export()).writeWithDigest(to: descriptor)
                }
            } else {
                try await fetch()
            }
            let contents = try SnapshotContents(path: file)
            say(
                "saved revision \(contents.revision), \(contents.records.count) keys, \(contents.bytes) bytes to \(file)"
            )
        }

        private func fetch() async throws {
            let channel = try endpoint.channel()
            let call = try await channel.serverStream("/etcdserverpb.Maintenance/Snapshot", [])
            let partial = try PartialFile(file)
            while let message = try await call.next() {
                var reader = NetGRPC.ProtobufReader(message)
                while try reader.next() { if reader.field == 3 { try partial.append(try reader.byteArray()) } }
            }
            try partial.finish()
            await channel.close()
        }
    }

    struct Restore: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore",
            abstract: "Make the data directory of a member of a new cluster.",
            discussion: """
                Every member of the new cluster is restored from the same file with the same flags but for its own \
                name and directory. Members of the old cluster cannot talk to the new one. Its revision is far above \
                the old one's, and everything before it is compacted, so that watchers read anew.
                """)
        @Argument(help: "The snapshot: of tern, or of etcd.") var file: String
        @Option(help: "The directory to make.") var dataDir: String
        @OptionGroup var new: NewClusterArguments
        @Option(help: "The keys as they were at this revision.") var revision: Int64?
        @Option(help: "The keys as they were at this time: 2026-01-31T13:00:00Z, or seconds since 1970.") var at:
            String?
        @Flag(help: "Do not ask for a digest behind the file: it is a copied database.") var skipHashCheck = false

        func run() async throws {
            let contents = try SnapshotContents(path: file, target: try target(), isChecked: !skipHashCheck)
            let cluster = try new.cluster(of: contents.digest, contents.target)
            let store = contents.begin(after: new.bumpRevision)
            try store.write(
                to: dataDir, members: cluster.members, me: cluster.me, cluster: cluster.number,
                witness: cluster.witness)
            say("restored \(contents.records.count) keys of revision \(contents.target) as revision \(store.revision)")
            say("cluster \(String(cluster.number, radix: 16)), member \(new.name) in \(dataDir)")
        }

        private func target() throws -> SnapshotTarget {
            if let revision, at == nil { return .revision(Revision(revision)) }
            guard let at else { return .latest }
            guard revision == nil else { throw ValidationError("--revision and --at exclude each other") }
            guard let time = UnixTime.milliseconds(at) else { throw ValidationError("--at: no such time: \(at)") }
            return .time(time)
        }
    }

    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "inspect", abstract: "Say what is in a snapshot, and whether it is whole.")
        @Argument(help: "The snapshot.") var file: String
        @Flag(help: "Do not ask for a digest behind the file.") var skipHashCheck = false
        @Flag(help: "List the keys.") var keys = false

        func run() async throws {
            let contents = try SnapshotContents(path: file, isChecked: !skipHashCheck)
            say("revisions \(contents.compactRevision) to \(contents.revision)")
            say("keys      \(contents.records.count), \(contents.versionCount) versions, \(contents.bytes) bytes")
            say("leases    \(contents.leases.count)")
            for member in contents.members { say("member    \(member)") }
            if let first = contents.times.first, let last = contents.times.last {
                say("times     \(UnixTime.text(first.unixMilliseconds)) to \(UnixTime.text(last.unixMilliseconds))")
            }
            say("sha256    \(contents.digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())")
            guard keys else { return }
            contents.records.forEach(.all) { record in
                say("\(record.modRevision)\t\(record.value.count)\t\(record.key.text)")
                return true
            }
        }
    }
}

/// How a running member is reached.
struct EndpointArguments: ParsableArguments {
    @Option(help: "A member's address for clients.") var endpoint = "http://127.0.0.1:2379"
    @Option(help: "Authority of the member's certificate.") var cacert: String?
    @Option(help: "Certificate to show.") var cert: String?
    @Option(help: "Its key.") var key: String?

    func channel() throws -> GRPCChannel {
        guard let url = EtcdURL(endpoint.contains("://") ? endpoint : "http://" + endpoint) else {
            throw ValidationError("--endpoint is malformed: \(endpoint)")
        }
        var tls: ClientTLS?
        if url.isSecure {
            guard let cacert else { throw ValidationError("https needs --cacert") }
            var identity: TLSIdentity?
            if let cert, let key {
                identity = try TLSIdentity(certificatePEM: try PEMFile.read(cert), keyPEM: try PEMFile.read(key))
            }
            tls = try ClientTLS(trustRootsPEM: try PEMFile.read(cacert), identity: identity, alpn: ["h2"])
        }
        return GRPCChannel(
            target: .tcp(host: url.host, port: url.port, tls: tls),
            group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
    }
}

/// The same where another way is the usual one.
struct OptionalEndpointArguments: ParsableArguments {
    @Option(help: "A member's address for clients.") var endpoint: String?
    @Option(help: "Authority of the member's certificate.") var cacert: String?
    @Option(help: "Certificate to show.") var cert: String?
    @Option(help: "Its key.") var key: String?

    var named: EndpointArguments? {
        guard let endpoint else { return nil }
        var arguments = EndpointArguments()
        (arguments.endpoint, arguments.cacert, arguments.cert, arguments.key) = (endpoint, cacert, cert, key)
        return arguments
    }
}

/// Who the members of a new cluster are.
struct NewClusterArguments: ParsableArguments {
    @Option(help: "This member's name.") var name = "default"
    @Option(help: "The members of the new cluster: a=http://10.0.0.1:2380,b=... [default: this one alone]")
    var initialCluster: String?
    @Option(help: "The member of these that is a witness, if one is: it gets no keys. The same for every member.")
    var initialWitness: String?
    @Option(help: "The token that the members will be started with ('tern' for masters).")
    var initialClusterToken = "etcd-cluster"
    @Option(help: "How far the new revision is above the old one.") var bumpRevision: Int64 = 1_000_000_000

    struct Cluster {
        var members: [Member]
        var me: PeerID
        var number: UInt64
        var witness: PeerID?
    }

    /// The same on every member that is restored from the same data.
    func cluster(of digest: [UInt8], _ revision: Revision) throws -> Cluster {
        guard bumpRevision >= 0, bumpRevision <= 1 << 52 else {
            throw ValidationError("--bump-revision is out of range")
        }
        let text = initialCluster ?? "\(name)=http://localhost:2380"
        guard let parsed = InitialMember.parse(text) else {
            throw ValidationError("--initial-cluster is malformed: \(text)")
        }
        let members = parsed.map {
            Member(id: $0.id(token: initialClusterToken), name: $0.name, host: $0.host, port: $0.port)
        }
        guard let me = members.first(where: { $0.name == name })?.id else {
            throw ValidationError("--initial-cluster does not name \(name)")
        }
        let witness = members.first { $0.name == initialWitness }?.id
        guard (witness == nil) == (initialWitness == nil) else {
            throw ValidationError("--initial-cluster does not name the witness \(initialWitness ?? "")")
        }
        var seed = [
            initialClusterToken, digest.map(String.init).joined(separator: ","), "\(revision)", "\(bumpRevision)"
        ]
        let addresses = parsed.map { "\($0.name)=\($0.host):\($0.port)" }.sorted()
        seed += addresses
        if let initialWitness { seed.append("witness \(initialWitness)") }
        return Cluster(members: members, me: me, number: fnv64(seed.joined(separator: "/")), witness: witness)
    }
}

/// A file that has its name only when it is complete.
final class PartialFile {
    private let path: String
    private let descriptor: Int32
    private var isFinished = false

    init(_ path: String) throws {
        self.path = path
        descriptor = open(path + ".part", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CommandFailure("\(path).part: \(String(cString: strerror(errno)))") }
    }

    deinit {
        close(descriptor)
        if !isFinished { unlink(path + ".part") }
    }

    static func write(_ path: String, _ body: (Int32) throws -> Void) throws {
        let file = try PartialFile(path)
        try body(file.descriptor)
        try file.finish()
    }

    func append(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw CommandFailure("\(path).part: \(String(cString: strerror(errno)))") }
            done += count
        }
    }

    func finish() throws {
        guard fsync(descriptor) == 0, rename(path + ".part", path) == 0 else {
            throw CommandFailure("\(path): \(String(cString: strerror(errno)))")
        }
        isFinished = true
    }
}

/// Times as people write them.
enum UnixTime {
    /// `2026-01-31T13:00:00Z` or seconds since 1970; nil: it is neither.
    static func milliseconds(_ text: String) -> Int64? {
        if let seconds = Int64(text), seconds >= 0, seconds < 1 << 40 { return seconds * 1000 + 999 }
        guard let match = text.wholeMatch(of: #/(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z/#) else { return nil }
        let (_, year, month, day, hour, minute, second) = match.output
        let numbers = [year, month, day, hour, minute, second].compactMap { Int32($0) }
        guard numbers.count == 6, (1970...9999).contains(numbers[0]), (1...12).contains(numbers[1]),
            (1...31).contains(numbers[2]), numbers[3] < 24, numbers[4] < 60, numbers[5] < 61
        else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (numbers[0] - 1900, numbers[1] - 1, numbers[2])
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (numbers[3], numbers[4], numbers[5])
        let seconds = timegm(&parts)
        return seconds < 0 ? nil : Int64(seconds) * 1000 + 999
    }

    static func text(_ milliseconds: Int64) -> String {
        var seconds = time_t(milliseconds / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var buffer = [CChar](repeating: 0, count: 32)
        let count = strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
