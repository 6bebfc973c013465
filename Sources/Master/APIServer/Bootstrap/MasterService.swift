// The objects through which pods find the masters and the resolver: the Services `kubernetes` and `kube-dns`, and the
// endpoints of the first, which name the masters that live.
import API

package enum MasterService {
    static let name = "kubernetes"

    /// `default/kubernetes`, without a selector: its endpoints are written by the masters.
    package static func service(address: String, port: Int64) -> JSON {
        [
            "kind": "Service", "apiVersion": "v1",
            "metadata": [
                "name": .string(name), "namespace": "default",
                "labels": ["component": "apiserver", "provider": "kubernetes"]
            ],
            "spec": [
                "clusterIP": .string(address), "clusterIPs": [.string(address)], "type": "ClusterIP",
                "sessionAffinity": "None",
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
                "ports": [["name": "https", "port": 443, "protocol": "TCP", "targetPort": .int(port)]]
            ]
        ]
    }

    /// `kube-system/kube-dns`: every worker answers its address itself.
    package static func dns(address: String) -> JSON {
        [
            "kind": "Service", "apiVersion": "v1",
            "metadata": [
                "name": "kube-dns", "namespace": "kube-system",
                "labels": [
                    "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"
                ]
            ],
            "spec": [
                "clusterIP": .string(address), "clusterIPs": [.string(address)], "type": "ClusterIP",
                "sessionAffinity": "None",
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
                "ports": [
                    ["name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53],
                    ["name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53]
                ]
            ]
        ]
    }

    package static func endpoints(_ addresses: [String], port: Int64) -> JSON {
        let sorted = Set(addresses).sorted()
        var object: JSON = [
            "kind": "Endpoints", "apiVersion": "v1",
            "metadata": [
                "name": .string(name), "namespace": "default",
                "labels": ["endpointslice.kubernetes.io/skip-mirror": "true"]
            ]
        ]
        if !sorted.isEmpty {
            object["subsets"] = [
                [
                    "addresses": .array(sorted.map { ["ip": .string($0)] }),
                    "ports": [["name": "https", "port": .int(port), "protocol": "TCP"]]
                ]
            ]
        }
        return object
    }

    package static func slice(_ addresses: [String], port: Int64) -> JSON {
        [
            "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
            "metadata": [
                "name": .string(name), "namespace": "default", "labels": ["kubernetes.io/service-name": .string(name)]
            ],
            "addressType": "IPv4",
            "endpoints": .array(
                Set(addresses).sorted().map { ["addresses": [.string($0)], "conditions": ["ready": true]] }),
            "ports": [["name": "https", "port": .int(port), "protocol": "TCP"]]
        ]
    }
}
