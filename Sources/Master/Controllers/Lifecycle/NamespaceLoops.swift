// The loops of what belongs to namespaces and to the cluster as a whole: sweeping, default accounts, the published CA,
// aggregated roles, certificates.

import API

enum NamespaceLoops {
    static func sweep(_ caches: Caches, _ served: [ServedResource]) -> Loop {
        let sweep = NamespaceSweep(served)
        return Loop("namespace-controller", caches, seed: { caches.namespaces.keys }) { key, session in
            guard let namespace = caches.namespaces.get(key) else { return Performed() }
            return await sweep.run(namespace, session)
        }
    }

    static func serviceAccounts(_ caches: Caches) -> Loop {
        Loop("service-account-controller", caches, seed: { caches.namespaces.keys }) { key, session in
            let changes = ServiceAccountPlan.changes(
                caches.namespaces.get(key), exists: caches.serviceAccounts.get("\(key)/default") != nil)
            return tolerant(await session.perform(changes))
        }
    }

    static func rootCAs(_ caches: Caches, _ ca: String) -> Loop {
        Loop("root-ca-certificate-publisher", caches, seed: { ca.isEmpty ? [] : caches.namespaces.keys }) {
            key, session in
            guard !ca.isEmpty else { return Performed() }
            let existing = caches.rootCAs.get("\(key)/\(RootCAPublisher.name)")
            return tolerant(
                await session.perform(RootCAPublisher.changes(caches.namespaces.get(key), existing: existing, ca: ca)))
        }
    }

    static func clusterRoles(_ caches: Caches) -> Loop {
        Loop("clusterrole-aggregation-controller", caches, width: 1, seed: { caches.clusterRoles.keys }) {
            key, session in
            guard let role = caches.clusterRoles.get(key) else { return Performed() }
            return await session.perform(ClusterRoleAggregation.changes(role, all: caches.clusterRoles.all))
        }
    }

    static func certificates(_ caches: Caches, _ authority: CertificateAuthority?) -> Loop {
        Loop("certificate-controller", caches, seed: { caches.signingRequests.keys }) { key, session in
            guard let authority, let request = caches.signingRequests.get(key) else { return Performed() }
            return await CertificateController(authority: authority).work(request, session)
        }
    }

    static func tokens(_ caches: Caches) -> Loop {
        Loop("token-cleaner", caches, width: 1, seed: { caches.bootstrapTokens.keys }) { key, session in
            guard let token = caches.bootstrapTokens.get(key) else { return Performed() }
            return await session.perform(TokenCleaner.changes(token, now: session.now()))
        }
    }

    /// What exists already was made by somebody else; a namespace that ends refuses new things.
    private static func tolerant(_ performed: Performed) -> Performed {
        var performed = performed
        performed.failures.removeAll {
            $0.error.isAlreadyExists || $0.error.isNotFound
                || ($0.error.code == 403 && $0.error.message.contains("being terminated"))
        }
        return performed
    }
}
