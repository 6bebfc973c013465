// What clients may send and should not, against a whole server: upstream's answer to each, and the server goes on.
import API
import APIServer
import Foundation
import NetPKI
import Testing

private let configMaps = "/api/v1/namespaces/default/configmaps"

private func nested(_ depth: Int) -> String {
    let open = String(repeating: "[", count: depth)
    let close = String(repeating: "]", count: depth)
    return "{\"metadata\":{\"name\":\"deep\"},\"x\":\(open)\(close)}"
}

@Suite(.serialized) struct BadInputTests {
    @Test func `a body of 10 MB is refused as a Status, over both protocols`() async throws {
        let server = try await TestServer()
        let body = "{\"metadata\":{\"name\":\"big\"},\"data\":{\"a\":\"\(String(repeating: "x", count: 10 << 20))\"}}"
        for version in ["--http1.1", "--http2"] {
            let answer = try server.curl("POST", configMaps, body: body, more: [version, "-H", "Expect:"])
            let status = try JSON.parse(answer.body.split(separator: "\n").first.map(String.init) ?? "")
            #expect(answer.status == 413)
            #expect(status["message"] == "Request entity too large: limit is 3145728")
            #expect(status["reason"] == "RequestEntityTooLarge" && status.kind == "Status")
        }
        #expect(try server.curl("GET", configMaps).status == 200)
        await server.stop()
    }

    @Test(arguments: [
        ("application/yaml", "a: [", "yaml: line 1: did not find expected node content"),
        ("application/yaml", "metadata:\n  name: x\n bad", "yaml: line 2: did not find expected key"),
        (
            "application/json", "{\"metadata\":{\"name\":\"x\"},}",
            "invalid character '}' looking for beginning of object key"
        ),
        ("application/json", "", "unexpected end of JSON input"),
        ("application/json", nested(100_000), "exceeded max depth"),
        ("application/json", "{\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":1e999}}", "number 1e999"),
        (
            "application/json", "{\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":\"\\ud8\"}}",
            "hexadecimal character escape"
        )
    ])
    func `a body that is broken is refused with the place and the reason`(
        type: String, body: String, text: String
    ) async throws {
        let server = try await TestServer()
        let answer = try server.curl("POST", configMaps, body: body, contentType: type)
        #expect(answer.status == 400 && answer.body.contains(text), "\(answer.body.prefix(300))")
        #expect(try server.curl("GET", configMaps).status == 200)
        await server.stop()
    }

    @Test func `bytes that are no UTF-8 are refused`() async throws {
        let server = try await TestServer()
        let file = server.directory + "/bytes"
        try Data(Array("{\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":\"".utf8) + [0xff, 0xc0] + Array("\"}}".utf8))
            .write(to: URL(fileURLWithPath: file))
        for type in ["application/json", "application/yaml"] {
            let answer = try server.curl(
                "POST", configMaps, more: ["-H", "content-type: \(type)", "--data-binary", "@\(file)"])
            #expect(answer.status == 400 && answer.body.contains("invalid UTF-8"), "\(answer.body)")
        }
        await server.stop()
    }

    @Test func `numbers beyond their field are refused, and large ones are kept exactly`() async throws {
        let server = try await TestServer()
        let pod = { (value: String) in
            "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"terminationGracePeriodSeconds\":\(value),"
                + "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],\"priority\":0}}"
        }
        let path = "/api/v1/namespaces/default/pods?dryRun=All"
        _ = try server.json(
            "POST", "/api/v1/namespaces/default/serviceaccounts", body: ["metadata": ["name": "default"]])
        let exact = try server.curl("POST", path, body: pod("9007199254740993"))
        #expect(exact.status == 201 && exact.body.contains("9007199254740993"))
        for value in ["99999999999999999999", "1.5", "\"30\""] {
            let answer = try server.curl("POST", path, body: pod(value))
            #expect(answer.status == 400, "\(value): \(answer.body)")
            #expect(answer.body.contains("Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64"))
        }
        await server.stop()
    }

    @Test func `an unknown field is an error, a warning or nothing, as the client asks`() async throws {
        let server = try await TestServer()
        let body = "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"a\":1}}"
        let strict = try server.curl("POST", configMaps + "?dryRun=All&fieldValidation=Strict", body: body)
        #expect(strict.status == 400 && strict.body.contains("strict decoding error: unknown field \\\"spec\\\""))
        let warned = try server.curl("POST", configMaps + "?dryRun=All", body: body, more: ["-i"])
        #expect(warned.status == 201 && warned.body.contains("unknown field \\\"spec\\\""), "\(warned.body)")
        let ignored = try server.curl(
            "POST", configMaps + "?dryRun=All&fieldValidation=Ignore", body: body, more: ["-i"])
        #expect(ignored.status == 201 && !ignored.body.contains("unknown field"))
        await server.stop()
    }

    @Test func `doubled keys count last, in JSON and in YAML, and are told`() async throws {
        let server = try await TestServer()
        let yaml = "metadata: {name: x}\ndata: {a: \"1\"}\ndata: {b: \"2\"}\n"
        let strict = try server.curl(
            "POST", configMaps + "?dryRun=All&fieldValidation=Strict", body: yaml, contentType: "application/yaml")
        #expect(strict.status == 400 && strict.body.contains("line 3: key \\\"data\\\" already set in map"))
        let taken = try server.curl("POST", configMaps + "?dryRun=All", body: yaml, contentType: "application/yaml")
        #expect(taken.status == 201 && taken.body.contains("\"data\":{\"b\":\"2\"}"), "\(taken.body)")
        await server.stop()
    }

    @Test func `the token of a deleted account is worth nothing`() async throws {
        let server = try await TestServer()
        let accounts = "/api/v1/namespaces/default/serviceaccounts"
        #expect(try server.json("POST", accounts, body: ["metadata": ["name": "gone"]]).status == 201)
        let made = try server.json("POST", accounts + "/gone/token", body: ["spec": ["expirationSeconds": 3600]])
        let token = made.body["status", "token"]?.string ?? ""
        let known = try server.json("GET", configMaps, user: token)
        #expect(known.status == 403, "known, and allowed nothing")
        #expect(try server.curl("DELETE", accounts + "/gone").status == 200)
        let unknown = try server.json("GET", configMaps, user: token)
        #expect(unknown.status == 401 && unknown.body["message"] == "Unauthorized")
        #expect(try server.json("POST", accounts, body: ["metadata": ["name": "gone"]]).status == 201)
        #expect(try server.json("GET", configMaps, user: token).status == 401, "the new account is another one")
        await server.stop()
    }

    @Test func `an expired client certificate is refused with 401`() async throws {
        let server = try await TestServer()
        let old = try server.authority.issue(
            CertificateSpec(
                commonName: "admin", organizations: ["system:masters"], usages: [.client], validitySeconds: 60),
            now: wallClockSeconds() - 86_400)
        try old.certificatePEM.write(toFile: server.directory + "/admin.crt", atomically: true, encoding: .utf8)
        try old.keyPEM.write(toFile: server.directory + "/admin.key", atomically: true, encoding: .utf8)
        let answer = try server.json("GET", configMaps)
        #expect(answer.status == 401 && answer.body["reason"] == "Unauthorized")
        await server.stop()
    }

    @Test func `a request that no node can meet is stored, and a quantity that is none is refused`() async throws {
        let server = try await TestServer()
        _ = try server.json(
            "POST", "/api/v1/namespaces/default/serviceaccounts", body: ["metadata": ["name": "default"]])
        let pods = "/api/v1/namespaces/default/pods"
        func pod(_ name: String, _ cpu: JSON) -> JSON {
            [
                "metadata": ["name": .string(name)],
                "spec": [
                    "containers": [["name": "c", "image": "i", "resources": ["requests": ["cpu": cpu]]]]
                ]
            ]
        }
        let huge = try server.json("POST", pods, body: pod("huge", "1000000"))
        #expect(huge.status == 201 && huge.body["status", "phase"] == "Pending")
        let negative = try server.json("POST", pods, body: pod("negative", "-1"))
        #expect(negative.status == 422 && negative.body.text.contains("must be greater than or equal to 0"))
        let none = try server.json("POST", pods, body: pod("none", "many"))
        #expect(none.status == 400 && none.body.text.contains("quantities must match the regular expression"))
        await server.stop()
    }
}
