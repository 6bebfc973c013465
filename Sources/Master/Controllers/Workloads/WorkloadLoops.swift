// The loops of deployments, replica sets, replication controllers and daemon sets: take the world from the caches,
// plan, perform, and deal with the refusals that mean something.

import API

enum WorkloadLoops {
    static func deployments(_ caches: Caches) -> Loop {
        Loop("deployment-controller", caches, seed: { caches.deployments.keys }) { key, session in
            guard let deployment = caches.deployments.get(key) else { return Performed() }
            let sets = caches.replicaSets.family(of: deployment)
            let owned = sets.filter { $0.controllerReference?["uid"]?.string == deployment.uid }
            let pods = Dictionary(
                owned.map { ($0.uid, caches.pods.values("owner:\($0.uid)")) }, uniquingKeysWith: { $1 })
            let changes = DeploymentPlan.changes(deployment, sets: sets, pods: pods, now: session.now())
            let performed = await session.perform(changes)
            return await resolveCollision(performed, deployment, session)
        }
    }

    /// A ReplicaSet of the wanted name exists and is not ours: the hash takes another number in.
    private static func resolveCollision(
        _ performed: Performed, _ deployment: JSON, _ session: Session
    ) async
        -> Performed
    {
        guard let failure = performed.failures.first, failure.error.isAlreadyExists,
            case .create(let resource, let wanted) = failure.change
        else {
            return performed
        }
        do throws(StatusError) {
            let found = try await session.client.get(resource, namespace: wanted.namespace, name: wanted.name)
            let isOurs = found.controllerReference?["uid"]?.string == deployment.uid
            let isSame =
                DeploymentPlan.comparable(found["spec", "template"])
                == DeploymentPlan.comparable(wanted["spec", "template"])
            if isOurs && isSame { return Performed(again: 20) }
        } catch {
            return performed
        }
        var object = deployment
        object["status", "collisionCount"] = .int((deployment["status", "collisionCount"]?.int ?? 0) + 1)
        return await session.perform([.updateStatus(.deployments, object)])
    }

    static func replicas(_ kind: ReplicaKind, _ name: String, _ shelf: Shelf<JSON>, _ caches: Caches) -> Loop {
        Loop(name, caches, seed: { shelf.keys }) { key, session in
            guard let object = shelf.get(key) else { return Performed() }
            let pods = caches.pods.family(of: object)
            let plan = ReplicaPlan(kind, object, now: session.now())
            var performed = await session.perform(plan.changes(pods))
            note(performed, object, session)
            if let failure = performed.failures.first(where: \.isAboutPods) {
                let status = plan.changes(pods, failure: failure.error.message).filter(\.isStatusUpdate)
                performed.merge(await session.perform(status))
            }
            return performed
        }
    }

    static func daemons(_ caches: Caches) -> Loop {
        Loop("daemonset-controller", caches, seed: { caches.daemonSets.keys }) { key, session in
            guard let set = caches.daemonSets.get(key) else { return Performed() }
            let pods = caches.pods.family(of: set)
            let revisions = caches.controllerRevisions.values("owner:\(set.uid)")
            let changes = DaemonPlan.changes(
                set, pods: pods, revisions: revisions, nodes: caches.nodes.all, now: session.now())
            let performed = await session.perform(changes)
            note(performed, set, session)
            return performed
        }
    }

    /// The events about pods that were created and deleted, or could not be.
    private static func note(_ performed: Performed, _ owner: JSON, _ session: Session) {
        let about = ObjectReference(owner)
        func record(_ reason: String, _ message: String, warning: Bool = false) {
            session.recorder.record(
                about, warning: warning, reason: reason, message: message, component: session.component,
                through: session.client)
        }
        for name in performed.created { record("SuccessfulCreate", "Created pod: \(name)") }
        for case .gone(.pods, let target) in performed.written {
            record("SuccessfulDelete", "Deleted pod: \(target.name)")
        }
        if let failure = performed.failures.first(where: \.isAboutPods) {
            if case .create = failure.change {
                record("FailedCreate", "Error creating: \(failure.error.message)", warning: true)
            } else {
                record("FailedDelete", "Error deleting: \(failure.error.message)", warning: true)
            }
        }
    }
}

extension Performed.Failure {
    /// A pod could not be created or deleted.
    var isAboutPods: Bool {
        switch change {
        case .create(.pods, _), .delete(.pods, _, _): true
        default: false
        }
    }
}

extension Change {
    var isStatusUpdate: Bool {
        if case .update(_, _, "status") = self { true } else { false }
    }
}
