// The development cluster as a whole: made in stages, each of which may be repeated; what runs is left alone, what died is started again.
import API
import Glibc
import Master
import NetPKI
import Worker

struct Cluster {
    var layout: Layout
    /// What `tern up` asks of a host that is not given otherwise.
    var binary = executablePath()

    /// Everything up to the point where hosts run; returns the local port.
    func up(_ report: (String) -> Void) throws -> Int {
        for folder in [layout.root, layout.pki, layout.logs, layout.run] {
            try Files.makeDirectory(folder, mode: 0o755)
        }
        report("Identity")
        let identity = try ClusterIdentity(directory: layout.pki)
        report("Network: a switch and \(layout.hosts.count) hosts")
        try Switch(layout: layout).up()
        let port = try Gateway(layout: layout, binary: binary).ensureRunning()
        report("Gateway on 127.0.0.1:\(port)")
        try writeClientFiles(identity, port: port)
        report("Hosts: \(layout.hosts.map(\.name).joined(separator: " "))")
        for host in layout.hosts { try startHost(host) }
        return port
    }

    /// Stops hosts, workers first, then the gateway; keeps every file.
    func down() throws {
        for host in layout.workers + layout.masters { HostProcess(layout: layout, host: host).stop(graceSeconds: 6) }
        Gateway(layout: layout, binary: binary).stop()
        for host in layout.hosts { HostProcess(layout: layout, host: host).removeCgroups() }
        Switch(layout: layout).down()
    }

    func startHost(_ host: Host) throws {
        switch host.role {
        case .master: try startMaster(host)
        case .worker: try startWorker(host)
        }
    }

    private func startMaster(_ host: Host) throws {
        try HostProcess(layout: layout, host: host).start(
            [
                binary, "master", "--name", host.name, "--data-dir", layout.data(host), "--pki-dir", layout.pki,
                "--advertise-address", host.address, "--initial-cluster", layout.initialCluster,
                "--initial-cluster-token", layout.hash, "--cloud-provider", "static", "--load-balancer-addresses",
                layout.loadBalancerAddresses
            ], environment: environment())
    }

    private func startWorker(_ host: Host) throws {
        let data = layout.data(host)
        try NodeCertificate.ensure(
            name: host.name, address: host.address, dataDirectory: data, identityDirectory: layout.pki)
        try HostProcess(layout: layout, host: host).start(
            [
                binary, "worker", "--name", host.name, "--data-dir", data, "--node-ip", host.address, "--masters",
                layout.masterEndpoints
            ], environment: environment())
    }

    /// Containerd's pulls leave through the gateway's proxy; cluster traffic does not.
    private func environment() -> [String: String] {
        let proxy = "http://\(layout.gatewayAddress):\(layout.proxyPort)"
        let direct = "127.0.0.0/8,localhost,10.89.0.0/24,10.96.0.0/16,10.244.0.0/16,.svc,.cluster.local"
        return ["TERN_EGRESS_PROXY": proxy, "TERN_EGRESS_DIRECT": direct]
    }

    // MARK: - Files for the person at the machine

    private func writeClientFiles(_ identity: ClusterIdentity, port: Int) throws {
        let kubeconfigPort = ":\(port)\n"
        let current = Result(catching: { try Files.text(layout.kubeconfig) }).success ?? ""
        let files = AdministratorFiles(layout)
        if !Files.exists(files.certificate) {
            let made = try identity.administratorCertificate(name: "tern-admin")
            try PEMFile.write(made.keyPEM, to: files.key)
            try PEMFile.write(made.certificatePEM, to: files.certificate, mode: 0o644)
        }
        if !current.contains(kubeconfigPort) {
            let admin = IssuedCertificate(
                certificatePEM: try PEMFile.read(files.certificate), keyPEM: try PEMFile.read(files.key))
            let text = Kubeconfig.text(
                authorityPEM: identity.clusterCA.certificatePEM, admin, server: "https://127.0.0.1:\(port)")
            try Files.write(text, to: layout.kubeconfig, mode: 0o600)
        }
        let folder = String(binary[..<(binary.lastIndex(of: "/") ?? binary.startIndex)])
        let text = """
            export PATH='\(layout.root)/bin:\(folder)':"$PATH"
            export KUBECONFIG='\(layout.kubeconfig)'

            """
        try Files.write(text, to: layout.environmentFile)
        giveToCaller([layout.root, layout.kubeconfig, layout.environmentFile])
    }

    /// With sudo, the files that the caller reads are the caller's.
    private func giveToCaller(_ paths: [String]) {
        guard let user = getenv("SUDO_UID").flatMap({ uid_t(String(cString: $0)) }),
            let group = getenv("SUDO_GID").flatMap({ gid_t(String(cString: $0)) })
        else { return }
        for path in paths { chown(path, user, group) }
    }
}
