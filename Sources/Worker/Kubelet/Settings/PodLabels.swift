// The labels and annotations by which the kubelet finds its own sandboxes and containers again.
// The io.kubernetes names are those that every CRI tool reads; `node` marks what is ours: nothing else is ever touched.
import API

package enum PodLabels {
    package static let podName = "io.kubernetes.pod.name"
    package static let podNamespace = "io.kubernetes.pod.namespace"
    package static let podUID = "io.kubernetes.pod.uid"
    package static let containerName = "io.kubernetes.container.name"
    package static let hash = "io.kubernetes.container.hash"
    package static let restartCount = "io.kubernetes.container.restartCount"
    package static let terminationPath = "io.kubernetes.container.terminationMessagePath"
    package static let terminationPolicy = "io.kubernetes.container.terminationMessagePolicy"
    package static let podGrace = "io.kubernetes.pod.terminationGracePeriod"
    package static let node = "tern.dev/node"

    /// Labels of a pod's sandbox: the pod's own and the ones that identify it.
    package static func sandbox(_ pod: JSON) -> [String: String] {
        pod.labels.merging([podName: pod.name, podNamespace: pod.namespace, podUID: pod.uid]) { $1 }
    }

    package static func container(_ pod: JSON, name: String) -> [String: String] {
        [podName: pod.name, podNamespace: pod.namespace, podUID: pod.uid, containerName: name]
    }
}
