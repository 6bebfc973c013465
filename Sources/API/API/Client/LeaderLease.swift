// The Lease object that shows who leads a control loop. It shows only: leadership itself is Raft's, and a loop acts
// by the fence in its client. Renewed while active; taken over without waiting for the old holder's time to run out.

/// Keeps a Lease in `kube-system` up to date between `run` and cancellation.
package struct LeaderLease: Sendable {
    package static let renewSeconds = 5
    package static let durationSeconds: Int64 = 15
    private let name: String
    private let holder: String
    private let now: @Sendable () -> Int64

    /// `name` is the loop (`kube-scheduler`), `holder` the master; `now` gives milliseconds since 1970.
    package init(name: String, holder: String, now: @escaping @Sendable () -> Int64) {
        self.name = name
        self.holder = holder
        self.now = now
    }

    /// The lease after a renewal. Pure.
    package static func renewed(_ lease: JSON?, name: String, holder: String, now: Int64) -> JSON {
        let time = JSON.string(Timestamp.microseconds(now))
        var lease =
            lease ?? [
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": ["name": .string(name), "namespace": "kube-system"]
            ]
        if lease["spec", "holderIdentity"]?.string != holder {
            lease["spec", "leaseTransitions"] = .int((lease["spec", "leaseTransitions"]?.int ?? -1) + 1)
            lease["spec", "acquireTime"] = time
            lease["spec", "holderIdentity"] = .string(holder)
        }
        lease["spec", "leaseDurationSeconds"] = .int(durationSeconds)
        lease["spec", "renewTime"] = time
        return lease
    }

    /// Renews until the task is cancelled; a renewal that fails is tried again with the next.
    package func run(_ client: any ObjectClient) async {
        while !Task.isCancelled {
            await renew(client)
            do { try await Task.sleep(for: .seconds(Self.renewSeconds)) } catch { return }
        }
    }

    private func renew(_ client: any ObjectClient) async {
        do throws(StatusError) {
            let old: JSON?
            do throws(StatusError) {
                old = try await client.get(.leases, namespace: "kube-system", name: name)
            } catch {
                guard error.isNotFound else { throw error }
                old = nil
            }
            let new = Self.renewed(old, name: name, holder: holder, now: now())
            if old == nil {
                _ = try await client.create(.leases, namespace: "kube-system", new)
            } else {
                _ = try await client.update(.leases, namespace: "kube-system", name: name, new)
            }
        } catch {
            return  // the lease only shows who leads
        }
    }
}
