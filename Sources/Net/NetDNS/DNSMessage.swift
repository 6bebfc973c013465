// DNS messages (RFC 1035 §4, EDNS RFC 6891): decoded from and encoded to bytes. Pure. Malformed input is an error, never a trap:
// every length is checked, a compression pointer must point backwards, and the number of records is bounded by the bytes.

/// Why bytes are no DNS message.
package enum DNSError: Error, Sendable, Hashable {
    case truncated
    case badName
    case badPointer
}

package enum DNSType {
    package static let a: UInt16 = 1
    package static let ns: UInt16 = 2
    package static let cname: UInt16 = 5
    package static let soa: UInt16 = 6
    package static let ptr: UInt16 = 12
    package static let txt: UInt16 = 16
    package static let aaaa: UInt16 = 28
    package static let srv: UInt16 = 33
    package static let opt: UInt16 = 41
    package static let any: UInt16 = 255
}

package enum DNSCode {
    package static let noError: UInt8 = 0
    package static let formatError: UInt8 = 1
    package static let serverFailure: UInt8 = 2
    package static let nameError: UInt8 = 3
    package static let notImplemented: UInt8 = 4
    package static let refused: UInt8 = 5
}

package struct DNSQuestion: Hashable, Sendable {
    package var name: DNSName
    package var type: UInt16
    package var `class`: UInt16

    package init(name: DNSName, type: UInt16, class: UInt16 = 1) {
        self.name = name
        self.type = type
        self.class = `class`
    }
}

/// A record's data in the types that are answered here.
package enum DNSData: Hashable, Sendable {
    case a([UInt8])
    case aaaa([UInt8])
    case cname(DNSName)
    case ptr(DNSName)
    case srv(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
    case txt(String)
    case soa(primary: DNSName, mailbox: DNSName, serial: UInt32, minimumSeconds: UInt32)

    package var type: UInt16 {
        switch self {
        case .a: DNSType.a
        case .aaaa: DNSType.aaaa
        case .cname: DNSType.cname
        case .ptr: DNSType.ptr
        case .srv: DNSType.srv
        case .txt: DNSType.txt
        case .soa: DNSType.soa
        }
    }
}

package struct DNSRecord: Hashable, Sendable {
    package var name: DNSName
    package var secondsToLive: UInt32
    package var data: DNSData

    package init(name: DNSName, secondsToLive: UInt32, data: DNSData) {
        self.name = name
        self.secondsToLive = secondsToLive
        self.data = data
    }
}

/// What a server needs of a query.
package struct DNSQuery: Hashable, Sendable {
    package var id: UInt16
    package var isResponse: Bool
    package var opcode: UInt8
    package var recursionDesired: Bool
    package var question: DNSQuestion
    /// The answer's size that the client takes over UDP: 512 without EDNS.
    package var udpBytesMax: Int
    package var hasEDNS: Bool

    /// The first question of a message.
    package init(decoding bytes: [UInt8]) throws(DNSError) {
        var reader = DNSReader(bytes)
        id = try reader.u16()
        let flags = try reader.u16()
        isResponse = flags & 0x8000 != 0
        opcode = UInt8(flags >> 11 & 0xf)
        recursionDesired = flags & 0x0100 != 0
        let counts = (try reader.u16(), try reader.u16(), try reader.u16(), try reader.u16())
        guard counts.0 == 1 else { throw .badName }
        question = DNSQuestion(name: try reader.name(), type: try reader.u16(), class: try reader.u16())
        udpBytesMax = 512
        hasEDNS = false
        for _ in 0..<(Int(counts.1) + Int(counts.2) + Int(counts.3)) {
            let (type, size) = try reader.skipRecord()
            if type == DNSType.opt {
                hasEDNS = true
                udpBytesMax = min(max(Int(size), 512), 4096)
            }
        }
    }
}

/// An answer.
package struct DNSResponse: Hashable, Sendable {
    package var code: UInt8
    package var isAuthoritative: Bool
    package var answers: [DNSRecord]
    package var authority: [DNSRecord]

    package init(
        code: UInt8 = DNSCode.noError, isAuthoritative: Bool = true, answers: [DNSRecord] = [],
        authority: [DNSRecord] = []
    ) {
        self.code = code
        self.isAuthoritative = isAuthoritative
        self.answers = answers
        self.authority = authority
    }

    /// The message that answers `query`; cut to whole records with the truncation flag when it is longer than `bytesMax`.
    package func encoded(for query: DNSQuery, bytesMax: Int) -> [UInt8] {
        var kept = answers.count
        while true {
            let bytes = encode(
                query, answers: answers.prefix(kept), authority: kept == answers.count ? authority : [],
                truncated: kept < answers.count)
            if bytes.count <= bytesMax || kept == 0 { return bytes }
            kept = kept * bytesMax / bytes.count < kept ? kept * bytesMax / bytes.count : kept - 1
        }
    }

    private func encode(
        _ query: DNSQuery, answers: ArraySlice<DNSRecord>, authority: [DNSRecord], truncated: Bool
    ) -> [UInt8] {
        var writer = DNSWriter()
        writer.u16(query.id)
        var flags: UInt16 = 0x8000 | UInt16(query.opcode) << 11 | UInt16(code & 0xf) | 0x0080
        if isAuthoritative { flags |= 0x0400 }
        if truncated { flags |= 0x0200 }
        if query.recursionDesired { flags |= 0x0100 }
        writer.u16(flags)
        writer.u16(1)
        writer.u16(UInt16(clamping: answers.count))
        writer.u16(UInt16(clamping: authority.count))
        writer.u16(query.hasEDNS ? 1 : 0)
        writer.name(query.question.name)
        writer.u16(query.question.type)
        writer.u16(query.question.class)
        for record in answers { writer.record(record) }
        for record in authority { writer.record(record) }
        if query.hasEDNS { writer.bytes += [0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0] }
        return writer.bytes
    }
}

/// A query that we ask: what the forwarder and tests send.
package func encodeDNSQuery(id: UInt16, _ question: DNSQuestion) -> [UInt8] {
    var writer = DNSWriter()
    for value: UInt16 in [id, 0x0100, 1, 0, 0, 0] { writer.u16(value) }
    writer.name(question.name)
    writer.u16(question.type)
    writer.u16(question.class)
    return writer.bytes
}
