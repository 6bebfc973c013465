// Events as control loops and the kubelet record them: one object a fact, repeated facts counted up instead of written
// anew. Recording never fails anybody: what cannot be written is dropped, and the queue is bounded.

import Synchronization

/// Names an object in an Event or elsewhere.
package struct ObjectReference: Sendable, Hashable {
    package var apiVersion: String
    package var kind: String
    package var namespace: String
    package var name: String
    package var uid: String
    package var resourceVersion: String
    /// A part of the object, such as `spec.containers{web}`.
    package var fieldPath: String

    package init(
        apiVersion: String, kind: String, namespace: String, name: String, uid: String, resourceVersion: String,
        fieldPath: String = ""
    ) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.fieldPath = fieldPath
    }

    package init(_ object: JSON, fieldPath: String = "") {
        self.init(
            apiVersion: object.apiVersion, kind: object.kind, namespace: object.namespace, name: object.name,
            uid: object.uid,
            resourceVersion: object.resourceVersion, fieldPath: fieldPath)
    }

    package var tree: JSON {
        let pairs = [
            ("kind", kind), ("namespace", namespace), ("name", name), ("uid", uid), ("apiVersion", apiVersion),
            ("resourceVersion", resourceVersion), ("fieldPath", fieldPath)
        ]
        return .object(
            JSONObject(uniqueMembers: pairs.filter { !$0.1.isEmpty }.map { .init(key: $0.0, value: .string($0.1)) }))
    }
}

/// What was recorded lately, and what to write next. A value; time and serial numbers are arguments.
package struct EventCounter: Sendable {
    package static let factsMax = 4096
    private struct Fact: Hashable {
        var about: ObjectReference
        var reason: String
        var message: String
        var component: String
    }
    private struct Count {
        var name: String
        var count: Int64
        var first: Int64
        var last: Int64
    }
    /// What to do for one record.
    package enum Write: Sendable, Hashable {
        case create(JSON)
        /// Patch of the named event in the namespace.
        case count(namespace: String, name: String, JSON, otherwise: JSON)
    }
    private var counts: [Fact: Count] = [:]

    package init() {}

    package mutating func record(
        _ about: ObjectReference, warning: Bool, reason: String, message: String, component: String, host: String,
        now: Int64
    ) -> Write {
        var bare = about
        bare.resourceVersion = ""
        let fact = Fact(about: bare, reason: reason, message: message, component: component)
        let namespace = about.namespace.isEmpty ? "default" : about.namespace
        var known =
            counts[fact]
            ?? Count(
                name: "\(about.name).\(String(UInt64(bitPattern: now &* 1_000_000 &+ Int64(counts.count)), radix: 16))",
                count: 0, first: now, last: now)
        known.count += 1
        known.last = now
        if counts.count >= Self.factsMax { forgetOld(now) }
        counts[fact] = known
        let event: JSON = [
            "kind": "Event", "apiVersion": "v1",
            "metadata": ["name": .string(known.name), "namespace": .string(namespace)],
            "involvedObject": about.tree, "reason": .string(reason), "message": .string(String(message.prefix(1024))),
            "type": warning ? "Warning" : "Normal", "count": .int(known.count),
            "source": host.isEmpty
                ? ["component": .string(component)] : ["component": .string(component), "host": .string(host)],
            "firstTimestamp": .string(Timestamp.seconds(known.first)),
            "lastTimestamp": .string(Timestamp.seconds(known.last)),
            "reportingComponent": .string(component), "reportingInstance": .string(host)
        ]
        guard known.count > 1 else { return .create(event) }
        let patch: JSON = ["count": .int(known.count), "lastTimestamp": .string(Timestamp.seconds(now))]
        return .count(namespace: namespace, name: known.name, patch, otherwise: event)
    }

    /// Drops the older half.
    private mutating func forgetOld(_ now: Int64) {
        let times = counts.values.map(\.last).sorted()
        let middle = times[times.count / 2]
        counts = counts.filter { $0.value.last > middle }
    }
}

/// Writes events in the background, in order, through the client that is given with each.
package final class EventRecorder: Sendable {
    package static let backlogMax = 1000
    private let component: String
    private let host: String
    private let now: @Sendable () -> Int64
    private let counter = Mutex(EventCounter())
    private let writes: AsyncStream<(EventCounter.Write, any ObjectClient)>.Continuation
    private let writer: Task<Void, Never>

    /// `component` is what `kubectl describe` shows under From; `now` gives milliseconds since 1970.
    package init(component: String, host: String = "", now: @escaping @Sendable () -> Int64) {
        self.component = component
        self.host = host
        self.now = now
        let (stream, continuation) = AsyncStream.makeStream(
            of: (EventCounter.Write, any ObjectClient).self, bufferingPolicy: .bufferingNewest(Self.backlogMax))
        writes = continuation
        writer = Task { for await (write, client) in stream { await Self.perform(write, client) } }
    }

    deinit { writes.finish() }

    package func record(
        _ about: ObjectReference, warning: Bool = false, reason: String, message: String, component: String? = nil,
        through client: any ObjectClient
    ) {
        let write = counter.withLock {
            $0.record(
                about, warning: warning, reason: reason, message: message, component: component ?? self.component,
                host: host, now: now())
        }
        writes.yield((write, client))
    }

    private static func perform(_ write: EventCounter.Write, _ client: any ObjectClient) async {
        do throws(StatusError) {
            switch write {
            case .create(let event): _ = try await client.create(.events, namespace: event.namespace, event)
            case .count(let namespace, let name, let patch, let event):
                do throws(StatusError) {
                    _ = try await client.patch(
                        .events, namespace: namespace, name: name, subresource: nil, type: .merge, patch)
                } catch  where error.isNotFound {
                    _ = try await client.create(.events, namespace: namespace, event)
                }
            }
        } catch {
            return  // an event that cannot be written is lost on purpose
        }
    }
}
