// The few CRI calls that the SPDY test needs to have a container to talk to (only with NETTESTS_CRI set): a host-network sandbox, one
// container that sleeps, an exec URL.
import NIOCore
import NetGRPC

struct CRIProbe {
    let channel: GRPCChannel

    /// Returns the sandbox id and the container id.
    func run(image: String) async throws -> (sandbox: String, container: String) {
        let sandbox = ProtobufWriter.build { request in
            request.message(1) { sandboxConfig(&$0) }
        }
        let sandboxID = try firstString(try await channel.unary("/runtime.v1.RuntimeService/RunPodSandbox", sandbox))
        let create = ProtobufWriter.build { request in
            request.string(1, sandboxID)
            request.message(2) { config in
                config.message(1) { $0.string(1, "c") }
                config.message(2) { $0.string(1, image) }
            }
            request.message(3) { sandboxConfig(&$0) }
        }
        let containerID = try firstString(try await channel.unary("/runtime.v1.RuntimeService/CreateContainer", create))
        _ = try await channel.unary(
            "/runtime.v1.RuntimeService/StartContainer", ProtobufWriter.build { $0.string(1, containerID) })
        return (sandboxID, containerID)
    }

    private func sandboxConfig(_ config: inout ProtobufWriter) {
        config.message(1) { meta in
            meta.string(1, "p")
            meta.string(2, "uid-1")
            meta.string(3, "default")
        }
        config.string(3, "")
        config.message(8) { linux in
            linux.message(2) { security in security.message(1) { $0.int(1, 2) } }
        }
    }

    func execURL(container: String, command: [String]) async throws -> String {
        let request = ProtobufWriter.build { request in
            request.string(1, container)
            request.strings(2, command)
            request.bool(4, true)
            request.bool(5, true)
        }
        return try firstString(try await channel.unary("/runtime.v1.RuntimeService/Exec", request))
    }

    func remove(sandbox: String) async throws {
        _ = try await channel.unary(
            "/runtime.v1.RuntimeService/StopPodSandbox", ProtobufWriter.build { $0.string(1, sandbox) })
        _ = try await channel.unary(
            "/runtime.v1.RuntimeService/RemovePodSandbox", ProtobufWriter.build { $0.string(1, sandbox) })
    }

    private func firstString(_ bytes: [UInt8]) throws -> String {
        var reader = ProtobufReader(bytes)
        while try reader.next() { if reader.field == 1 { return try reader.string() } }
        return ""
    }
}

extension ProtobufWriter {
    static func build(_ fill: (inout ProtobufWriter) -> Void) -> [UInt8] {
        var writer = ProtobufWriter()
        fill(&writer)
        return writer.bytes
    }
}
