// URLs of requests: paths and queries with what needs escaping escaped. Pure.
import API
import NetHTTP

enum Target {
    static func path(
        _ resource: GroupVersionResource, _ namespace: String?, _ name: String? = nil, _ subresource: String? = nil
    ) -> String {
        resource.path(
            namespace: namespace.map { percentEncode($0) }, name: name.map { percentEncode($0, keeping: ":") },
            subresource: subresource)
    }

    static func query(_ options: ListOptions, _ more: [(String, String)] = []) -> String {
        var pairs = more
        if !options.labelSelector.isEmpty { pairs.append(("labelSelector", options.labelSelector)) }
        if !options.fieldSelector.isEmpty { pairs.append(("fieldSelector", options.fieldSelector)) }
        if !options.resourceVersion.isEmpty { pairs.append(("resourceVersion", options.resourceVersion)) }
        if options.limit > 0 { pairs.append(("limit", "\(options.limit)")) }
        if !options.continueToken.isEmpty { pairs.append(("continue", options.continueToken)) }
        if pairs.isEmpty { return "" }
        return "?" + pairs.map { "\($0.0)=\(percentEncode($0.1))" }.joined(separator: "&")
    }
}
