import Network
import Testing

@Suite struct OverlayTests {
    func peer(_ node: String, _ network: String, _ last: UInt8) throws -> OverlayPeer {
        OverlayPeer(node: node, podNetwork: try #require(IPv4Network(network)), address: [10, 89, 0, last])
    }

    @Test func `the plan adds what is missing and removes what is gone, never this node`() throws {
        let a = try peer("a", "10.244.0.0/24", 1)
        let b = try peer("b", "10.244.1.0/24", 2)
        let c = try peer("c", "10.244.2.0/24", 3)
        #expect(OverlayChange.plan(current: [b], desired: [a, c], except: "a") == OverlayChange(remove: [b], add: [c]))
    }

    @Test func `a moved node is removed before it is added`() throws {
        let old = try peer("b", "10.244.1.0/24", 2)
        let new = try peer("b", "10.244.1.0/24", 9)
        #expect(
            OverlayChange.plan(current: [old], desired: [new], except: "a") == OverlayChange(remove: [old], add: [new]))
    }

    @Test func `two nodes never share a pod network`() throws {
        let b = try peer("b", "10.244.1.0/24", 2)
        let c = try peer("c", "10.244.1.0/24", 3)
        #expect(OverlayChange.plan(current: [], desired: [c, b], except: "a").add == [b])
    }

    @Test func `bad networks are refused`() {
        for text in ["", "10.244.0.0", "10.244.0.0/33", "10.244.0/24", "x/24"] { #expect(IPv4Network(text) == nil) }
    }
}
