// WebSocket to SPDY for exec and attach.
import API
import NIOCore
import NetHTTP

extension StreamingProxy {
    func webSocketCommand(_ response: HTTPResponseWriter, url: String, _ options: StreamOptions, _ chosen: RemoteCommandProtocol) async {
        response.plain(501, "exec over WebSocket is not served yet")
    }
}
