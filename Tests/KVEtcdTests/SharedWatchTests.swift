// Watches that are told the same share the bytes of it; each must still get what it asked for, under its own number.
import NetGRPC
import Testing

@Suite(.serialized) struct SharedWatchTests {
    private struct Told: Hashable {
        var watch: Int64
        var key: String
        var isDelete = false
        var value = ""
        var previous = ""
    }

    private func record(_ body: ProtobufReader) throws -> (key: String, value: String) {
        var reader = body
        var found = (key: "", value: "")
        while try reader.next() {
            if reader.field == 1 { found.key = try reader.string() }
            if reader.field == 5 { found.value = try reader.string() }
        }
        return found
    }

    private func told(_ message: [UInt8]) throws -> (revision: Int64, events: [Told]) {
        var reader = ProtobufReader(message)
        var revision: Int64 = 0
        var watch: Int64 = 0
        var events: [Told] = []
        while try reader.next() {
            switch reader.field {
            case 1:
                var header = try reader.message()
                while try header.next() { if header.field == 3 { revision = try header.int64() } }
            case 2: watch = try reader.int64()
            case 11:
                var event = Told(watch: 0, key: "")
                var body = try reader.message()
                while try body.next() {
                    switch body.field {
                    case 1: event.isDelete = try body.int() == 1
                    case 2: (event.key, event.value) = try record(try body.message())
                    case 3: event.previous = try record(try body.message()).value
                    default: continue
                    }
                }
                events.append(event)
            default: continue
            }
        }
        for index in events.indices { events[index].watch = watch }
        return (revision, events)
    }

    private func create(_ id: Int64, _ build: (inout ProtobufWriter) -> Void = { _ in }) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.message(1) { one in
            one.string(1, "s/")
            one.string(2, "s0")
            one.int64(7, id)
            build(&one)
        }
        return writer.bytes
    }

    /// Until so many events were told.
    private func read(_ count: Int, _ call: GRPCCall) async throws -> Set<Told> {
        var all: [Told] = []
        while all.count < count, let message = try await call.next() {
            let one = try told(message)
            #expect(one.events.isEmpty || one.revision > 1)
            all += one.events
        }
        #expect(Set(all).count == all.count)
        return Set(all)
    }

    @Test func `watches of two streams with different wishes are each told what they asked for`() async throws {
        let face = try await Face()
        let first = try await face.channel.open("/etcdserverpb.Watch/Watch")
        let second = try await face.channel.open("/etcdserverpb.Watch/Watch")
        first.send(create(1))
        first.send(create(300) { $0.bool(6, true) })
        first.send(create(3) { $0.packed(5, [0]) })
        second.send(create(1))
        second.send(create(2) { $0.packed(5, [1]) })
        // Created: nothing is told before, and everything after.
        for (call, count) in [(first, 3), (second, 2)] { for _ in 0..<count { _ = try await call.next() } }
        try await face.put("s/a", "1")
        try await face.put("s/a", "2")
        var delete = ProtobufWriter()
        delete.string(1, "s/a")
        _ = try await face.channel.unary("/etcdserverpb.KV/DeleteRange", delete.bytes)
        func all(_ watch: Int64, withPrevious: Bool = false) -> [Told] {
            [
                Told(watch: watch, key: "s/a", value: "1"),
                Told(watch: watch, key: "s/a", value: "2", previous: withPrevious ? "1" : ""),
                Told(watch: watch, key: "s/a", isDelete: true, previous: withPrevious ? "2" : "")
            ]
        }
        let expected = Set(all(1) + all(300, withPrevious: true) + all(3).suffix(1))
        #expect(try await read(7, first) == expected)
        #expect(try await read(5, second) == Set(all(1) + all(2).prefix(2)))
        first.cancel()
        second.cancel()
        try await face.end()
    }
}
