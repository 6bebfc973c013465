import NetBalancer
import Testing

private let (a, b, c) = (Backend(host: "a", port: 1), Backend(host: "b", port: 1), Backend(host: "c", port: 1))

struct BackendTableTests {
    private func table() -> BackendTable { BackendTable([a, b, c]) }

    @Test func `a backend that fails its probes while others answer is given up once`() {
        var table = table()
        #expect(table.probed([a: false, b: true, c: true]) == [])
        #expect(table.isInDoubt)
        #expect(table.probed([a: false, b: true, c: true]) == [a])
        #expect(table.state(of: a) == .failed)
        #expect(!table.isInDoubt)
        #expect(table.probed([a: false, b: true, c: true]) == [])
        #expect(table.order().last == a)
    }

    @Test func `when every probe fails no connection is given up`() {
        var table = table()
        for _ in 0..<5 { #expect(table.probed([a: false, b: false, c: false]) == []) }
        #expect(table.order().count == 3)
    }

    @Test func `those that stay silent are given up when the first one answers again`() {
        var table = table()
        for _ in 0..<3 { #expect(table.probed([a: false, b: false, c: false]) == []) }
        #expect(table.probed([a: true, b: false, c: false]) == [b, c])
        #expect(table.order().first == a)
    }

    @Test func `with all failed the one with the fewest failures is tried first`() {
        var table = table()
        _ = table.probed([a: false, b: true, c: false])
        for _ in 0..<2 { _ = table.probed([a: false, b: false, c: false]) }
        #expect(table.order().first == b)
    }

    @Test func `a backend that answers again takes connections after two good probes`() {
        var table = table()
        for _ in 0..<2 { _ = table.probed([a: false, b: true, c: true]) }
        _ = table.probed([a: true, b: true, c: true])
        #expect(table.state(of: a) == .recovering)
        _ = table.probed([a: true, b: true, c: true])
        #expect(table.state(of: a) == .active)
        for _ in 0..<2 { _ = table.probed([a: true, b: true, c: true]) }
        #expect(table.probed([a: false, b: true, c: true]) == [])
        #expect(table.probed([a: false, b: true, c: true]) == [a])
    }

    @Test func `a refused connection gives a backend up at once, a slow one only puts it in doubt`() {
        var table = table()
        #expect(table.refused(a) == [a])
        table.doubted(b)
        #expect(table.isInDoubt)
        #expect(table.state(of: b) == .active)
        #expect(table.order().first == c)
        #expect(table.probed([a: false, b: true, c: true]) == [])
        #expect(!table.isInDoubt)
    }

    @Test func `the last backend that refuses keeps its connections`() {
        var table = BackendTable([a])
        #expect(table.refused(a) == [])
        #expect(table.order() == [a])
    }
}
