// Names of images: whether one can be meant at all, which registry it names, whether it floats. Pure.
// It exists to refuse nonsense before the runtime sees it, and to find credentials. It must never rewrite a name.
import API

package enum ImageName {
    /// Looks like `[host[:port]/]path[:tag][@digest]` with lower-case path.
    package static func isValid(_ name: String) -> Bool {
        guard !name.isEmpty, name.utf8.count <= 1024 else { return false }
        let (path, tag, digest) = split(name)
        if let tag, tag.isEmpty || tag.utf8.count > 128 || !tag.utf8.allSatisfy(isTagByte) { return false }
        if let digest, !digest.contains(":") { return false }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        let hasHost = parts.count > 1 && isHost(parts[0])
        let repository = hasHost ? parts.dropFirst() : parts[...]
        return !repository.isEmpty
            && repository.allSatisfy { part in
                guard let first = part.utf8.first, let last = part.utf8.last, isAlphanumeric(first),
                    isAlphanumeric(last)
                else { return false }
                return part.utf8.allSatisfy { isAlphanumeric($0) || $0 == 46 || $0 == 95 || $0 == 45 }
            }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (byte >= 97 && byte <= 122) || (byte >= 48 && byte <= 57)
    }
    private static func isTagByte(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || (byte >= 65 && byte <= 90) || byte == 46 || byte == 95 || byte == 45
    }
    private static func isHost(_ part: Substring) -> Bool {
        part.contains(".") || part.contains(":") || part == "localhost"
    }

    private static func split(_ name: String) -> (path: String, tag: String?, digest: String?) {
        var rest = name
        var (tag, digest): (String?, String?) = (nil, nil)
        if let at = rest.firstIndex(of: "@") {
            digest = String(rest[rest.index(after: at)...])
            rest = String(rest[..<at])
        }
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            tag = String(rest[rest.index(after: colon)...])
            rest = String(rest[..<colon])
        }
        return (rest, tag, digest)
    }

    /// No tag, or `latest`, and no digest: pulled always unless the pod says otherwise.
    package static func isLatest(_ name: String) -> Bool {
        let (_, tag, digest) = split(name)
        return digest == nil && (tag == nil || tag == "latest")
    }

    package static func registry(_ name: String) -> String {
        let parts = split(name).path.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count > 1 && isHost(parts[0]) ? String(parts[0]) : "docker.io"
    }
}

extension RegistryCredentials {
    /// From the keys of a Secret of type dockerconfigjson or dockercfg; nil when it has nothing for `host`.
    init?(secret: KeyedBytes, host: String) {
        let modern = secret[".dockerconfigjson"].flatMap(Self.tree)?["auths"]
        guard let entries = (modern ?? secret[".dockercfg"].flatMap(Self.tree))?.object else { return nil }
        for (server, entry) in entries.members.map({ ($0.key, $0.value) }) where Self.host(server) == host {
            self.init()
            username = entry["username"]?.string ?? ""
            password = entry["password"]?.string ?? ""
            auth = entry["auth"]?.string ?? ""
            identityToken = entry["identitytoken"]?.string ?? ""
            serverAddress = server
            return
        }
        return nil
    }

    private static func tree(_ bytes: [UInt8]) -> JSON? {
        do { return try JSON.parse(bytes) } catch { return nil }
    }

    /// `https://index.docker.io/v1/` → `docker.io`.
    private static func host(_ server: String) -> String {
        var rest = Substring(server)
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        let host = String(rest.prefix { $0 != "/" })
        return host == "index.docker.io" || host == "registry-1.docker.io" ? "docker.io" : host
    }
}
