// Small plugins about nodes: a new node is tainted until it is ready, and pods tolerate a node that is not ready for
// five minutes.
import API

struct TaintNodesByCondition: AdmissionPlugin {
    private static let key = "node.kubernetes.io/not-ready"

    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {
        guard write.isCore("nodes"), write.operation == .create else { return }
        var taints = write.object["spec", "taints"]?.elements ?? []
        if taints.contains(where: { $0["key"]?.string == Self.key && $0["effect"]?.string == "NoSchedule" }) { return }
        taints.append(["key": .string(Self.key), "effect": "NoSchedule"])
        write.object["spec", "taints"] = .array(taints)
    }
}

struct DefaultTolerationSeconds: AdmissionPlugin {
    /// `--default-not-ready-toleration-seconds` and `--default-unreachable-toleration-seconds`.
    var notReadySeconds: Int64 = 300
    var unreachableSeconds: Int64 = 300

    func admit(_ write: inout WriteRequest, reader: any ObjectReader) throws(StatusError) {
        guard write.isCore("pods"), write.operation != .delete else { return }
        var tolerations = write.object["spec", "tolerations"]?.elements ?? []
        let before = tolerations.count
        for (key, seconds) in [
            ("node.kubernetes.io/not-ready", notReadySeconds), ("node.kubernetes.io/unreachable", unreachableSeconds)
        ] {
            let isTolerated = tolerations.contains { toleration in
                let given = toleration["key"]?.string ?? ""
                let effect = toleration["effect"]?.string ?? ""
                return (given == key || given.isEmpty) && (effect == "NoExecute" || effect.isEmpty)
            }
            if isTolerated { continue }
            tolerations.append([
                "key": .string(key), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": .int(seconds)
            ])
        }
        if tolerations.count != before { write.object["spec", "tolerations"] = .array(tolerations) }
    }
}
