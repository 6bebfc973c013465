// What clients send: JSON, YAML, protobuf bodies, selectors, quantities, times, DNS queries, certificate requests. Each
// decoder refuses or reads; what it read, it reads again from its own words.
import API
import NetDNS
import NetPKI
import Testing

private let pod: JSON = [
    "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "p", "labels": ["a": "b"], "generation": 3],
    "spec": [
        "containers": [["name": "c", "image": "i", "ports": [["containerPort": 80]], "args": ["\u{e9}\"\\\n", ""]]],
        "terminationGracePeriodSeconds": 30, "nodeSelector": ["x": "y"]
    ]
]
private let secret: JSON = [
    "kind": "Secret", "apiVersion": "v1", "metadata": ["name": "s"], "data": ["k": "YWJj"], "immutable": true
]

private func bytes(_ texts: [String]) -> [[UInt8]] { texts.map { Array($0.utf8) } }
private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite struct FaceFuzzTests {
    let table = SchemaTable()

    @Test func `JSON texts`() {
        fuzz("json", bytes([pod.text, secret.text, "[1,-2.5e10,18446744073709551615,null,\"\\ud83d\\ude00\"]"])) {
            bytes in
            do throws(JSONError) {
                let tree = try JSON.parse(bytes)
                let again = try JSON.parse(tree.text)
                #expect(again.text == tree.text)
            } catch { return }
        }
    }

    @Test func `YAML texts`() {
        let corpus = bytes([
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: \"b\"}}\nspec:\n  containers:\n  - name: c\n",
            "a: &x [1, 2]\nb: *x\nc: |\n  text\n  more\n---\nd: !!str 1\n? e\n: f\n"
        ])
        fuzz("yaml", corpus, count: 1_500) { bytes in
            do throws(YAMLError) { _ = try YAML.parse(bytes) } catch { #expect(!error.description.isEmpty) }
        }
    }

    @Test func `protobuf bodies`() throws {
        let corpus = [try table.encodeProtobuf(pod), try table.encodeProtobuf(secret)]
        fuzz("protobuf", corpus) { bytes in
            let tree: JSON
            do throws(ProtobufError) { tree = try table.decodeProtobuf(bytes) } catch { return }
            do {
                _ = try table.check(tree, as: GroupVersionKind(apiVersion: tree.apiVersion, kind: tree.kind))
            } catch { #expect(!"\(error)".isEmpty) }
        }
    }

    @Test func `selectors, quantities, times and addresses`() {
        let corpus = bytes([
            "a=b,c!=d,e in (f,g),!h,i", "x notin (1,2)", "metadata.name=p,status.phase!=Running", "1.5Gi", "-100m",
            "12e6", "2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05+01:00", "10.1.2.3/24", "fe80::1%eth0"
        ])
        fuzz("words", corpus) { bytes in
            let word = text(bytes)
            do throws(StatusError) { _ = try LabelSelector(word) } catch { #expect(error.code >= 400) }
            do throws(StatusError) { _ = try FieldSelector(word, for: nil) } catch { #expect(error.code >= 400) }
            do throws(QuantityError) {
                let quantity = try Quantity(parsing: word)
                #expect(quantity == Quantity(quantity.text), "\(word)")
            } catch { #expect(!"\(error)".isEmpty) }
            _ = Timestamp.parse(word)
            _ = Base64.bytes(word)
            _ = addressBytes(word)
        }
    }

    @Test func `DNS queries`() {
        let query: [UInt8] = [
            0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 0x77, 0x65, 0x62, 3, 0x73, 0x76, 0x63, 0, 0, 1, 0, 1,
            0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0
        ]
        let pointing: [UInt8] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 0xc0, 12, 0, 1, 0, 1]
        fuzz("dns", [query, pointing]) { bytes in
            do throws(DNSError) {
                let query = try DNSQuery(decoding: bytes)
                #expect((512...4096).contains(query.udpBytesMax))
            } catch { return }
        }
    }

    @Test func `certificate requests`() throws {
        let request = try CertificateRequest.make(
            CertificateSpec(commonName: "system:node:w1", organizations: ["system:nodes"], usages: [.client]))
        let der = try #require(
            Base64.bytes(
                request.requestPEM.split(separator: "\n").filter { !$0.hasPrefix("-") }.joined()))
        fuzz("requests", [der], count: 1_000) { bytes in
            do throws(PKIError) { _ = try CertificateRequest(der: bytes) } catch { #expect(!"\(error)".isEmpty) }
        }
        fuzz("pem", bytes([request.requestPEM]), count: 500) { bytes in
            do throws(PKIError) { _ = try CertificateRequest(pem: text(bytes)) } catch { #expect(!"\(error)".isEmpty) }
        }
    }
}
