// The volumes of a pod: unique names, exactly one source each, and what the common sources demand.
import API

struct VolumeValidation {
    private static let sources = [
        "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
        "glusterfs", "flexVolume",
        "configMap", "rbd", "cephfs", "fc", "persistentVolumeClaim", "cinder", "flocker", "downwardAPI", "azureFile",
        "vsphereVolume",
        "quobyte", "photonPersistentDisk", "projected", "portworxVolume", "scaleIO", "storageos", "csi", "azureDisk",
        "ephemeral", "image"
    ]

    /// Returns the volumes by name.
    func check(_ volumes: JSON?, at path: FieldPath, _ issues: inout Issues) -> [String: JSON] {
        var known: [String: JSON] = [:]
        for (i, volume) in (volumes?.elements ?? []).enumerated() {
            sources(volume, at: path[i], &issues)
            let name = volume["name"]?.string ?? ""
            let problems = Names.label(name)
            if name.isEmpty {
                issues.required(path[i]["name"])
            } else if !problems.isEmpty {
                issues.invalid(path[i]["name"], .string(name), problems)
            } else if known[name] != nil {
                issues.duplicate(path[i]["name"], .string(name))
            }
            if !name.isEmpty { known[name] = volume }
        }
        return known
    }

    private func sources(_ volume: JSON, at path: FieldPath, _ issues: inout Issues) {
        var count = 0
        for source in Self.sources {
            guard let value = volume[source], !value.isNull else { continue }
            count += 1
            if count > 1 {
                issues.forbidden(path[source], "may not specify more than 1 volume type")
            } else {
                one(source, value, at: path[source], &issues)
            }
        }
        if count == 0 { issues.required(path, "must specify a volume type") }
    }

    private func one(_ source: String, _ value: JSON, at path: FieldPath, _ issues: inout Issues) {
        switch source {
        case "hostPath": hostPath(value, at: path, &issues)
        case "emptyDir":
            if let limit = value["sizeLimit"], let quantity = Quantity(limit), quantity.isNegative {
                issues.forbidden(path["sizeLimit"], "SizeLimit field must be a valid resource quantity")
            }
        case "secret":
            if (value["secretName"]?.string ?? "").isEmpty { issues.required(path["secretName"]) }
            mode(value["defaultMode"], at: path["defaultMode"], &issues)
            items(value["items"], at: path["items"], &issues)
        case "configMap":
            if (value["name"]?.string ?? "").isEmpty { issues.required(path["name"]) }
            mode(value["defaultMode"], at: path["defaultMode"], &issues)
            items(value["items"], at: path["items"], &issues)
        case "downwardAPI":
            mode(value["defaultMode"], at: path["defaultMode"], &issues)
            downward(value["items"], at: path, &issues)
        case "projected": projected(value, at: path, &issues)
        case "persistentVolumeClaim":
            if (value["claimName"]?.string ?? "").isEmpty { issues.required(path["claimName"]) }
        case "nfs":
            if (value["server"]?.string ?? "").isEmpty { issues.required(path["server"]) }
            if (value["path"]?.string ?? "").isEmpty { issues.required(path["path"]) }
        case "csi":
            if (value["driver"]?.string ?? "").isEmpty { issues.required(path["driver"]) }
        default: break
        }
    }

    private func hostPath(_ value: JSON, at path: FieldPath, _ issues: inout Issues) {
        let target = value["path"]?.string ?? ""
        if target.isEmpty { return issues.required(path["path"]) }
        if target.split(separator: "/").contains("..") {
            issues.invalid(path["path"], .string(target), "must not contain '..'")
        }
        let types = [
            "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"
        ]
        issues.oneOf(path["type"], value["type"], types)
    }

    private func mode(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        guard let bits = value?.int, bits < 0 || bits > 0o777 else { return }
        issues.invalid(path, .int(bits), "must be a number between 0 and 0777 (octal), both inclusive")
    }

    private func items(_ items: JSON?, at path: FieldPath, _ issues: inout Issues) {
        for (i, item) in (items?.elements ?? []).enumerated() {
            if (item["key"]?.string ?? "").isEmpty { issues.required(path[i]["key"]) }
            relative(item["path"], at: path[i]["path"], &issues)
            mode(item["mode"], at: path[i]["mode"], &issues)
        }
    }

    private func relative(_ value: JSON?, at path: FieldPath, _ issues: inout Issues) {
        let text = value?.string ?? ""
        if text.isEmpty { return issues.required(path) }
        if text.hasPrefix("/") { issues.invalid(path, .string(text), "must be a relative path") }
        if text.split(separator: "/").contains("..") { issues.invalid(path, .string(text), "must not contain '..'") }
        if text.hasPrefix("..") && text != ".." && !text.hasPrefix("../") {
            issues.invalid(path, .string(text), "must not start with '..'")
        }
    }

    private func downward(_ items: JSON?, at path: FieldPath, _ issues: inout Issues) {
        for item in items?.elements ?? [] {
            relative(item["path"], at: path["path"], &issues)
            if let field = item["fieldRef"], !field.isNull {
                ContainerValidation.fieldReference(field, at: path["fieldRef"], isVolume: true, &issues)
            } else if item["resourceFieldRef"] == nil {
                issues.required(path["fieldRef"], "one of fieldRef and resourceFieldRef is required")
            }
        }
    }

    private func projected(_ value: JSON, at path: FieldPath, _ issues: inout Issues) {
        mode(value["defaultMode"], at: path["defaultMode"], &issues)
        for (i, source) in (value["sources"]?.elements ?? []).enumerated() {
            let here = path["sources"][i]
            let given = ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"].filter {
                source[$0] != nil
            }
            if given.count > 1 { issues.forbidden(here, "may not specify more than 1 volume type per source") }
            if let secret = source["secret"], (secret["name"]?.string ?? "").isEmpty {
                issues.required(here["secret"]["name"])
            }
            if let map = source["configMap"], (map["name"]?.string ?? "").isEmpty {
                issues.required(here["configMap"]["name"])
            }
            items(source["secret"]?["items"], at: here["secret"]["items"], &issues)
            items(source["configMap"]?["items"], at: here["configMap"]["items"], &issues)
            downward(source["downwardAPI"]?["items"], at: here["downwardAPI"], &issues)
            if let token = source["serviceAccountToken"] {
                serviceAccountToken(token, at: here["serviceAccountToken"], &issues)
            }
        }
    }

    private func serviceAccountToken(_ token: JSON, at path: FieldPath, _ issues: inout Issues) {
        if let seconds = token["expirationSeconds"]?.int {
            if seconds < 600 {
                issues.invalid(
                    path["expirationSeconds"], .int(seconds), "may not specify a duration less than 10 minutes")
            }
            if seconds > 1 << 32 {
                issues.invalid(
                    path["expirationSeconds"], .int(seconds), "may not specify a duration larger than 2^32 seconds")
            }
        }
        relative(token["path"], at: path["path"], &issues)
    }
}
