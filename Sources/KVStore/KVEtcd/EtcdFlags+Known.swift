// etcd's flags from 3.4 to 3.6, by what `tern kv` makes of them. Data, not behaviour.

extension EtcdFlags {
    /// What becomes of a flag.
    struct Kind: Sendable {
        enum Effect: Sendable {
            case taken
            /// It tunes what is not there, or asks for less strictness than there is: nobody relies on what is missing.
            case without
            /// What etcd does unasked, which is done here too; any other value is refused: somebody relies on it.
            case only([String], String)
            /// Somebody relies on it.
            case refused(String)
        }
        var isSwitch: Bool
        var effect: Effect
    }

    static func kind(_ name: String) -> Kind? { known[name] }

    private static let known: [String: Kind] = {
        var known: [String: Kind] = [:]
        for name in words(taken) { known[name] = Kind(isSwitch: false, effect: .taken) }
        for name in words(takenSwitches) { known[name] = Kind(isSwitch: true, effect: .taken) }
        for name in words(without) { known[name] = Kind(isSwitch: false, effect: .without) }
        for name in words(withoutSwitches) { known[name] = Kind(isSwitch: true, effect: .without) }
        for (name, usual, why) in usualOnly { known[name] = Kind(isSwitch: false, effect: .only(usual, why)) }
        for (name, why) in refused { known[name] = Kind(isSwitch: false, effect: .refused(why)) }
        for (name, why) in refusedSwitches { known[name] = Kind(isSwitch: true, effect: .refused(why)) }
        return known
    }()

    private static func words(_ text: String) -> [String] {
        text.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    private static let taken = """
        name data-dir listen-client-urls advertise-client-urls listen-peer-urls initial-advertise-peer-urls
        initial-cluster initial-cluster-state initial-cluster-token initial-witness listen-metrics-urls metrics
        cert-file key-file trusted-ca-file peer-cert-file peer-key-file peer-trusted-ca-file
        peer-cert-allowed-cn peer-cert-allowed-hostname
        quota-backend-bytes disk-free-bytes-min auto-compaction-retention auto-compaction-mode log-level
        max-txn-ops max-request-bytes max-concurrent-streams tls-min-version tls-max-version cipher-suites
        """
    private static let takenSwitches = "client-cert-auth peer-client-cert-auth"

    private static let without = """
        snapshot-count heartbeat-interval election-timeout max-snapshots max-wals cors
        backend-bbolt-freelist-type backend-batch-interval backend-batch-limit
        max-learners grpc-keepalive-min-time grpc-keepalive-interval grpc-keepalive-timeout
        raft-read-timeout raft-write-timeout self-signed-cert-validity
        logger log-outputs log-format log-rotation-config-json log-package-levels
        bcrypt-cost auth-token-ttl v2-deprecation feature-gates
        corrupt-check-time compact-hash-check-time compaction-batch-limit compaction-sleep-interval
        watch-progress-notify-interval warning-apply-duration warning-unary-request-duration
        bootstrap-defrag-threshold-megabytes snapshot-catchup-entries downgrade-check-time
        distributed-tracing-address distributed-tracing-service-name distributed-tracing-instance-id
        distributed-tracing-sampling-rate
        experimental-corrupt-check-time experimental-compact-hash-check-time experimental-compaction-batch-limit
        experimental-compaction-sleep-interval experimental-watch-progress-notify-interval
        experimental-warning-apply-duration experimental-warning-unary-request-duration
        experimental-bootstrap-defrag-threshold-megabytes experimental-snapshot-catchup-entries
        experimental-downgrade-check-time experimental-max-learners experimental-enable-v2v3
        experimental-backend-bbolt-freelist-type experimental-distributed-tracing-address
        experimental-distributed-tracing-service-name experimental-distributed-tracing-instance-id
        experimental-distributed-tracing-sampling-rate
        """

    private static let withoutSwitches = """
        initial-election-tick-advance strict-reconfig-check pre-vote enable-v2 enable-pprof enable-grpc-gateway debug
        socket-reuse-port socket-reuse-address enable-log-rotation unsafe-no-fsync memory-mlock
        initial-corrupt-check compact-hash-check enable-lease-checkpoint enable-lease-checkpoint-persist
        stop-grpc-service-on-defrag enable-distributed-tracing
        experimental-initial-corrupt-check experimental-compact-hash-check-enabled
        experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist
        experimental-txn-mode-write-with-shared-buffer experimental-memory-mlock
        experimental-stop-grpc-service-on-defrag experimental-enable-distributed-tracing
        experimental-peer-skip-client-san-verification peer-skip-client-san-verification
        """

    private static let usualOnly: [(name: String, usual: [String], why: String)] = [
        ("host-whitelist", ["*"], "requests are not judged by the host that they name"),
        ("auth-token", ["simple"], "users and roles are not supported: access is by client certificate")
    ]

    private static let refused: [String: String] = [
        "config-file": "a file of settings is not read; give flags or variables",
        "wal-dir": "the log is kept in --data-dir",
        "discovery": noDiscovery, "discovery-srv": noDiscovery, "discovery-srv-name": noDiscovery,
        "discovery-endpoints": noDiscovery, "discovery-token": noDiscovery,
        "client-crl-file": noRevocation, "peer-crl-file": noRevocation,
        "client-cert-allowed-hostname": noNames,
        "client-cert-file": oneCertificate, "client-key-file": oneCertificate,
        "peer-client-cert-file": oneCertificate, "peer-client-key-file": oneCertificate,
        "listen-client-http-urls": "gRPC and HTTP/1.1 share --listen-client-urls"
    ]

    private static let refusedSwitches: [String: String] = [
        "auto-tls": noOwnCertificates, "peer-auto-tls": noOwnCertificates,
        "force-new-cluster": "after a lost majority use 'tern member recover'"
    ]

    private static let noDiscovery = "members are not discovered; name them in --initial-cluster"
    private static let noRevocation = "lists of revoked certificates are not read"
    private static let noNames = "every certificate of the authority is let in; use an authority of its own"
    private static let noOwnCertificates = "certificates are not made here; give files"
    private static let oneCertificate = "the server's certificate is shown to other members too"
}
