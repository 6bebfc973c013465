// A watch over HTTP: events as JSON lines on one response. Bytes of an event are made once and shared by all watchers
// of the same form. A client that does not read is ended when its backlog is above the limit; it comes back from its
// last resourceVersion.
import API
import KVCore
import NIOCore
import NetHTTP
import Synchronization

final class HTTPWatchSink: WatchSink {
    private let exchange: Exchange
    private let resource: ResourceSchema
    private let backlogBytesMax: Int
    private let onEvent: @Sendable () -> Void
    private let onEnd: @Sendable () -> Void
    private let initialBytes = Atomic<Int>(0)
    private let sentColumns = Atomic<Bool>(false)
    private let isEnded = Atomic<Bool>(false)

    init(
        _ exchange: Exchange, _ resource: ResourceSchema, backlogBytesMax: Int, onEvent: @escaping @Sendable () -> Void,
        onEnd: @escaping @Sendable () -> Void
    ) {
        self.exchange = exchange
        self.resource = resource
        self.backlogBytesMax = backlogBytesMax
        self.onEvent = onEvent
        self.onEnd = onEnd
    }

    func begin() {
        exchange.response.sendHead(status: 200, headers: exchange.headers("application/json"))
    }

    /// The objects that exist at the start, as ADDED.
    func sendInitial(_ objects: [FeedObject]) {
        var total = 0
        for object in objects {
            let bytes = encode(.added, object, includesColumns: takesColumns(), revision: nil)
            total += bytes.readableBytes
            exchange.response.write(bytes)
        }
        initialBytes.store(total, ordering: .relaxed)
    }

    /// Whether this Table event is the first, which names the columns.
    private func takesColumns() -> Bool {
        guard case .table = exchange.representation.form else { return false }
        return !sentColumns.exchange(true, ordering: .relaxed)
    }

    func deliver(_ type: WatchEventType, _ object: FeedObject, _ event: FeedEvent) -> Bool {
        if isEnded.load(ordering: .relaxed) { return false }
        let pending = exchange.response.pendingBytes
        guard pending <= backlogBytesMax + initialBytes.load(ordering: .relaxed) else {
            end()
            exchange.response.reset()
            return false
        }
        let columns = takesColumns()
        let key = FeedEvent.EncodingKey(
            type: type, apiVersion: resource.resource.apiVersion, representation: exchange.representation,
            rows: exchange.rows,
            includesColumns: columns)
        exchange.response.write(
            event.bytes(key) { encode(type, object, includesColumns: columns, revision: event.revision) })
        onEvent()
        return true
    }

    private func encode(
        _ type: WatchEventType, _ object: FeedObject, includesColumns: Bool, revision: Revision?
    )
        -> ByteBuffer
    {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(object.stored.bytes.count + 256)
        buffer.writeStaticString("{\"type\":\"")
        buffer.writeString(type.rawValue)
        buffer.writeStaticString("\",\"object\":")
        switch exchange.representation.form {
        case .object where resource.isConverted:
            var tree = object.tree(resource.kind)
            if let revision { tree["metadata", "resourceVersion"] = .string("\(revision)") }
            buffer.writeBytes(tree.serialized())
        case .object: object.stored.writeObject(resource.kind, into: &buffer, revision: revision)
        case .metadata(let version), .metadataList(let version):
            buffer.writeKind("PartialObjectMetadata", "meta.k8s.io/\(version)")
            buffer.writeStaticString(",\"metadata\":")
            object.stored.writeMetadata(into: &buffer, revision: revision)
            buffer.writeStaticString("}")
        case .table(let version):
            var tree = object.tree(resource.kind)
            if let revision { tree["metadata", "resourceVersion"] = .string("\(revision)") }
            let table = exchange.renderer.table(
                [tree], resource, version, ["resourceVersion": .string(tree.resourceVersion)], exchange.rows,
                includesColumns: includesColumns)
            buffer.writeBytes(table.serialized())
        }
        buffer.writeStaticString("}\n")
        return buffer
    }

    func bookmark(_ revision: Revision) { bookmark(revision, endsInitial: false) }

    func bookmark(_ revision: Revision, endsInitial: Bool) {
        var metadata: JSON = ["resourceVersion": .string("\(revision)")]
        if endsInitial { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
        var object: JSON = [
            "kind": .string(resource.kind.kind), "apiVersion": .string(resource.resource.apiVersion),
            "metadata": metadata
        ]
        switch exchange.representation.form {
        case .object: break
        case .metadata(let version), .metadataList(let version): object = Renderer.partial(object, version)
        case .table(let version):
            object = exchange.renderer.table(
                [], resource, version, ["resourceVersion": .string("\(revision)")], .none,
                includesColumns: takesColumns())
        }
        write("BOOKMARK", object)
    }

    func fail(_ error: StatusError) {
        write("ERROR", error.status)
        finish()
    }

    private func write(_ type: String, _ object: JSON) {
        if isEnded.load(ordering: .relaxed) { return }
        var bytes = (["type": .string(type), "object": object] as JSON).serialized()
        bytes.append(UInt8(ascii: "\n"))
        exchange.response.write(ByteBuffer(bytes: bytes))
    }

    func finish() {
        end()
        exchange.response.end()
    }

    /// The client went away, or the stream is over.
    func end() {
        if !isEnded.exchange(true, ordering: .relaxed) { onEnd() }
    }
}
