// ConfigMaps and Secrets: data with checked keys, a size limit, immutability on request.
import API

package struct ConfigMapKind: StoredKind {
    package init() {}
    /// Bytes of all values.
    static let bytesMax = 1 << 20

    package func check(_ object: JSON, _ issues: inout Issues) {
        var bytes = 0
        for member in ConfigData.sorted(object["data"]) {
            issues.invalid(FieldPath("data").key(member.key), .string(member.key), Names.configMapKey(member.key))
            if object["binaryData", member.key] != nil {
                issues.invalid(
                    FieldPath("data").key(member.key), .string(member.key), "duplicate of key present in binaryData")
            }
            bytes += member.value.string?.utf8.count ?? 0
        }
        for member in ConfigData.sorted(object["binaryData"]) {
            issues.invalid(FieldPath("binaryData").key(member.key), .string(member.key), Names.configMapKey(member.key))
            bytes += Base64.decodedCount(member.value.string ?? "")
        }
        if bytes > Self.bytesMax { issues.tooLong(.root, bytesMax: Self.bytesMax) }
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        ConfigData.immutability(new, old, members: ["data", "binaryData"], &issues)
        check(new, &issues)
    }
}

package struct SecretKind: StoredKind {
    package init() {}

    package func prepareForCreate(_ write: inout WriteRequest) {
        mergeStrings(&write.object)
        for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            write.object.setValue(nil, at: ["metadata", member])
        }
    }

    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) {
        mergeStrings(&write.object)
        if (write.object["type"]?.string ?? "").isEmpty { write.object["type"] = old["type"] }
    }

    /// `stringData` is for writing only.
    private func mergeStrings(_ object: inout JSON) {
        for member in object["stringData"]?.object?.members ?? [] {
            object["data", member.key] = .string(Base64.encode(Array((member.value.string ?? "").utf8)))
        }
        object["stringData"] = nil
    }

    package func check(_ object: JSON, _ issues: inout Issues) {
        var bytes = 0
        for member in ConfigData.sorted(object["data"]) {
            issues.invalid(FieldPath("data").key(member.key), .string(member.key), Names.configMapKey(member.key))
            bytes += Base64.decodedCount(member.value.string ?? "")
        }
        if bytes > ConfigMapKind.bytesMax { issues.tooLong("data", bytesMax: ConfigMapKind.bytesMax) }
        typed(object, &issues)
    }

    private func typed(_ object: JSON, _ issues: inout Issues) {
        let data = object["data"]
        func require(_ keys: [String]) {
            for key in keys where data?[key] == nil { issues.required(FieldPath("data").key(key)) }
        }
        switch object["type"]?.string ?? "" {
        case "kubernetes.io/service-account-token":
            if (object.annotations["kubernetes.io/service-account.name"] ?? "").isEmpty {
                issues.required("metadata.annotations[kubernetes.io/service-account.name]")
            }
        case "kubernetes.io/dockercfg": registry(".dockercfg", data, &issues)
        case "kubernetes.io/dockerconfigjson": registry(".dockerconfigjson", data, &issues)
        case "kubernetes.io/basic-auth":
            if data?["username"] == nil && data?["password"] == nil { require(["username", "password"]) }
        case "kubernetes.io/ssh-auth": require(["ssh-privatekey"])
        case "kubernetes.io/tls": require(["tls.crt", "tls.key"])
        default: break
        }
    }

    /// A TLS secret whose certificate or key no server could load is accepted with a warning.
    package func warnings(_ write: WriteRequest) -> [String] {
        let object = write.object
        guard object["type"] == "kubernetes.io/tls" else { return [] }
        for (key, shown) in [("tls.crt", "certificate"), ("tls.key", "key")] {
            let text = Base64.bytes(object["data", key]?.string ?? "").map { String(decoding: $0, as: UTF8.self) } ?? ""
            if !text.contains("-----BEGIN ") { return ["tls: failed to find any PEM data in \(shown) input"] }
        }
        return []
    }

    private func registry(_ key: String, _ data: JSON?, _ issues: inout Issues) {
        guard let text = data?[key]?.string else { return issues.required(FieldPath("data").key(key)) }
        let bytes = Base64.bytes(text) ?? []
        let first = bytes.first { $0 != 32 && $0 != 10 && $0 != 13 && $0 != 9 }
        if first == UInt8(ascii: "{") { return }
        let shown =
            first.map { "invalid character '\(Character(UnicodeScalar($0)))' looking for beginning of value" }
            ?? "unexpected end of JSON input"
        issues.invalid(FieldPath("data").key(key), "<secret contents redacted>", shown)
    }

    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        issues.immutable("type", new["type"], old["type"])
        ConfigData.immutability(new, old, members: ["data"], &issues)
        check(new, &issues)
    }
}

enum ConfigData {
    static func sorted(_ map: JSON?) -> [JSONObject.Member] { (map?.object?.members ?? []).sorted { $0.key < $1.key } }

    static func immutability(_ new: JSON, _ old: JSON, members: [String], _ issues: inout Issues) {
        guard old["immutable"]?.bool == true else { return }
        let text = "field is immutable when `immutable` is set"
        if new["immutable"]?.bool != true { issues.forbidden("immutable", text) }
        for member in members where (new[member] ?? [:]) != (old[member] ?? [:]) {
            issues.forbidden(FieldPath(member), text)
        }
    }
}
