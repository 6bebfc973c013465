// Makes a container image in memory: one layer, OCI layout and Docker archive in one tar, as `ctr images import` and
// `docker load` accept it. Used for the sandbox image of every worker and for the small images of the development cluster.
import Crypto

/// One image: its reference, its files and how it starts.
package struct ImageArchive: Sendable {
    package var reference: String
    package var entrypoint: [String]
    package var command: [String] = []
    package var environment: [String] = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    private var layer = TarArchive()

    package init(reference: String, entrypoint: [String], command: [String] = []) {
        self.reference = reference
        self.entrypoint = entrypoint
        self.command = command
    }

    package mutating func add(directory name: String, mode: Int = 0o755) { layer.add(directory: name, mode: mode) }
    package mutating func add(file name: String, _ content: [UInt8], mode: Int = 0o644) {
        layer.add(file: name, content, mode: mode)
    }
    package mutating func add(link name: String, to target: String) { layer.add(link: name, to: target) }

    /// The image as one tar.
    package func archive() -> [UInt8] {
        let layerBytes = layer.finished()
        let layerDigest = Self.digest(layerBytes)
        let config = Array(configText(layer: layerDigest).utf8)
        let configDigest = Self.digest(config)
        let manifest = Array(
            """
            {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",\
            "config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:\(configDigest)","size":\(config.count)},\
            "layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:\(layerDigest)","size":\(layerBytes.count)}]}
            """.utf8)
        let manifestDigest = Self.digest(manifest)
        let tag = reference.split(separator: ":").last.map(String.init) ?? "latest"
        let index = """
            {"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:\(manifestDigest)",\
            "size":\(manifest.count),"platform":{"architecture":"\(Self.architecture)","os":"linux"},\
            "annotations":{"io.containerd.image.name":"\(reference)","org.opencontainers.image.ref.name":"\(tag)"}}]}
            """
        let blobs = "blobs/sha256/"
        let docker = """
            [{"Config":"\(blobs)\(configDigest)","RepoTags":["\(reference)"],"Layers":["\(blobs)\(layerDigest)"]}]
            """
        var tar = TarArchive()
        tar.add(file: "oci-layout", Array("{\"imageLayoutVersion\":\"1.0.0\"}".utf8))
        tar.add(file: "index.json", Array(index.utf8))
        tar.add(file: blobs + manifestDigest, manifest)
        tar.add(file: blobs + configDigest, config)
        tar.add(file: blobs + layerDigest, layerBytes)
        tar.add(file: "manifest.json", Array(docker.utf8))
        return tar.finished()
    }

    private func configText(layer digest: String) -> String {
        func list(_ values: [String]) -> String { "[" + values.map { "\"\($0)\"" }.joined(separator: ",") + "]" }
        return """
            {"architecture":"\(Self.architecture)","os":"linux","created":"1970-01-01T00:00:00Z",\
            "config":{"Entrypoint":\(list(entrypoint)),"Cmd":\(list(command)),"Env":\(list(environment)),"WorkingDir":"/"},\
            "rootfs":{"type":"layers","diff_ids":["sha256:\(digest)"]},\
            "history":[{"created":"1970-01-01T00:00:00Z","created_by":"tern"}]}
            """
    }

    private static func digest(_ bytes: [UInt8]) -> String {
        SHA256.hash(data: bytes).map { byte in
            let text = String(byte, radix: 16)
            return byte < 16 ? "0" + text : text
        }.joined()
    }

    #if arch(arm64)
        private static let architecture = "arm64"
    #else
        private static let architecture = "amd64"
    #endif
}
