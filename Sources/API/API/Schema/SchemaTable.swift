// The committed table of all kinds (Sources/API/CSchema/schema.tern), embedded into the binary. Shape is data:
// decoding, defaults, patches, protobuf, Table, discovery, OpenAPI come from here. Resources are read at start,
// definitions when they are first asked for. It must never change while it is in use: a table is immutable but for its
// cache of parsed definitions.
import CSchema
import Synchronization

/// All kinds that are known; pass it on by initialisers.
package final class SchemaTable: Sendable {
    package let resources: [ResourceSchema]
    private let byResource: [GroupVersionResource: Int]
    private let byKind: [GroupVersionKind: Int]
    private let definitionNames: [String]
    private let definitionSpans: [Range<Int>]
    private let definitionIDs: [String: TypeID]
    private let definitionOfKind: [GroupVersionKind: TypeID]
    private let parsed: Mutex<[TypeSchema?]>

    /// The table that is built into the binary.
    package init() {
        let scan = SchemaScan(SchemaText.embedded)
        resources = scan.resources
        byResource = Dictionary(
            scan.resources.enumerated().map { ($1.resource, $0) }, uniquingKeysWith: { first, _ in first })
        byKind = Dictionary(scan.resources.enumerated().map { ($1.kind, $0) }, uniquingKeysWith: { first, _ in first })
        definitionNames = scan.definitionNames
        definitionSpans = scan.definitionSpans
        definitionIDs = Dictionary(
            scan.definitionNames.enumerated().map { ($1, TypeID($0)) }, uniquingKeysWith: { first, _ in first })
        definitionOfKind = Dictionary(scan.kinds, uniquingKeysWith: { first, _ in first })
        parsed = Mutex(Array(repeating: nil, count: scan.definitionNames.count))
    }

    /// The resources that this version serves, in table order.
    package var served: [ResourceSchema] { resources.filter(\.isServed) }

    package func resource(_ name: GroupVersionResource) -> ResourceSchema? { byResource[name].map { resources[$0] } }

    /// The resource that stores a kind.
    package func resource(kind: GroupVersionKind) -> ResourceSchema? { byKind[kind].map { resources[$0] } }

    /// The definition with a full name (`io.k8s.api.core.v1.Pod`).
    package func type(named name: String) -> TypeSchema? { definitionIDs[name].map(type) }

    /// The definition of a kind; also of kinds that are no resources (DeleteOptions, Scale, Eviction, lists).
    package func type(of kind: GroupVersionKind) -> TypeSchema? {
        if let id = definitionOfKind[kind] { return type(id) }
        let isOptions = ["DeleteOptions", "WatchEvent", "Status"].contains(kind.kind)
        return isOptions ? type(named: "io.k8s.apimachinery.pkg.apis.meta.v1.\(kind.kind)") : nil
    }

    /// The definition behind a reference; parsed once.
    package func type(_ id: TypeID) -> TypeSchema {
        parsed.withLock { cache in
            precondition(cache.indices.contains(id.index), "a type of another table: \(id.index)")
            if let found = cache[id.index] { return found }
            let fields = SchemaText.embedded.fields(in: definitionSpans[id.index]) { definitionIDs[$0] }
            let made = TypeSchema(id: id, name: definitionNames[id.index], fields: fields)
            cache[id.index] = made
            return made
        }
    }

    /// The full names of all definitions, in table order.
    package var definitions: [String] { definitionNames }
}
