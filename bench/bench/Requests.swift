// The requests of the load as bytes: made once, then a few digits are changed for each.
import NIOCore
import NetGRPC

/// A method of etcd's interface.
enum Path {
    static let range = "/etcdserverpb.KV/Range"
    static let put = "/etcdserverpb.KV/Put"
    static let txn = "/etcdserverpb.KV/Txn"
    static let compact = "/etcdserverpb.KV/Compact"
    static let watch = "/etcdserverpb.Watch/Watch"
    static let grant = "/etcdserverpb.Lease/LeaseGrant"
    static let keepAlive = "/etcdserverpb.Lease/LeaseKeepAlive"
    static let status = "/etcdserverpb.Maintenance/Status"
    static let moveLeader = "/etcdserverpb.Maintenance/MoveLeader"
    static let snapshot = "/etcdserverpb.Maintenance/Snapshot"
}

/// Bytes with keys inside that differ from request to request by their last eight digits.
struct Template: Sendable {
    private let bytes: ByteBuffer
    private let places: [Int]
    private static let mark = Array("########".utf8)

    /// The message must hold the mark wherever a number goes.
    init(_ message: [UInt8]) {
        bytes = ByteBuffer(bytes: message)
        places = message.indices.filter { message[$0...].starts(with: Self.mark) }
    }

    func make(_ number: Int) -> ByteBuffer {
        var made = bytes
        var digits = (UInt64(0), number)
        for shift in 0..<8 {
            digits.0 |= UInt64(48 + digits.1 % 10) << UInt64(8 * shift)
            digits.1 /= 10
        }
        for place in places { made.setInteger(digits.0, at: place) }
        return made
    }
}

enum Requests {
    static let key = Array("bench/########".utf8)

    static func put(valueBytes: Int) -> Template { Template(putBytes(key, valueBytes: valueBytes)) }

    private static func putBytes(_ key: [UInt8], valueBytes: Int) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.byteArray(1, key)
        writer.byteArray(2, value(valueBytes))
        return writer.bytes
    }

    /// Bytes that do not compress; the same in every run.
    static func value(_ count: Int) -> [UInt8] {
        var generator = Generator(seed: 7)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: 97 + generator.next() % 23) }
    }

    static func range(isSerializable: Bool) -> Template { Template(rangeBytes(isSerializable)) }

    private static func rangeBytes(_ isSerializable: Bool) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.byteArray(1, key)
        writer.bool(7, isSerializable)
        return writer.bytes
    }

    /// As Kubernetes writes: if the key is as known, put it, else read it.
    static func guarded(valueBytes: Int) -> Template {
        var writer = ProtobufWriter()
        writer.message(1) { compare in
            compare.int(1, 1)
            compare.int(2, 2)
            compare.byteArray(3, key)
            compare.int(6, -1)
        }
        writer.message(2) { $0.byteArray(2, putBytes(key, valueBytes: valueBytes)) }
        writer.message(3) { $0.byteArray(1, rangeBytes(false)) }
        return Template(writer.bytes)
    }

    /// Puts of `count` neighbouring keys.
    static func puts(count: Int, valueBytes: Int) -> Template {
        var writer = ProtobufWriter()
        for i in 0..<count {
            let one = putBytes(key + Array("/\(i)".utf8), valueBytes: valueBytes)
            writer.message(2) { $0.byteArray(2, one) }
        }
        return Template(writer.bytes)
    }

    static func watch() -> ByteBuffer {
        var writer = ProtobufWriter()
        writer.message(1) { create in
            create.byteArray(1, Array("bench/".utf8))
            create.byteArray(2, Array("bench0".utf8))
        }
        return ByteBuffer(bytes: writer.bytes)
    }

    static func numbers(_ values: (Int, Int64)...) -> ByteBuffer {
        var writer = ProtobufWriter()
        for (field, value) in values { writer.int64(field, value) }
        return ByteBuffer(bytes: writer.bytes)
    }
}

/// The same sequence in every run.
struct Generator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// What a member says of itself.
struct MemberStatus {
    var member: UInt64 = 0
    var leader: UInt64 = 0
    var applied: UInt64 = 0
    var revision: Int64 = 0

    init(_ message: ByteBuffer) throws {
        var reader = ProtobufReader(Array(message.readableBytesView))
        while try reader.next() {
            switch reader.field {
            case 1:
                var header = try reader.message()
                while try header.next() {
                    if header.field == 2 { member = try header.uint64() }
                    if header.field == 3 { revision = try header.int64() }
                }
            case 4: leader = try reader.uint64()
            case 7: applied = try reader.uint64()
            default: continue
            }
        }
    }
}
