// What a plan asks for: writes as values. A plan is pure; the executor carries its changes out in order.
// Optimistic locks travel inside: an object to update carries the resourceVersion that the plan saw.

import API

/// One write.
package enum Change: Sendable, Hashable {
    case create(GroupVersionResource, JSON)
    /// Replaces an object, or one of its subresources.
    case update(GroupVersionResource, JSON, subresource: String? = nil)
    case patch(GroupVersionResource, Target, subresource: String? = nil, PatchType, JSON)
    case delete(GroupVersionResource, Target, DeleteOptions)
    case note(Note)
    /// Many alike, side by side: one first, then twice as many each time that all went well.
    case many([Change])
    /// Look at the key again after so many milliseconds.
    case again(milliseconds: Int64)

    package static func updateStatus(_ resource: GroupVersionResource, _ object: JSON) -> Change {
        .update(resource, object, subresource: "status")
    }
}

/// An object's address and identity.
package struct Target: Sendable, Hashable {
    /// "" for cluster-scoped kinds.
    package var namespace: String
    package var name: String
    package var uid: String

    package init(namespace: String, name: String, uid: String) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
    }

    package init(_ object: JSON) { self.init(namespace: object.namespace, name: object.name, uid: object.uid) }

    package init(_ pod: PodView) { self.init(namespace: pod.namespace, name: pod.name, uid: pod.uid) }
}

/// An Event to record about an object.
package struct Note: Sendable, Hashable {
    package var about: ObjectReference
    package var isWarning: Bool
    package var reason: String
    package var message: String

    package init(_ about: ObjectReference, warning: Bool = false, _ reason: String, _ message: String) {
        self.about = about
        isWarning = warning
        self.reason = reason
        self.message = message
    }
}

extension Change {
    static func note(_ object: JSON, warning: Bool = false, _ reason: String, _ message: String) -> Change {
        .note(Note(ObjectReference(object), warning: warning, reason, message))
    }

    static func note(_ pod: PodView, warning: Bool = false, _ reason: String, _ message: String) -> Change {
        let about = ObjectReference(
            apiVersion: "v1", kind: "Pod", namespace: pod.namespace, name: pod.name, uid: pod.uid, resourceVersion: "")
        return .note(Note(about, warning: warning, reason, message))
    }
}
