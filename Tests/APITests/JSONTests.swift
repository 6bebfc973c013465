import API
import Testing

@Suite struct JSONTests {
    @Test func `a tree survives writing and reading`() throws {
        let text = #"{"a":1,"b":[true,false,null,-2.5,"x\ny"],"c":{"d":"ä€😀"},"e":{},"f":[]}"#
        #expect(try JSON.parse(text).text == text)
    }

    @Test func `integers keep 64 bits`() throws {
        #expect(try JSON.parse("9223372036854775807") == .int(.max))
        #expect(try JSON.parse("-9223372036854775808") == .int(.min))
        #expect(try JSON.parse("9223372036854775808") == .double(9223372036854775808))
        #expect(try JSON.parse("1e3") == .double(1000))
        #expect(JSON.int(.min).text == "-9223372036854775808")
    }

    @Test func `html characters and line separators are escaped as Go does`() throws {
        #expect(JSON.string("<a>&\u{2028}\u{2029}\u{1}\t€").text == #""\u003ca\u003e\u0026\u2028\u2029\u0001\t€""#)
    }

    @Test func `escapes are read, also surrogate pairs`() throws {
        #expect(try JSON.parse(#""\u0041\/\ud83d\ude00\ud800x""#) == .string("A/😀\u{FFFD}x"))
    }

    @Test(arguments: [
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        ("", "unexpected end of JSON input"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{\"a\":1 x", "invalid character 'x' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("1 2", "invalid character '2' after top-level value"),
        ("tru", "unexpected end of JSON input"),
        ("trux", "invalid character 'x' in literal true (expecting 'e')"),
        ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ("01", "invalid character '1' after top-level value"),
        ("{\"a\"}", "invalid character '}' after object key")
    ])
    func `refusals are worded as Go words them`(text: String, message: String) {
        #expect(throws: JSONError.self) { try JSON.parse(text) }
        do { _ = try JSON.parse(text) } catch { #expect(error.message == message) }
    }

    @Test func `invalid UTF-8 is refused`() {
        #expect(throws: JSONError.self) { try JSON.parse([0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSON.parse([0x22, 0xC0, 0x80, 0x22]) }
    }

    @Test func `too deep nesting is refused`() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: JSONError.self) { try JSON.parse(deep) }
    }

    @Test
    func `doubled members are reported with their paths; the last value counts, objects are decoded into the first`()
        throws
    {
        var duplicates: [String] = []
        let text = #"{"data":{"a":"1","a":"2"},"data":{"b":"1"},"list":[{"x":1,"x":2}]}"#
        let tree = try JSON.parse(Array(text.utf8), duplicates: &duplicates)
        #expect(duplicates == ["data.a", "list[0].x", "data"])
        #expect(tree["data"] == ["a": "2", "b": "1"])
    }

    @Test func `every cut of a document is refused without a trap`() throws {
        let bytes = Array(#"{"a":[1,-2.5e3,"\u0041b",true,null],"c":{"d":"é"}}"#.utf8)
        for count in 0..<bytes.count { #expect(throws: JSONError.self) { try JSON.parse(Array(bytes[..<count])) } }
    }
}

@Suite struct HostileTextTests {
    @Test(arguments: 0..<8) func `random bytes never trap and what is accepted is stable`(seed: Int) throws {
        var generator = SplitMix(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        let alphabet = Array("{}[]\",:0129.eE+-truefalsn\\u00d8 \n\t#&*-?|>%@`'é".utf8)
        for _ in 0..<2000 {
            let length = Int.random(in: 0...24, using: &generator)
            let bytes = (0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] }
            if case .success(let tree) = Result(catching: { try JSON.parse(bytes) }) {
                #expect(try JSON.parse(tree.serialized()) == tree)
            }
            if case .success(let tree) = Result(catching: { try YAML.parse(bytes) }) {
                #expect(try YAML.parse(YAML.write(tree)) == tree, "\(String(decoding: bytes, as: UTF8.self))")
            }
        }
    }
}

/// A small seeded generator.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct YAMLTests {
    @Test func `plain scalars mean what upstream's converter makes of them`() throws {
        let text =
            "a: y\nb: 0644\nc: 0x10\nd: ~\ne: \"y\"\nf: 1.5\ng: 1_000\nh: 2020-01-01\ni: off\nj: 1.2.3\nk: -7\n8080: x\ntrue: z\n"
        let expected: JSON = [
            "a": true, "b": 420, "c": 16, "d": nil, "e": "y", "f": 1.5, "g": 1000, "h": "2020-01-01", "i": false,
            "j": "1.2.3", "k": -7,
            "8080": "x", "true": "z"
        ]
        #expect(try YAML.parse(text) == expected)
    }

    @Test func `several documents, anchors and merge keys`() throws {
        let text = "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n---\n---\nc: |\n  l1\n  l2\n"
        let documents = try YAML.parseAll(Array(text.utf8))
        #expect(documents == [["a": ["p": 1, "q": 2], "b": ["q": 3, "p": 1]], ["c": "l1\nl2\n"]])
    }

    @Test func `aliases that explode are refused`() {
        var text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        for level in 1..<9 {
            text +=
                "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ",") + "]\n"
        }
        #expect(throws: YAMLError.self) { try YAML.parse(text) }
    }

    @Test func `deep nesting is refused`() {
        #expect(throws: YAMLError.self) { try YAML.parse(String(repeating: "[", count: 50_000)) }
        #expect(throws: YAMLError.self) { try YAML.parse(String(repeating: "- ", count: 50_000)) }
    }

    @Test func `doubled keys are refused in upstream's words`() {
        do {
            _ = try YAML.parse("a: 1\nb: 2\na: 3\n")
            Issue.record("accepted")
        } catch { #expect(error.message.contains("key \"a\" already set in map")) }
    }

    @Test func `what is written is read back`() throws {
        let tree: JSON = [
            "apiVersion": "v1", "empty": [:],
            "list": [["name": "a", "args": ["--x", "y: z", "yes", "1"]], ["b": nil]], "nested": [[1, 2], []],
            "text": "line 1\n  line 2\n", "tail": "a\nb", "odd": " lead", "port": "80", "n": 1.5, "colon": "a:",
            "hash": "a #b", "e": ""
        ]
        let text = YAML.text(tree)
        #expect(try YAML.parse(text) == tree, "\(text)")
    }
}
