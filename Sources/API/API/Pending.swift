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

/// A tree that does not fit its definition: the text after `X in version "v1" cannot be handled as a X: `.
package struct DecodeError: Error, Sendable, Hashable, CustomStringConvertible {
    package var message: String
    package var description: String { message }
}

/// A tree as its definition wants it.
package struct CheckedObject: Sendable {
    /// Without unknown fields and nulls; quantities and times in canonical form.
    package var object: JSON
    /// `unknown field "spec.x"`, in the order found: errors under Strict, warnings under Warn.
    package var unknownFields: [String]
}

extension SchemaTable {
    /// Types, unknown fields, normal form. `kind` decides the definition.
    package func check(_ tree: JSON, as kind: GroupVersionKind) throws(DecodeError) -> CheckedObject { CheckedObject(object: tree, unknownFields: []) }
    /// Sets what upstream's defaulting sets for this kind; never changes a value that is there.
    package func applyDefaults(_ object: inout JSON, as kind: GroupVersionKind) {}
}

extension SchemaTable {
    package func strategicMerge(_ patch: JSON, into object: JSON, as kind: GroupVersionKind) throws(StatusError) -> JSON { object }
}

/// Patches that need no schema.
package enum Patch {
    package static let operationsMax = 10_000
    /// RFC 6902; `warnings` gets unknown members of operations.
    package static func json(_ patch: JSON, on object: JSON, warnings: inout [String]) throws(StatusError) -> JSON { object }
    /// RFC 7386.
    package static func merge(_ patch: JSON, into object: JSON) throws(StatusError) -> JSON { object }
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

/// A label selector.
package struct LabelSelector: Sendable, Hashable {
    package enum Operator: String, Sendable { case equals = "=", doubleEquals = "==", notEquals = "!=", `in`, notIn = "notin", exists, notExists = "!", greater = "gt", less = "lt" }
    package struct Requirement: Sendable, Hashable {
        package var key: String
        package var op: Operator
        package var values: [String]
    }
    package var requirements: [Requirement]
    /// Selects nothing at all (a nil LabelSelector object).
    package var isNothing: Bool = false

    package static let everything = LabelSelector(requirements: [])
    package static let nothing = LabelSelector(requirements: [], isNothing: true)

    package init(requirements: [Requirement], isNothing: Bool = false) {
        self.requirements = requirements
        self.isNothing = isNothing
    }
    /// From text: `a=b,c in (d,e),!f`; refuses with 400.
    package init(_ text: String) throws(StatusError) { self.init(requirements: []) }
    /// From a LabelSelector object: nil selects nothing, an empty one all.
    package init(object: JSON?) throws(StatusError) { self.init(requirements: []) }
    /// From a plain map (`spec.selector` of Services): nil and empty select nothing.
    package init(map: JSON?) { self.init(requirements: []) }

    package var isEverything: Bool { requirements.isEmpty && !isNothing }
    package func matches(_ labels: [String: String]) -> Bool { false }
    /// `labels` is the object under `metadata.labels`.
    package func matches(_ labels: JSON?) -> Bool { false }
    package var text: String { "" }
}

/// A field selector.
package struct FieldSelector: Sendable, Hashable {
    package struct Requirement: Sendable, Hashable {
        package var field: String
        package var isEqual: Bool
        package var value: String
    }
    package var requirements: [Requirement]
    package static let everything = FieldSelector(requirements: [])
    package init(requirements: [Requirement]) { self.requirements = requirements }
    /// From text, checked against what `resource` supports (nil: unchecked); refuses with 400.
    package init(_ text: String, for resource: ResourceSchema?) throws(StatusError) { self.init(requirements: []) }
    package var isEverything: Bool { requirements.isEmpty }
    package func matches(_ object: JSON) -> Bool { false }
    /// The value that the selector demands of a field by equality, e.g. `metadata.name`; nil when it demands none.
    package func required(_ field: String) -> String? { nil }
    package var text: String { "" }
}

/// A quantity: `500m`, `1Gi`.
package struct Quantity: Sendable, Hashable, Comparable {
    package init?(_ text: String) { return nil }
    package init(_ value: Int64) {}
    package init(milli: Int64) {}
    /// A JSON string or number.
    package init?(_ json: JSON?) { return nil }
    package static let zero = Quantity(0)
    /// Canonical form.
    package var text: String { "" }
    /// Rounded up.
    package var value: Int64 { 0 }
    package var milliValue: Int64 { 0 }
    package static func < (left: Quantity, right: Quantity) -> Bool { false }
    package static func + (left: Quantity, right: Quantity) -> Quantity { left }
    package static func - (left: Quantity, right: Quantity) -> Quantity { left }
}

extension Timestamp {
    /// `2020-01-01T00:00:00Z` of seconds since 1970.
    package static func text(_ seconds: Double) -> String { "" }
    /// `2020-01-01T00:00:00.000000Z`.
    package static func microText(_ seconds: Double) -> String { "" }
    /// Seconds since 1970; nil when it is no RFC 3339 time.
    package static func parseSeconds(_ text: String) -> Double? { nil }
    /// The machine's wall clock in seconds since 1970, for shells only.
    package static func nowSeconds() -> Double { 0 }
    /// `5m`, `2d3h`: upstream's HumanDuration.
    package static func humanDuration(_ seconds: Double) -> String { "" }
    /// Age of an RFC 3339 text; `<unknown>` when absent.
    package static func age(_ text: String?, now: Double) -> String { "" }
}

/// Checks of names; each returns upstream's messages, none when the name is good.
package enum Names {
    package static func dnsSubdomain(_ name: String) -> [String] { [] }
    package static func dnsLabel(_ name: String) -> [String] { [] }
    /// DNS-1035: begins with a letter (Service names).
    package static func dns1035Label(_ name: String) -> [String] { [] }
    package static func qualifiedName(_ name: String) -> [String] { [] }
    package static func labelValue(_ value: String) -> [String] { [] }
    /// Names of RBAC objects and others that only must fit a URL path.
    package static func pathSegment(_ name: String) -> [String] { [] }
    /// Keys of ConfigMaps and Secrets.
    package static func configMapKey(_ key: String) -> [String] { [] }
    package static func environmentVariable(_ name: String) -> [String] { [] }
    /// Port names (IANA_SVC_NAME).
    package static func portName(_ name: String) -> [String] { [] }
    package static func portNumber(_ port: Int64) -> [String] { [] }
}

/// An IPv4 or IPv6 address.
package struct IPAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// 4 or 16 bytes in network order.
    package var bytes: [UInt8]
    package init?(_ text: String) { return nil }
    package init(v4: UInt32) { bytes = [] }
    package var isV4: Bool { bytes.count == 4 }
    package var v4: UInt32? { nil }
    package var description: String { "" }
    package static func < (left: IPAddress, right: IPAddress) -> Bool { false }
}

/// An address range.
package struct CIDR: Sendable, Hashable, CustomStringConvertible {
    /// The network address (host bits cleared).
    package var address: IPAddress
    package var prefix: Int
    package init?(_ text: String) { return nil }
    package func contains(_ address: IPAddress) -> Bool { false }
    /// The address at an offset from the network address; nil outside the range.
    package func address(at offset: UInt64) -> IPAddress? { nil }
    /// The offset of an address; nil outside the range.
    package func offset(of address: IPAddress) -> UInt64? { nil }
    /// How many addresses it has; saturates.
    package var size: UInt64 { 0 }
    package var description: String { "" }
}
