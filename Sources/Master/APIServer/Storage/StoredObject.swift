// How an object lies in the store: a short header, then its JSON without kind, apiVersion and resourceVersion. Served
// objects are gathered from prefix, digits and these bytes, without parsing: a list of 10,000 pods is a copy of
// buffers. Pure. Reading bytes of an unknown format answers nil, it never traps.
import API
import KVCore
import NIOCore

/// A stored value and what its header tells.
///
/// Layout: format (1 byte), slot (4 bytes LE), end of metadata (4 bytes LE), then JSON that begins `{"metadata":{`.
/// Both offsets count from the JSON's first byte; at the slot `,"resourceVersion":"N"` is spliced in; the end of
/// metadata is that of its closing brace.
package struct StoredObject: Sendable {
    static let format: UInt8 = 1
    static let headerBytes = 9
    static let metadataStart = 12  // after `{"metadata":`

    let bytes: [UInt8]
    let slot: Int
    let metadataEnd: Int
    let revision: Revision

    package init?(_ value: [UInt8], revision: Revision) {
        guard value.count > Self.headerBytes, value[0] == Self.format else { return nil }
        slot = Self.offset(value, 1)
        metadataEnd = Self.offset(value, 5)
        guard slot >= Self.metadataStart, slot <= metadataEnd, metadataEnd + Self.headerBytes < value.count else {
            return nil
        }
        bytes = value
        self.revision = revision
    }

    private static func offset(_ value: [UInt8], _ at: Int) -> Int {
        Int(value[at]) | Int(value[at + 1]) << 8 | Int(value[at + 2]) << 16 | Int(value[at + 3]) << 24
    }

    /// Bytes that `write` adds at most beside the stored ones.
    static let spliceBytesMax = 48

    /// Writes the object's members after an opening brace that the caller wrote (with its kind, or alone):
    /// `"metadata":{...},...}`.
    func writeMembers(into buffer: inout ByteBuffer, revision: Revision? = nil) {
        let start = Self.headerBytes
        bytes.withUnsafeBytes { raw in
            _ = buffer.writeBytes(UnsafeRawBufferPointer(rebasing: raw[(start + 1)..<(start + slot)]))
            buffer.writeStaticString(",\"resourceVersion\":\"")
            buffer.writeDecimal((revision ?? self.revision).rawValue)
            buffer.writeStaticString("\"")
            _ = buffer.writeBytes(UnsafeRawBufferPointer(rebasing: raw[(start + slot)...]))
        }
    }

    /// Writes the metadata object alone: `{...}`.
    func writeMetadata(into buffer: inout ByteBuffer, revision: Revision? = nil) {
        let start = Self.headerBytes
        bytes.withUnsafeBytes { raw in
            _ = buffer.writeBytes(UnsafeRawBufferPointer(rebasing: raw[(start + Self.metadataStart)..<(start + slot)]))
            buffer.writeStaticString(",\"resourceVersion\":\"")
            buffer.writeDecimal((revision ?? self.revision).rawValue)
            buffer.writeStaticString("\"")
            _ = buffer.writeBytes(UnsafeRawBufferPointer(rebasing: raw[(start + slot)..<(start + metadataEnd)]))
        }
    }

    /// The metadata's own text, to read labels from without parsing the rest.
    var metadataBytes: ArraySlice<UInt8> {
        bytes[(Self.headerBytes + Self.metadataStart)..<(Self.headerBytes + metadataEnd)]
    }

    /// The labels, read from the metadata alone.
    package var labels: [String: String] {
        let tree = metadataBytes.withUnsafeBytes { raw -> JSON? in
            do { return try JSON.parse(raw) } catch { return nil }
        }
        return tree?["labels"]?.stringMap ?? [:]
    }

    /// The whole object as a tree, with kind, apiVersion and resourceVersion.
    package func tree(_ kind: GroupVersionKind) -> JSON? {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(bytes.count + Self.spliceBytesMax + 128)
        writeObject(kind, into: &buffer)
        let tree = Wire.parse(buffer)
        return kind.group == EventConversion.group ? tree.map(EventConversion.fromCore) : tree
    }

    /// `{"kind":...,"apiVersion":...,"metadata":...}`.
    func writeObject(_ kind: GroupVersionKind, into buffer: inout ByteBuffer, revision: Revision? = nil) {
        buffer.writeKind(kind.kind, kind.apiVersion)
        buffer.writeStaticString(",")
        writeMembers(into: &buffer, revision: revision)
    }
}

extension StoredObject {
    private static let metadataOrder = [
        "name", "generateName", "namespace", "uid", "", "generation", "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels", "annotations", "ownerReferences", "finalizers", "managedFields"
    ]
    /// Members of metadata as answers show them.
    static let answerOrder = metadataOrder.map { $0.isEmpty ? "resourceVersion" : $0 }

    /// The value to store for an object; selfLink and resourceVersion are not kept.
    package static func encode(_ given: JSON) -> [UInt8] {
        let object = given.apiVersion.hasPrefix(EventConversion.group) ? EventConversion.toCore(given) : given
        var out: [UInt8] = [format, 0, 0, 0, 0, 0, 0, 0, 0]
        out.append(contentsOf: Array("{\"metadata\":".utf8))
        let metadata = object["metadata"]?.object ?? [:]
        let slot = appendMetadata(metadata, to: &out)
        let metadataEnd = out.count - headerBytes
        for member in object.object ?? [:] where !["kind", "apiVersion", "metadata"].contains(member.key) {
            out.append(UInt8(ascii: ","))
            Wire.append(member, to: &out)
        }
        out.append(UInt8(ascii: "}"))
        put(slot, at: 1, in: &out)
        put(metadataEnd, at: 5, in: &out)
        return out
    }

    private static func appendMetadata(_ metadata: JSONObject, to out: inout [UInt8]) -> Int {
        out.append(UInt8(ascii: "{"))
        var slot = 0
        var isFirst = true
        for key in metadataOrder {
            if key.isEmpty {
                slot = out.count - headerBytes
                continue
            }
            guard let value = metadata[key], value != .null, key != "managedFields" || value != [] else { continue }
            if !isFirst { out.append(UInt8(ascii: ",")) }
            isFirst = false
            Wire.append(JSONObject.Member(key: key, value: value), to: &out)
        }
        out.append(UInt8(ascii: "}"))
        return slot
    }

    private static func put(_ value: Int, at: Int, in out: inout [UInt8]) {
        for i in 0..<4 { out[at + i] = UInt8(truncatingIfNeeded: value >> (8 * i)) }
    }
}

extension ByteBuffer {
    /// The digits of a number, without a String.
    mutating func writeDecimal(_ value: Int64) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { raw in
            var at = raw.count
            var rest = value.magnitude
            repeat {
                at -= 1
                raw[at] = UInt8(ascii: "0") &+ UInt8(rest % 10)
                rest /= 10
            } while rest > 0
            if value < 0 {
                at -= 1
                raw[at] = UInt8(ascii: "-")
            }
            _ = writeBytes(UnsafeRawBufferPointer(rebasing: raw[at...]))
        }
    }

    /// `{"kind":"K","apiVersion":"V"` without a closing brace.
    mutating func writeKind(_ kind: String, _ apiVersion: String) {
        writeStaticString("{\"kind\":\"")
        writeString(kind)
        writeStaticString("\",\"apiVersion\":\"")
        writeString(apiVersion)
        writeStaticString("\"")
    }
}
