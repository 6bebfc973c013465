import API
import DNSServer
import NetDNS
import Testing

@Suite struct ZoneTests {
    func zone() throws -> Zone {
        var zone = try #require(Zone(domain: "cluster.local"))
        let web: JSON = [
            "metadata": ["name": "web", "namespace": "default"],
            "spec": [
                "clusterIP": "10.96.3.4", "clusterIPs": ["10.96.3.4"],
                "ports": [["name": "http", "port": 80, "protocol": "TCP"]]
            ]
        ]
        let headless: JSON = [
            "metadata": ["name": "db", "namespace": "prod"], "spec": ["clusterIP": "None", "clusterIPs": ["None"]]
        ]
        let external: JSON = [
            "metadata": ["name": "out", "namespace": "prod"],
            "spec": ["type": "ExternalName", "externalName": "example.org"]
        ]
        for service in [web, headless, external] { zone.set(try #require(ServiceRecord(service))) }
        let slice: JSON = [
            "metadata": ["name": "db-x", "namespace": "prod", "labels": ["kubernetes.io/service-name": "db"]],
            "addressType": "IPv4",
            "endpoints": [
                ["addresses": ["10.244.1.5"], "hostname": "db-0", "conditions": ["ready": true]],
                ["addresses": ["10.244.2.6"], "conditions": ["ready": false]]
            ],
            "ports": [["name": "sql", "port": 5432, "protocol": "TCP"]]
        ]
        zone.set(slice: try #require(SliceRecord(slice)), key: "prod/db-x")
        return zone
    }

    func ask(_ name: String, _ type: UInt16 = DNSType.a) throws -> DNSResponse? {
        let question = DNSQuestion(name: try #require(DNSName(name)), type: type)
        if case .answer(let response) = try zone().answer(question) { return response }
        return nil
    }

    @Test func `a service answers with its cluster address`() throws {
        #expect(try ask("WEB.default.svc.cluster.local")?.answers.map(\.data) == [.a([10, 96, 3, 4])])
    }

    @Test func `a headless service answers with its ready endpoints only`() throws {
        #expect(try ask("db.prod.svc.cluster.local")?.answers.map(\.data) == [.a([10, 244, 1, 5])])
        #expect(try ask("db-0.db.prod.svc.cluster.local")?.answers.map(\.data) == [.a([10, 244, 1, 5])])
    }

    @Test func `an external name is an alias`() throws {
        #expect(
            try ask("out.prod.svc.cluster.local")?.answers.map(\.data) == [.cname(try #require(DNSName("example.org")))]
        )
    }

    @Test func `an unknown name in the zone does not exist, and a known one without the type has no data`() throws {
        #expect(try ask("nope.default.svc.cluster.local")?.code == DNSCode.nameError)
        let response = try ask("web.default.svc.cluster.local", DNSType.aaaa)
        #expect(response?.code == DNSCode.noError && response?.answers == [] && response?.authority.count == 1)
    }

    @Test func `a name outside the zone is not answered`() throws {
        #expect(try ask("example.org") == nil)
    }

    @Test func `service addresses have names`() throws {
        let expected = try #require(DNSName("web.default.svc.cluster.local"))
        #expect(try ask("4.3.96.10.in-addr.arpa", DNSType.ptr)?.answers.map(\.data) == [.ptr(expected)])
    }

    @Test func `named ports have service records`() throws {
        let target = try #require(DNSName("web.default.svc.cluster.local"))
        #expect(
            try ask("_http._tcp.web.default.svc.cluster.local", DNSType.srv)?.answers.map(\.data)
                == [.srv(priority: 0, weight: 100, port: 80, target: target)])
    }

    @Test func `a query survives its own encoding and cut bytes are refused`() throws {
        let question = DNSQuestion(name: try #require(DNSName("a.b.c")), type: DNSType.a)
        let bytes = encodeDNSQuery(id: 7, question)
        #expect(try DNSQuery(decoding: bytes).question == question)
        for length in 0..<bytes.count {
            #expect(throws: DNSError.self) { try DNSQuery(decoding: Array(bytes[..<length])) }
        }
    }

    @Test func `random bytes never crash the decoder`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0..<64, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            do { _ = try DNSQuery(decoding: bytes) } catch { continue }
        }
    }

    @Test func `an answer that is too long for UDP is cut and says so`() throws {
        let name = try #require(DNSName("db.prod.svc.cluster.local"))
        let query = try DNSQuery(decoding: encodeDNSQuery(id: 1, DNSQuestion(name: name, type: DNSType.a)))
        let records = (0..<100).map { DNSRecord(name: name, secondsToLive: 5, data: .a([10, 0, 0, UInt8($0)])) }
        let bytes = DNSResponse(answers: records).encoded(for: query, bytesMax: 512)
        #expect(bytes.count <= 512 && bytes[2] & 0x02 != 0)
    }
}
