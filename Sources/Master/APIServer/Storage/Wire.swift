// The one place where bytes become trees and trees become bytes on their way through the API server.
import API
import NIOCore

enum Wire {
    /// Nil for anything that is no JSON.
    static func parse(_ buffer: ByteBuffer) -> JSON? {
        do { return try JSON.parse(Array(buffer.readableBytesView)) } catch { return nil }
    }

    static func append(_ member: JSONObject.Member, to out: inout [UInt8]) {
        JSON.string(member.key).write(into: &out)
        out.append(UInt8(ascii: ":"))
        member.value.write(into: &out)
    }

    static func buffer(_ tree: JSON) -> ByteBuffer { ByteBuffer(bytes: tree.serialized()) }
}
