// Small makers of objects for the tests of control loops.
import API
import Controllers
import Scheduler

let second: Int64 = 1000
let epoch: Int64 = 1_750_000_000_000

func node(
    _ name: String, cpu: String = "4", memory: String = "8Gi", pods: String = "110", labels: JSON = [:],
    taints: [JSON] = [], ready: String = "True",
    cidr: String? = nil
) -> JSON {
    var all: JSON = ["kubernetes.io/hostname": .string(name)]
    for member in labels.object ?? [:] { all[member.key] = member.value }
    var node: JSON = [
        "apiVersion": "v1", "kind": "Node",
        "metadata": [
            "name": .string(name), "uid": .string("uid-\(name)"), "labels": all, "resourceVersion": "5",
            "creationTimestamp": .string(Timestamp.seconds(epoch))
        ],
        "spec": ["taints": .array(taints)],
        "status": [
            "allocatable": ["cpu": .string(cpu), "memory": .string(memory), "pods": .string(pods)],
            "conditions": [["type": "Ready", "status": .string(ready), "lastHeartbeatTime": "h1"]]
        ]
    ]
    if let cidr { node["spec", "podCIDRs"] = [.string(cidr)] }
    return node
}

func pod(
    _ name: String, on nodeName: String? = nil, cpu: String? = nil, memory: String? = nil,
    labels: JSON = ["app": "web"], spec: JSON = [:],
    status: JSON = [:], owner: JSON? = nil, namespace: String = "default", priority: Int64 = 0
) -> JSON {
    var requests: JSON = [:]
    if let cpu { requests["cpu"] = .string(cpu) }
    if let memory { requests["memory"] = .string(memory) }
    var spec = spec
    if spec["containers"] == nil {
        spec["containers"] = [["name": "c", "image": "i", "resources": ["requests": requests]]]
    }
    if let nodeName { spec["nodeName"] = .string(nodeName) }
    spec["priority"] = .int(priority)
    var metadata: JSON = [
        "name": .string(name), "namespace": .string(namespace), "uid": .string("uid-\(name)"), "labels": labels,
        "resourceVersion": "7",
        "creationTimestamp": .string(Timestamp.seconds(epoch))
    ]
    if let owner {
        metadata["ownerReferences"] = [
            [
                "apiVersion": .string(owner.apiVersion), "kind": .string(owner.kind), "name": .string(owner.name),
                "uid": .string(owner.uid), "controller": true
            ]
        ]
    }
    return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status]
}

func readyStatus(_ ip: String, since: Int64 = epoch, ready: Bool = true) -> JSON {
    [
        "phase": "Running", "podIP": .string(ip), "podIPs": [["ip": .string(ip)]],
        "conditions": [
            [
                "type": "Ready", "status": ready ? "True" : "False",
                "lastTransitionTime": .string(Timestamp.seconds(since))
            ]
        ]
    ]
}

extension Change {
    /// A short text of a change, for comparisons.
    var summary: String {
        switch self {
        case .create(let resource, let object):
            "create \(resource.resource) \(object.name.isEmpty ? object["metadata", "generateName"]?.string ?? "" : object.name)"
        case .update(let resource, let object, let sub):
            "update \(resource.resource) \(object.name)\(sub.map { "/\($0)" } ?? "")"
        case .patch(let resource, let target, let sub, _, _):
            "patch \(resource.resource) \(target.name)\(sub.map { "/\($0)" } ?? "")"
        case .delete(let resource, let target, _): "delete \(resource.resource) \(target.name)"
        case .note(let note): "note \(note.reason): \(note.message)"
        case .many(let list): "many [\(list.map(\.summary).joined(separator: ", "))]"
        case .again(let milliseconds): "again \(milliseconds)"
        }
    }
}

extension [Change] {
    var summaries: [String] { map(\.summary) }
    /// The object of the first update of a resource.
    func updated(_ resource: GroupVersionResource, _ subresource: String? = nil) -> JSON? {
        for case .update(resource, let object, subresource) in self { return object }
        return nil
    }
    func created(_ resource: GroupVersionResource) -> [JSON] {
        flatMap { change -> [JSON] in
            switch change {
            case .create(resource, let object): [object]
            case .many(let list): list.created(resource)
            default: []
            }
        }
    }
}
