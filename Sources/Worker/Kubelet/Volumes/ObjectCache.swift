// ConfigMaps and Secrets that pods of this node use, read through the API and remembered for a short while.
// When the API is away the last known value serves, so that a container can be restarted without it.
import API
import Synchronization

package final class ObjectCache: Sendable {
    package static let freshFor: Nanoseconds = .seconds(10)
    package static let entriesMax = 4096

    private struct Entry {
        var value: KeyedBytes?
        var readAt: Nanoseconds
    }

    private let client: any ObjectClient
    private let entries = Mutex<[ObjectName: Entry]>([:])

    package init(client: any ObjectClient) { self.client = client }

    /// The object's keys; nil when it does not exist. Throws when nobody can say and nothing is remembered.
    package func get(_ name: ObjectName, mustBeFresh: Bool = false) async throws(StatusError) -> KeyedBytes? {
        let now = Clock.now()
        let known = entries.withLock { $0[name] }
        if let known, !mustBeFresh, now &- known.readAt < Self.freshFor, known.value != nil { return known.value }
        do throws(StatusError) {
            let object = try await client.get(
                name.kind == .configMap ? .configMaps : .secrets, namespace: name.namespace, name: name.name)
            remember(name, Self.bytes(of: object, name.kind), now)
            return Self.bytes(of: object, name.kind)
        } catch {
            if error.isNotFound {
                remember(name, nil, now)
                return nil
            }
            if let known { return known.value }
            throw error
        }
    }

    private func remember(_ name: ObjectName, _ value: KeyedBytes?, _ now: Nanoseconds) {
        entries.withLock { entries in
            if entries.count >= Self.entriesMax { entries = entries.filter { now &- $0.value.readAt < .seconds(300) } }
            if entries.count < Self.entriesMax { entries[name] = Entry(value: value, readAt: now) }
        }
    }

    private static func bytes(of object: JSON, _ kind: ObjectName.Kind) -> KeyedBytes {
        var bytes: KeyedBytes = [:]
        for (key, value) in object["data"]?.stringMap ?? [:] {
            bytes[key] = kind == .secret ? Base64.decode(value) ?? [] : Array(value.utf8)
        }
        for (key, value) in object["binaryData"]?.stringMap ?? [:] { bytes[key] = Base64.decode(value) ?? [] }
        return bytes
    }
}

/// RFC 4648 §4.
package enum Base64 {
    package static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var (bits, count): (UInt32, Int) = (0, 0)
        for byte in text.utf8 where byte != UInt8(ascii: "\n") && byte != UInt8(ascii: "\r") {
            if byte == UInt8(ascii: "=") { break }
            guard let value = value(byte) else { return nil }
            bits = bits << 6 | value
            count += 6
            if count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return out
    }

    private static func value(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - 65)
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - 71)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte + 4)
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
