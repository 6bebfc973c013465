// Reading and writing the parts of a DNS message. The reader never goes beyond its bytes and never follows a pointer forwards.

struct DNSReader {
    private let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func u8() throws(DNSError) -> UInt8 {
        guard position < bytes.count else { throw .truncated }
        position += 1
        return bytes[position - 1]
    }

    mutating func u16() throws(DNSError) -> UInt16 { UInt16(try u8()) << 8 | UInt16(try u8()) }

    mutating func u32() throws(DNSError) -> UInt32 { UInt32(try u16()) << 16 | UInt32(try u16()) }

    mutating func take(_ count: Int) throws(DNSError) -> [UInt8] {
        guard count >= 0, bytes.count - position >= count else { throw .truncated }
        position += count
        return Array(bytes[position - count..<position])
    }

    mutating func name() throws(DNSError) -> DNSName {
        var labels: [String] = []
        var at = position
        var end: Int?
        var length = 1
        while true {
            guard at < bytes.count else { throw .truncated }
            let byte = bytes[at]
            if byte == 0 {
                position = end ?? at + 1
                guard let name = DNSName(labels: labels) else { throw .badName }
                return name
            }
            if byte & 0xc0 == 0xc0 {
                guard at + 1 < bytes.count else { throw .truncated }
                let target = Int(byte & 0x3f) << 8 | Int(bytes[at + 1])
                guard target < at else { throw .badPointer }
                if end == nil { end = at + 2 }
                at = target
                continue
            }
            guard byte & 0xc0 == 0 else { throw .badName }
            let next = at + 1 + Int(byte)
            guard next <= bytes.count else { throw .truncated }
            length += 1 + Int(byte)
            guard length <= DNSName.wireBytesMax else { throw .badName }
            labels.append(String(decoding: bytes[at + 1..<next], as: UTF8.self))
            at = next
        }
    }

    /// Its type and its class field (which EDNS uses for a size).
    mutating func skipRecord() throws(DNSError) -> (type: UInt16, class: UInt16) {
        _ = try name()
        let type = try u16()
        let size = try u16()
        _ = try u32()
        _ = try take(Int(try u16()))
        return (type, size)
    }
}

struct DNSWriter {
    var bytes: [UInt8] = []
    private var offsets: [DNSName: Int] = [:]

    mutating func u16(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(value & 0xff)] }

    mutating func u32(_ value: UInt32) {
        u16(UInt16(value >> 16))
        u16(UInt16(value & 0xffff))
    }

    /// The name, as a pointer where it (or its end) was written before.
    mutating func name(_ name: DNSName) {
        var rest = name.labels
        while !rest.isEmpty {
            guard let suffix = DNSName(labels: rest) else { break }
            if let offset = offsets[suffix] {
                u16(0xc000 | UInt16(offset))
                return
            }
            if bytes.count < 0x4000 { offsets[suffix] = bytes.count }
            let label = Array(rest.removeFirst().utf8)
            bytes.append(UInt8(label.count))
            bytes += label
        }
        bytes.append(0)
    }

    mutating func record(_ record: DNSRecord) {
        name(record.name)
        u16(record.data.type)
        u16(1)
        u32(record.secondsToLive)
        let lengthAt = bytes.count
        u16(0)
        data(record.data)
        let length = UInt16(clamping: bytes.count - lengthAt - 2)
        bytes[lengthAt] = UInt8(length >> 8)
        bytes[lengthAt + 1] = UInt8(length & 0xff)
    }

    private mutating func data(_ data: DNSData) {
        switch data {
        case .a(let address), .aaaa(let address): bytes += address
        case .cname(let target), .ptr(let target): name(target)
        case .srv(let priority, let weight, let port, let target):
            for value in [priority, weight, port] { u16(value) }
            name(target)
        case .txt(let text):
            let content = Array(text.utf8.prefix(255))
            bytes.append(UInt8(content.count))
            bytes += content
        case .soa(let primary, let mailbox, let serial, let minimum):
            name(primary)
            name(mailbox)
            for value: UInt32 in [serial, 7200, 1800, 86400, minimum] { u32(value) }
        }
    }
}
