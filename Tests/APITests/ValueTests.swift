import API
import Testing

@Suite struct QuantityTests {
    @Test(arguments: [
        ("1000m", "1"), ("1500m", "1500m"), ("0.5", "500m"), ("1000", "1k"), ("1024", "1024"), ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0", "0"), ("-1", "-1"), ("1e3", "1e3"), ("100M", "100M"), ("1Ki", "1Ki"), ("512", "512"),
        ("0.1Gi", "107374182400m"), ("+2", "2"),
        ("1n", "1n"), ("0.1n", "1n"), ("12E", "9223372036854775807"), ("1.0", "1"), ("2.50", "2500m"), (".5", "500m"),
        ("5.", "5")
    ])
    func `texts come into canonical form`(text: String, canonical: String) throws {
        #expect(try #require(Quantity(text)).text == canonical)
    }

    @Test(arguments: ["", "abc", "1.5.5", "1x", "1mm", "Ki", "1 Gi", "--1", "1e", "0x10", "1Kii"])
    func `what is no quantity is refused`(text: String) { #expect(Quantity(text) == nil) }

    @Test func `amounts compare, add and round up`() throws {
        let half = try #require(Quantity("500m"))
        #expect(half + half == Quantity(1))
        #expect(half < Quantity(1) && Quantity(1) - half == half)
        #expect(half.value == 1 && half.milliValue == 500)
        #expect(try #require(Quantity("1Gi")).value == 1 << 30)
        #expect(try #require(Quantity("1.0001m")).milliValue == 2)
        #expect(Quantity(JSON.double(0.25))?.milliValue == 250)
    }
}

@Suite struct NamesTests {
    @Test func `good names pass`() {
        #expect(
            Names.dnsSubdomain("a.b-c.d0").isEmpty && Names.dnsLabel("0a").isEmpty && Names.dns1035Label("a0").isEmpty)
        #expect(
            Names.qualifiedName("example.com/My_name.x").isEmpty && Names.labelValue("").isEmpty
                && Names.labelValue("A_b.c").isEmpty)
        #expect(
            Names.configMapKey("a.b_C-1").isEmpty && Names.portName("http-2").isEmpty
                && Names.environmentVariable("A b.c").isEmpty)
    }

    @Test func `bad names are refused in upstream's words`() {
        let subdomain =
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        #expect(Names.dnsSubdomain("Bad_Name") == [subdomain])
        #expect(Names.dnsSubdomain(String(repeating: "a", count: 254)) == ["must be no more than 253 characters"])
        #expect(Names.labelValue(String(repeating: "b", count: 64)) == ["must be no more than 63 bytes"])
        #expect(Names.qualifiedName("").contains("name part must be non-empty"))
        #expect(Names.portName("abcdefghijklmnopq") == ["must be no more than 15 characters"])
        #expect(Names.portNumber(70000) == ["must be between 1 and 65535, inclusive"])
        #expect(
            Names.dns1035Label("0a").count == 1 && Names.dnsLabel("a.b").count == 1
                && Names.pathSegment("a/b").count == 1)
    }
}

@Suite struct TimestampTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2024-02-29T12:30:15Z", 1_709_209_815),
        ("2000-01-01T02:00:00+02:00", 946_684_800),
        ("1969-12-31T23:59:59Z", -1), ("9999-12-31T23:59:59Z", 253_402_300_799),
        ("2020-01-01T00:00:00.5Z", 1_577_836_800.5)
    ])
    func `times are read`(text: String, seconds: Double) { #expect(Timestamp.parse(text) == seconds) }

    @Test(arguments: [
        "", "2020-01-01", "2020-13-01T00:00:00Z", "2020-02-30T00:00:00Z", "2020-01-01T24:00:00Z", "2020-01-01T00:00:00",
        "2020-01-01T00:00:00.Z"
    ])
    func `what is no time is refused`(text: String) { #expect(Timestamp.parse(text) == nil) }

    @Test func `times are written`() {
        #expect(Timestamp.text(1_709_209_815.9) == "2024-02-29T12:30:15Z")
        #expect(Timestamp.microText(1_577_836_800.25) == "2020-01-01T00:00:00.250000Z")
        #expect(Timestamp.text(-1) == "1969-12-31T23:59:59Z")
    }

    @Test(arguments: [
        (0, "0s"), (119, "119s"), (120, "2m"), (200, "3m20s"), (660, "11m"), (10_800, "3h"), (12_000, "3h20m"),
        (100_000, "27h"),
        (200_000, "2d7h"), (800_000, "9d"), (70_000_000, "2y80d"), (300_000_000, "9y"), (-5, "<invalid>"), (-0.5, "0s")
    ])
    func `ages are short`(seconds: Double, text: String) { #expect(Timestamp.humanDuration(seconds) == text) }
}

@Suite struct AddressTests {
    @Test(arguments: [
        ("10.0.0.1", "10.0.0.1"), ("::1", "::1"), ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("::ffff:1.2.3.4", "1.2.3.4"), ("::", "::"),
        ("fe80::1", "fe80::1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("0.0.0.0", "0.0.0.0")
    ])
    func `addresses are read and written`(text: String, canonical: String) {
        #expect(IPAddress(text)?.description == canonical)
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7:8:9", "x",
        "1.2.3.4/8"
    ])
    func `what is no address is refused`(text: String) { #expect(IPAddress(text) == nil) }

    @Test func `ranges contain, number and refuse`() throws {
        let range = try #require(CIDR("10.96.0.0/16"))
        #expect(range.size == 65536)
        #expect(range.address(at: 10)?.description == "10.96.0.10")
        #expect(range.address(at: 65536) == nil)
        #expect(range.offset(of: try #require(IPAddress("10.96.1.2"))) == 258)
        let (inside, outside) = (try #require(IPAddress("10.96.255.255")), try #require(IPAddress("10.97.0.0")))
        #expect(range.contains(inside) && !range.contains(outside))
        #expect(try #require(CIDR("10.96.3.4/12")).description == "10.96.0.0/12")
        #expect(CIDR("10.0.0.0/33") == nil && CIDR("10.0.0.0") == nil && CIDR("x/8") == nil)
        #expect(try #require(CIDR("10.0.0.0/8")).overlaps(try #require(CIDR("10.1.0.0/16"))))
        #expect(try #require(CIDR("fd00::/64")).address(at: 1)?.description == "fd00::1")
    }

    @Test func `base64 is strict`() throws {
        #expect(Base64.encode(Array("any carnal pleas".utf8)) == "YW55IGNhcm5hbCBwbGVhcw==")
        #expect(try Base64.decode("YW55\nIGM=") == Array("any c".utf8))
        for text in ["*", "YQ", "YQ=", "Y===", "YQ==YQ=="] {
            #expect(throws: Base64Error.self) { try Base64.decode(text) }
        }
    }
}

@Suite struct StatusTests {
    @Test func `refusals look as upstream's`() {
        let missing = Status.notFound(.deployments, "zz")
        #expect(
            missing.status.text
                == #"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"zz\" not found","reason":"NotFound","details":{"name":"zz","group":"apps","kind":"deployments"},"code":404}"#
        )
        let cause = StatusCause(
            reason: "FieldValueInvalid", message: "Invalid value: 9: field is immutable", field: "spec.completions")
        #expect(
            Status.invalid(GroupVersionKind("batch", "v1", "Job"), "j", [cause]).message
                == "Job.batch \"j\" is invalid: spec.completions: Invalid value: 9: field is immutable")
        #expect(
            Status.invalid(
                GroupVersionKind("", "v1", "Pod"), "p", [cause, StatusCause(reason: "x", message: "b", field: "a")]
            ).message
                == "Pod \"p\" is invalid: [spec.completions: Invalid value: 9: field is immutable, a: b]")
        #expect(Status.tooLarge(limitBytes: 3_145_728).message == "Request entity too large: limit is 3145728")
        #expect(
            Status.unparsable(wanted: "ConfigMap", JSONError(message: "m", offset: 0), body: Array("[]".utf8)).message
                .hasSuffix("m (5b5d)"))
        #expect(Status.resourceVersionTooLarge("9", current: "1").code == 504)
    }
}
