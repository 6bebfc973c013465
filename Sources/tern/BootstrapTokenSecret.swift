// A bootstrap token as the Secret that upstream's controllers and authenticators read. Pure.
import API

enum BootstrapTokenSecret {
    static let type = "bootstrap.kubernetes.io/token"
    private static let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")

    /// `abcdef.0123456789abcdef`.
    static func random(using generator: inout some RandomNumberGenerator) -> String {
        func word(_ count: Int) -> String {
            String((0..<count).map { _ in letters[Int.random(in: letters.indices, using: &generator)] })
        }
        return word(6) + "." + word(16)
    }

    /// Seconds in `30m`, `24h`, `7d`, `0`; nil when it is something else.
    static func seconds(_ text: String) -> Int64? {
        if text == "0" { return 0 }
        guard let unit = text.last, let factor = ["s": 1, "m": 60, "h": 3600, "d": 86_400][unit] as Int64?,
            let count = Int64(text.dropLast()), count > 0, count < 1 << 32
        else { return nil }
        return count * factor
    }

    static func object(_ token: String, expiration: String?, description: String) -> JSON {
        let parts = token.split(separator: ".").map(String.init)
        let (id, secret) = (parts.first ?? "", parts.last ?? "")
        var data: JSON = [
            "token-id": .string(id), "token-secret": .string(secret), "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:tern:default-node-token"
        ]
        if let expiration { data["expiration"] = .string(expiration) }
        if !description.isEmpty { data["description"] = .string(description) }
        return [
            "apiVersion": "v1", "kind": "Secret",
            "metadata": ["name": .string("bootstrap-token-\(id)"), "namespace": "kube-system"],
            "type": .string(type), "stringData": data
        ]
    }

    /// A line of `tern token list`.
    static func row(_ secret: JSON) -> String {
        func value(_ key: String) -> String {
            guard let text = secret["data", key]?.string,
                case .success(let bytes) = Result(catching: { try Base64.decode(text) })
            else { return "" }
            return String(decoding: bytes, as: UTF8.self)
        }
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(1, width - text.count))
        }
        let end = value("expiration")
        return padded("\(value("token-id")).\(value("token-secret"))", 26)
            + padded(end.isEmpty ? "<never>" : end, 23) + value("description")
    }
}
