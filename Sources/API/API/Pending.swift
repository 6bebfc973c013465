// Declarations whose bodies follow.
import Yams

/// YAML text to trees and back.
package struct YAMLError: Error, Sendable, Hashable, CustomStringConvertible {
    package var message: String
    package var description: String { message }
}

package enum YAML {
    /// One document; the paths of doubled keys go to `duplicates` in upstream's words (`line 5: key "data" already set in map`).
    package static func parse(_ bytes: [UInt8], duplicates: inout [String]) throws(YAMLError) -> JSON { throw YAMLError(message: "pending") }
    /// All documents; empty ones are left out.
    package static func parseAll(_ bytes: [UInt8]) throws(YAMLError) -> [JSON] { throw YAMLError(message: "pending") }
    package static func write(_ value: JSON) -> [UInt8] { [] }
}

/// Protobuf bodies (`application/vnd.kubernetes.protobuf`).
package struct ProtobufError: Error, Sendable, Hashable, CustomStringConvertible {
    package var message: String
    package var description: String { message }
}

extension SchemaTable {
    /// Decodes an envelope (`k8s\0` + runtime.Unknown); the tree carries apiVersion and kind from it.
    package func decodeProtobuf(_ bytes: [UInt8]) throws(ProtobufError) -> JSON { throw ProtobufError(message: "pending") }
    /// Encodes a tree with its envelope; throws for kinds without protobuf.
    package func encodeProtobuf(_ object: JSON) throws(ProtobufError) -> [UInt8] { throw ProtobufError(message: "pending") }
}

/// One row of a Table.
package struct TableRow: Sendable, Hashable {
    package var cells: [JSON]
    /// `conditions` of the row (Completed pods); empty for most.
    package var conditions: [JSON]
}

extension SchemaTable {
    /// `columnDefinitions` of a resource's Table.
    package func columnDefinitions(_ resource: ResourceSchema) -> JSON { [] }
    /// The cells of one object; `now` in seconds since 1970.
    package func tableRow(_ object: JSON, of resource: ResourceSchema, now: Double) -> TableRow { TableRow(cells: [], conditions: []) }
}

