// `$(NAME)` in commands, arguments and environment values (Kubernetes' own rule): a known name is replaced, an unknown
// one stays as it is written, `$$` is one `$`.

package enum Expansion {
    package static func expand(_ text: String, _ lookUp: (String) -> String?) -> String {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return text }
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var i = 0
        while i < bytes.count {
            guard bytes[i] == UInt8(ascii: "$"), i + 1 < bytes.count else {
                out.append(bytes[i])
                i += 1
                continue
            }
            if bytes[i + 1] == UInt8(ascii: "$") {
                out.append(bytes[i])
                i += 2
            } else if bytes[i + 1] == UInt8(ascii: "("), let end = bytes[(i + 2)...].firstIndex(of: UInt8(ascii: ")")) {
                let name = String(decoding: bytes[(i + 2)..<end], as: UTF8.self)
                out += lookUp(name).map { Array($0.utf8) } ?? Array(bytes[i...end])
                i = end + 1
            } else {
                out.append(bytes[i])
                i += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
