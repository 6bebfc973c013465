// The settings of the controllers, with upstream's names and Tern's defaults. Validated by whoever reads the flags.

import API

/// What the controllers are told at start.
package struct ControllerOptions: Sendable {
    /// The master's name, shown as holder of the Lease `kube-controller-manager`.
    package var identity: String
    package var nodeLifecycle = NodeLifecycleOptions()
    /// `--cluster-cidr` and `--node-cidr-mask-size`; nil: nodes get no ranges.
    package var podRange = PodRange()
    /// `--terminated-pod-gc-threshold`.
    package var finishedPodsMax = 12_500
    /// PEM of the cluster's CA, published in every namespace; empty: not published.
    package var rootCA: String
    /// Everything that the API server serves, for namespace deletion and garbage collection.
    package var served: [ServedResource]
    /// Approves and signs kubelets' certificates; nil: not here.
    package var authority: CertificateAuthority?
    /// Milliseconds since 1970.
    package var now: @Sendable () -> Int64

    package init(
        identity: String, rootCA: String, served: [ServedResource], authority: CertificateAuthority? = nil,
        now: @escaping @Sendable () -> Int64 = ControllerOptions.wallClock
    ) {
        self.identity = identity
        self.rootCA = rootCA
        self.served = served
        self.authority = authority
        self.now = now
    }

    /// The machine's clock in milliseconds.
    package static let wallClock: @Sendable () -> Int64 = { Int64(Timestamp.nowSeconds() * 1000) }
}
