// SPDY/3 header blocks: name-value pairs, compressed by zlib with the protocol's dictionary (SPDY/3 §2.6.10). One
// coder per connection, since the compression state runs through all blocks. It must never inflate above its limit.
import CDeflate
import NIOCore

/// The dictionary that both ends prime zlib with: length-prefixed words, then a tail of plain text.
private let spdyDictionary: [UInt8] = {
    let words = [
        "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding",
        "accept-language",
        "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base",
        "content-encoding",
        "content-language", "content-length", "content-location", "content-md5", "content-range", "content-type",
        "date", "etag",
        "expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
        "if-unmodified-since",
        "last-modified", "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range",
        "referer",
        "retry-after", "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via",
        "warning",
        "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie",
        "keep-alive",
        "origin"
    ]
    let tail =
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Au"
        + "thoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidd"
        + "en404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr Ma"
        + "y Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,imag"
        + "e/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicpri"
        + "vatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    var bytes: [UInt8] = []
    for word in words { bytes += [0, 0, 0, UInt8(word.utf8.count)] + Array(word.utf8) }
    return bytes + Array(tail.utf8)
}()

/// Why a header block was refused.
enum SPDYHeaderError: Error { case compression, malformed }

/// Compresses and decompresses the header blocks of one connection. Confined to whoever owns it.
final class SPDYHeaderCoder {
    static let blockBytesMax = 64 << 10

    private let deflater: OpaquePointer
    private let inflater: OpaquePointer

    init?() {
        // The dictionary's storage must outlive the inflater, which reads it at the first block.
        let kept = UnsafeMutablePointer<UInt8>.allocate(capacity: spdyDictionary.count)
        kept.initialize(from: spdyDictionary, count: spdyDictionary.count)
        dictionary = kept
        guard let deflater = tern_deflate_new(kept, spdyDictionary.count),
            let inflater = tern_inflate_new(kept, spdyDictionary.count)
        else {
            return nil
        }
        self.deflater = deflater
        self.inflater = inflater
    }

    private let dictionary: UnsafeMutablePointer<UInt8>

    deinit {
        tern_zlib_free(deflater)
        tern_zlib_free(inflater)
        dictionary.deallocate()
    }

    func compress(_ headers: [(String, String)]) throws(SPDYHeaderError) -> ByteBuffer {
        var plain = ByteBuffer()
        plain.writeInteger(UInt32(headers.count))
        for (name, value) in headers {
            plain.writeInteger(UInt32(name.utf8.count))
            plain.writeString(name.lowercased())
            plain.writeInteger(UInt32(value.utf8.count))
            plain.writeString(value)
        }
        return try run(plain, sizeMax: plain.readableBytes + 1024) { tern_deflate_block(deflater, $0, $1, $2, $3) }
    }

    func decompress(_ block: ByteBuffer) throws(SPDYHeaderError) -> [(String, String)] {
        var plain = try run(block, sizeMax: Self.blockBytesMax) { tern_inflate_block(inflater, $0, $1, $2, $3) }
        guard let count: UInt32 = plain.readInteger(), count <= 1024 else { throw .malformed }
        var headers: [(String, String)] = []
        for _ in 0..<count {
            guard let name = text(&plain), let value = text(&plain) else { throw .malformed }
            headers.append((name, value))
        }
        return headers
    }

    private func text(_ bytes: inout ByteBuffer) -> String? {
        guard let length: UInt32 = bytes.readInteger(), Int(length) <= bytes.readableBytes else { return nil }
        return bytes.readString(length: Int(length))
    }

    private func run(
        _ input: ByteBuffer, sizeMax: Int,
        _ coder: (UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<UInt8>?, Int) -> Int
    ) throws(SPDYHeaderError) -> ByteBuffer {
        var output = [UInt8](repeating: 0, count: sizeMax)
        let bytes = Array(input.readableBytesView)
        let size = bytes.withUnsafeBufferPointer { from in
            output.withUnsafeMutableBufferPointer { to in coder(from.baseAddress, from.count, to.baseAddress, to.count)
            }
        }
        guard size >= 0 else { throw .compression }
        return ByteBuffer(bytes: output.prefix(size))
    }
}
