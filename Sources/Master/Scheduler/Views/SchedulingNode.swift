// What the scheduler keeps of a node: a few hundred bytes instead of the whole tree.
// Two views of one node are equal unless something changed that scheduling looks at, so heartbeats wake nobody.

import API

/// A node as scheduling sees it.
package struct SchedulingNode: Sendable, Hashable {
    package var name: String
    package var labels: [String: String]
    package var taints: [Taint]
    package var unschedulable: Bool
    package var allocatable: Resources
    /// Bytes by image name.
    package var images: [String: Int64]

    package init(_ tree: JSON) {
        name = tree.name
        labels = tree.labels
        taints = (tree["spec", "taints"]?.elements ?? []).map(Taint.init)
        unschedulable = tree["spec", "unschedulable"]?.bool ?? false
        allocatable = Resources(tree["status", "allocatable"] ?? tree["status", "capacity"])
        images = [:]
        for image in tree["status", "images"]?.elements ?? [] {
            let bytes = image["sizeBytes"]?.int ?? 0
            for name in image["names"]?.elements ?? [] { images[name.string ?? ""] = bytes }
        }
    }
}
