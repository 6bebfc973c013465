// The pod's /etc/hosts and the reading of the machine's resolv.conf. Pure texts; the first lines of the hosts file
// are upstream's, since clients look for them.
import API

package enum HostsFile {
    package static func text(_ pod: JSON, podIPs: [String], hostFile: String, domain: String) -> String {
        let isHostNetwork = pod["spec", "hostNetwork"]?.bool ?? false
        var text: String
        if isHostNetwork {
            text = "# Kubernetes-managed hosts file (host network).\n" + hostFile
        } else {
            text = """
                # Kubernetes-managed hosts file.
                127.0.0.1\tlocalhost
                ::1\tlocalhost ip6-localhost ip6-loopback
                fe00::0\tip6-localnet
                fe00::0\tip6-mcastprefix
                fe00::1\tip6-allnodes
                fe00::2\tip6-allrouters

                """
            let short = SandboxSettings.shortHostname(pod)
            for ip in podIPs {
                text +=
                    SandboxSettings.fullHostname(pod, domain: domain).map { "\(ip)\t\($0)\t\(short)\n" }
                    ?? "\(ip)\t\(short)\n"
            }
        }
        let aliases = pod["spec", "hostAliases"]?.elements ?? []
        guard !aliases.isEmpty else { return text }
        text += "\n# Entries added by HostAliases.\n"
        for alias in aliases {
            let names = (alias["hostnames"]?.elements ?? []).compactMap(\.string).joined(separator: "\t")
            text += "\(alias["ip"]?.string ?? "")\t\(names)\n"
        }
        return text
    }
}

extension DNSSettings {
    /// From the text of a resolv.conf; loopback resolvers are kept, since nothing better is known.
    package init(resolvConf text: String) {
        self.init()
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
            guard let key = words.first, words.count > 1 else { continue }
            switch key {
            case "nameserver": servers.append(words[1])
            case "search": searches = words.dropFirst().filter { $0 != "." }
            case "options": options = Array(words.dropFirst())
            default: break
            }
        }
    }
}
