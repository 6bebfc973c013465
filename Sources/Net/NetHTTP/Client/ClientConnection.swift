// The border between the pool and a connection of either version. A connection lives on its event loop; the pool only
// keeps handles. It must never be given a call after it said that it takes no more.
import NIOCore

/// A pooled connection as the pool sees it.
protocol ClientConnection: AnyObject, Sendable {
    /// Sends the call's request; any thread.
    func execute(_ call: ClientCall)
    func close()
}

/// What a connection tells its owner; any thread.
protocol ClientConnectionOwner: AnyObject, Sendable {
    /// One call is done and the connection can take another.
    func released(_ connection: any ClientConnection)
    /// The connection takes no more calls.
    func retired(_ connection: any ClientConnection)
    /// HTTP/2: how many streams the peer allows.
    func learned(_ connection: any ClientConnection, streamsMax: Int)
    /// The call could not be completed before its response began.
    func failed(_ call: ClientCall, _ error: HTTPClientError, wasSent: Bool)
}
