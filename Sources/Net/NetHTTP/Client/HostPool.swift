// The connections of one destination as a value: which is idle, which can take one more stream, who waits, when to
// dial. Pure; the client carries out the steps that it returns. It must never dial above its limit or keep a waiter
// that nothing will wake.

struct HostPool {
    struct HTTP2Entry {
        let connection: any ClientConnection
        var streams: Int
        var streamsMax: Int
    }

    /// What the client has to do now, outside the lock.
    enum Step {
        case execute(ClientCall, any ClientConnection)
        case dial
        case fail(ClientCall, HTTPClientError)
    }

    let connectionsMax: Int
    let streamsMax: Int
    let waitersMax: Int
    private(set) var idle: [any ClientConnection] = []
    private(set) var busy: [any ClientConnection] = []
    private(set) var http2: [HTTP2Entry] = []
    private(set) var dialing = 0
    private(set) var waiting: [ClientCall] = []
    /// Unknown until the first connection: then only one is dialled at a time, since HTTP/2 needs no more.
    private var isHTTP1 = false

    init(_ configuration: HTTPClientConfiguration) {
        connectionsMax = configuration.connectionsPerHostMax
        streamsMax = configuration.streamsPerConnectionMax
        waitersMax = configuration.waitersPerHostMax
    }

    var isEmpty: Bool { idle.isEmpty && busy.isEmpty && http2.isEmpty && dialing == 0 && waiting.isEmpty }
    var all: [any ClientConnection] { idle + busy + http2.map(\.connection) }

    mutating func take(_ call: ClientCall) -> [Step] {
        guard waiting.count < waitersMax else { return [.fail(call, .busy)] }
        waiting.append(call)
        return serve()
    }

    mutating func dialed(_ connection: any ClientConnection, isHTTP2: Bool) -> [Step] {
        dialing -= 1
        isHTTP1 = !isHTTP2
        if isHTTP2 {
            http2.append(HTTP2Entry(connection: connection, streams: 0, streamsMax: streamsMax))
        } else {
            idle.append(connection)
        }
        return serve()
    }

    /// A failed dial fails everybody who waits, unless another connection can still serve them.
    mutating func dialFailed(_ error: HTTPClientError) -> [Step] {
        dialing -= 1
        guard busy.isEmpty, idle.isEmpty, http2.isEmpty, dialing == 0 else { return serve(mayDial: false) }
        defer { waiting = [] }
        return waiting.map { .fail($0, error) }
    }

    mutating func released(_ connection: any ClientConnection) -> [Step] {
        if let index = http2.firstIndex(where: { $0.connection === connection }) {
            http2[index].streams -= 1
        } else if let index = busy.firstIndex(where: { $0 === connection }) {
            busy.remove(at: index)
            idle.append(connection)
        }
        return serve()
    }

    mutating func learned(_ connection: any ClientConnection, streamsMax most: Int) -> [Step] {
        guard let index = http2.firstIndex(where: { $0.connection === connection }) else { return [] }
        http2[index].streamsMax = min(streamsMax, most)
        return serve()
    }

    mutating func retired(_ connection: any ClientConnection) -> [Step] {
        http2.removeAll { $0.connection === connection }
        idle.removeAll { $0 === connection }
        busy.removeAll { $0 === connection }
        return serve()
    }

    mutating func drop() -> [Step] {
        defer { waiting = [] }
        return waiting.map { .fail($0, .shutdown) }
    }

    /// After a failed dial no other is tried at once: a connection that works serves those who wait.
    private mutating func serve(mayDial: Bool = true) -> [Step] {
        var steps: [Step] = []
        waiting.removeAll { $0.isOver }
        var served = 0
        while served < waiting.count, let connection = free() {
            steps.append(.execute(waiting[served], connection))
            served += 1
        }
        waiting.removeFirst(served)
        guard mayDial else { return steps }
        let most = isHTTP1 ? waiting.count : min(1, waiting.count)
        while dialing < most, idle.count + busy.count + http2.count + dialing < connectionsMax {
            dialing += 1
            steps.append(.dial)
        }
        return steps
    }

    private mutating func free() -> (any ClientConnection)? {
        if let index = http2.firstIndex(where: { $0.streams < $0.streamsMax }) {
            http2[index].streams += 1
            return http2[index].connection
        }
        guard let connection = idle.popLast() else { return nil }
        busy.append(connection)
        return connection
    }
}
