// Default RBAC: the default bindings. Facts of Kubernetes, in the notation
// that DefaultRoles.swift explains. A line that ends with a backslash goes on in the next one.
// Nothing here is code; a test parses all of it.

extension DefaultRoles {
    static let bindingsText = """
        ClusterRoleBinding cluster-admin
          Group:system:masters
        ClusterRoleBinding system:monitoring
          Group:system:monitoring
        ClusterRoleBinding system:discovery
          Group:system:authenticated
        ClusterRoleBinding system:basic-user
          Group:system:authenticated
        ClusterRoleBinding system:public-info-viewer
          Group:system:authenticated
          Group:system:unauthenticated
        ClusterRoleBinding system:node-proxier
          User:system:kube-proxy
        ClusterRoleBinding system:kube-controller-manager
          User:system:kube-controller-manager
        ClusterRoleBinding system:kube-dns
          SA:kube-system/kube-dns
        ClusterRoleBinding system:kube-scheduler
          User:system:kube-scheduler
        ClusterRoleBinding system:volume-scheduler
          User:system:kube-scheduler
        ClusterRoleBinding system:service-account-issuer-discovery
          Group:system:serviceaccounts
        ClusterRoleBinding system:node
        RoleBinding kube-system/system::extension-apiserver-authentication-reader
          role Role/extension-apiserver-authentication-reader
          User:system:kube-controller-manager
          User:system:kube-scheduler
        RoleBinding kube-system/system::leader-locking-kube-controller-manager
          User:system:kube-controller-manager
          SA:kube-system/kube-controller-manager
          SA:kube-system/leader-election-controller
        RoleBinding kube-system/system::leader-locking-kube-scheduler
          User:system:kube-scheduler
          SA:kube-system/kube-scheduler
        RoleBinding kube-system/system:controller:bootstrap-signer
          SA:kube-system/bootstrap-signer
        RoleBinding kube-system/system:controller:cloud-provider
          SA:kube-system/cloud-provider
        RoleBinding kube-system/system:controller:token-cleaner
          SA:kube-system/token-cleaner
        RoleBinding kube-public/system:controller:bootstrap-signer
          SA:kube-system/bootstrap-signer
        """
}
