// The program itself, started as etcd is started: with the flags of kubeadm's manifest and with variables. Skipped where
// it is not built.
import Glibc
import TestSupport
import Testing

/// An authority and one certificate of it for everybody, made by openssl: `ca.crt`, `server.crt`, `server.key`.
enum Certificates {
    static func make(in folder: String) {
        let authority = "-subj /CN=authority -keyout ca.key -out ca.crt"
        let request = "-subj /CN=server -keyout server.key -out server.csr"
        _ = Shell.run(
            """
            cd \(folder)
            curve='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
            openssl req -x509 $curve -days 2 \(authority) -addext basicConstraints=critical,CA:TRUE
            openssl req $curve \(request)
            printf 'subjectAltName=IP:127.0.0.1,IP:127.0.0.2,DNS:localhost\\nextendedKeyUsage=serverAuth,clientAuth\\n' > names
            openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names \
              -out server.crt
            """)
    }
}

/// What these tests need.
let canRunProgram = Shell.has("curl") && Shell.has("openssl") && TernProgram.knows("--listen-metrics-urls", of: "kv")

@Suite(.serialized, .enabled(if: canRunProgram)) struct ProgramTests {
    /// Once a probe is answered with 200.
    private func answers(_ url: String) -> Bool {
        Shell.succeeds("[ \"$(curl -s -m 20 -o /dev/null -w '%{http_code}' \(url))\" = 200 ]")
    }

    @Test func `the flags of a kubeadm manifest start a member`() throws {
        let folder = Shell.temporaryDirectory()
        defer { Shell.remove(folder) }
        Certificates.make(in: folder)
        let (client, peer, monitor) = (FreePort.take(), FreePort.take(), FreePort.take())
        let program = ChildProcess(
            """
            \(TernProgram.command) kv --advertise-client-urls=https://127.0.0.2:\(client) --cert-file=server.crt \
            --client-cert-auth=true --data-dir=data --experimental-initial-corrupt-check=true \
            --experimental-watch-progress-notify-interval=5s \
            --initial-advertise-peer-urls=https://127.0.0.2:\(peer) --initial-cluster=cp=https://127.0.0.2:\(peer) \
            --key-file=server.key --listen-client-urls=https://127.0.0.1:\(client),https://127.0.0.2:\(client) \
            --listen-metrics-urls=http://127.0.0.1:\(monitor) --listen-peer-urls=https://127.0.0.2:\(peer) --name=cp \
            --peer-cert-file=server.crt --peer-client-cert-auth=true --peer-key-file=server.key \
            --peer-trusted-ca-file=ca.crt --snapshot-count=10000 --trusted-ca-file=ca.crt --tls-min-version=TLS1.3 \
            --max-txn-ops=64 --max-request-bytes=1000000 --max-concurrent-streams=4294967295
            """, in: folder)
        defer { program.end() }
        #expect(answers("http://127.0.0.1:\(monitor)/readyz"), "\(program.log)")
        #expect(answers("http://127.0.0.1:\(monitor)/livez"))
        #expect(answers("'http://127.0.0.1:\(monitor)/health?serializable=true'"))
        for host in ["127.0.0.1", "127.0.0.2"] {
            let tls = "--cacert \(folder)/ca.crt --cert \(folder)/server.crt --key \(folder)/server.key"
            #expect(answers("\(tls) https://\(host):\(client)/health"), "\(program.log)")
            // Without a certificate nobody is let in.
            let bare =
                "curl -s -o /dev/null -w '%{http_code}' --cacert \(folder)/ca.crt https://\(host):\(client)/health"
            #expect(!Shell.run(bare).hasPrefix("200"))
        }
        let hello =
            "openssl s_client -connect 127.0.0.1:\(client) -CAfile \(folder)/ca.crt -cert \(folder)/server.crt"
            + " -key \(folder)/server.key < /dev/null"
        #expect(Shell.run("\(hello) -tls1_3").contains("TLSv1.3"))
        #expect(Shell.run("\(hello) -tls1_2").contains("alert protocol version"))
        #expect(program.log.contains("--snapshot-count has no effect"))
    }

    @Test func `names of members' certificates that cannot be asked for are refused`() {
        let folder = Shell.temporaryDirectory()
        defer { Shell.remove(folder) }
        Certificates.make(in: folder)
        let (client, peer) = (FreePort.take(), FreePort.take())
        let tls = "--peer-cert-file server.crt --peer-key-file server.key --peer-trusted-ca-file ca.crt"
        for (scheme, flags) in [
            ("https", "\(tls) --peer-cert-allowed-cn a --peer-cert-allowed-hostname b"),
            ("http", "--peer-cert-allowed-cn a")
        ] {
            let url = "\(scheme)://127.0.0.1:\(peer)"
            let said = Shell.run(
                """
                cd \(folder); timeout 60 \(TernProgram.command) kv --listen-client-urls http://127.0.0.1:\(client) \
                --listen-peer-urls \(url) --initial-advertise-peer-urls \(url) --initial-cluster default=\(url) \(flags)
                """)
            #expect(said.contains("allowed") && said.contains("[exit ") && !said.contains("[exit 124]"), "\(said)")
        }
    }

    @Test func `variables start a member, and its numbers stay when it is started again`() throws {
        let folder = Shell.temporaryDirectory()
        defer { Shell.remove(folder) }
        let (client, peer) = (FreePort.take(), FreePort.take())
        let variables = """
            ETCD_NAME=v ETCD_DATA_DIR=data ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:\(client) \
            ETCD_ADVERTISE_CLIENT_URLS=http://127.0.0.1:\(client) ETCD_LISTEN_PEER_URLS=http://127.0.0.1:\(peer) \
            ETCD_AUTO_COMPACTION_RETENTION=8 ETCD_QUOTA_BACKEND_BYTES=1048576
            """
        var identities: Set<String> = []
        for token in ["one", "two"] {
            let program = ChildProcess(
                "\(variables) ETCD_INITIAL_CLUSTER_TOKEN=\(token) \(TernProgram.command) kv", in: folder)
            defer { program.end() }
            #expect(answers("http://127.0.0.1:\(client)/readyz"), "\(program.log)")
            identities.insert(Shell.run("cat \(folder)/data/identity"))
        }
        #expect(identities.count == 1)
    }
}
