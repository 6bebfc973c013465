// Event loops whose threads live in another network namespace: made by a thread of its own that has entered it, since new threads
// inherit the namespace of the thread that makes them, and the caller's thread must stay where it is.
import CLinux
import Glibc
import NIOPosix

enum NamespaceGroup {
    private final class Request {
        let path: String
        var group: MultiThreadedEventLoopGroup?
        init(_ path: String) { self.path = path }
    }

    /// One loop in the namespace that the file names; nil when it cannot be entered.
    static func make(_ path: String) -> MultiThreadedEventLoopGroup? {
        let request = Request(path)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let request = Unmanaged<Request>.fromOpaque(raw).takeUnretainedValue()
                if tern_enter_network_namespace(request.path) == 0 {
                    request.group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
                }
                return nil
            }, Unmanaged.passUnretained(request).toOpaque())
        guard code == 0 else { return nil }
        pthread_join(thread, nil)
        return request.group
    }
}
