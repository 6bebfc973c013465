// Default RBAC: the roles of the components of a cluster. Facts of Kubernetes, in the notation
// that DefaultRoles.swift explains. A line that ends with a backslash goes on in the next one.
// Nothing here is code; a test parses all of it.

extension DefaultRoles {
    static let systemText = """
        ClusterRole system:node
          create | authentication.k8s.io | tokenreviews
          create | authorization.k8s.io | subjectaccessreviews,localsubjectaccessreviews
          get,list,watch | core | services
          create,get,list,watch | core | nodes
          update,patch | core | nodes/status
          update,patch | core | nodes
          create,update,patch | core | events
          get,list,watch | core | pods
          create,delete | core | pods
          update,patch | core | pods/status
          create | core | pods/eviction
          get,list,watch | core | secrets,configmaps
          get | core | persistentvolumeclaims,persistentvolumes
          get | core | endpoints
          create,get,list,watch | certificates.k8s.io | certificatesigningrequests
          get,create,update,patch,delete | coordination.k8s.io | leases
          get | storage.k8s.io | volumeattachments
          create | core | serviceaccounts/token
          get,update,patch | core | persistentvolumeclaims/status
          get,watch,list | storage.k8s.io | csidrivers
          get,create,update,patch,delete | storage.k8s.io | csinodes
          get,list,watch | node.k8s.io | runtimeclasses
        ClusterRole system:monitoring
          url get /metrics,/metrics/slis,/livez,/readyz,/healthz,/livez/*,/readyz/*,/healthz/*
          get | core | nodes/metrics
        ClusterRole system:discovery
          url get /livez,/readyz,/healthz,/version,/version/,/openapi,/openapi/*,/api,/api/*,/apis,/apis/*
        ClusterRole system:basic-user
          create | authorization.k8s.io | selfsubjectaccessreviews,selfsubjectrulesreviews
          create | authentication.k8s.io | selfsubjectreviews
        ClusterRole system:public-info-viewer
          url get /livez,/readyz,/healthz,/version,/version/
        ClusterRole system:heapster
          get,list,watch | core | events,pods,nodes,namespaces
          get,list,watch | extensions | deployments
        ClusterRole system:node-problem-detector
          get | core | nodes
          patch | core | nodes/status
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:node-bootstrapper
          create,get,list,watch | certificates.k8s.io | certificatesigningrequests
        ClusterRole system:auth-delegator
          create | authentication.k8s.io | tokenreviews
          create | authorization.k8s.io | subjectaccessreviews
        ClusterRole system:kube-aggregator
          get,list,watch | core | services,endpoints
        ClusterRole system:kube-controller-manager
          create,update,patch | core,events.k8s.io | events
          create | coordination.k8s.io | leases
          get,update | coordination.k8s.io | leases | kube-controller-manager
          create | core | secrets,serviceaccounts
          delete | core | secrets
          get | core | namespaces,secrets,serviceaccounts,configmaps
          update | core | secrets,serviceaccounts
          create | authentication.k8s.io | tokenreviews
          create | authorization.k8s.io | subjectaccessreviews
          list,watch | * | *
          create | core | serviceaccounts/token
        ClusterRole system:kube-dns
          list,watch | core | endpoints,services
        ClusterRole system:persistent-volume-provisioner
          get,list,watch,create,delete | core | persistentvolumes
          get,list,watch,update | core | persistentvolumeclaims
          get,list,watch | storage.k8s.io | storageclasses
          watch | core | events
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:certificates.k8s.io:certificatesigningrequests:nodeclient
          create | certificates.k8s.io | certificatesigningrequests/nodeclient
        ClusterRole system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
          create | certificates.k8s.io | certificatesigningrequests/selfnodeclient
        ClusterRole system:volume-scheduler
          get,list,watch,update,patch | core | persistentvolumes
          get,list,watch | storage.k8s.io | storageclasses
          get,list,watch,update,patch | core | persistentvolumeclaims
        ClusterRole system:certificates.k8s.io:legacy-unknown-approver
          approve | certificates.k8s.io | signers | kubernetes.io/legacy-unknown
        ClusterRole system:certificates.k8s.io:kubelet-serving-approver
          approve | certificates.k8s.io | signers | kubernetes.io/kubelet-serving
        ClusterRole system:certificates.k8s.io:kube-apiserver-client-approver
          approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client
        ClusterRole system:certificates.k8s.io:kube-apiserver-client-kubelet-approver
          approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet
        ClusterRole system:service-account-issuer-discovery
          url get /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/
        ClusterRole system:kubelet-api-admin
          get,list,watch | core | nodes
          proxy | core | nodes
          * | core | nodes/proxy,nodes/metrics,nodes/stats,nodes/log
        ClusterRole system:node-proxier
          list,watch | core | services,endpoints
          get,list,watch | core | nodes
          create,update,patch | core,events.k8s.io | events
          list,watch | discovery.k8s.io | endpointslices
        ClusterRole system:kube-scheduler
          create,update,patch | core,events.k8s.io | events
          create | coordination.k8s.io | leases
          get,update,list,watch | coordination.k8s.io | leases | kube-scheduler
          get,list,watch,create,update,patch,delete,deletecollection | coordination.k8s.io | leasecandidates
          get,list,watch | core | nodes
          get,list,watch,delete | core | pods
          create | core | pods/binding,bindings
          patch,update | core | pods/status
          get,list,watch | core | services,replicationcontrollers
          get,list,watch | apps,extensions | replicasets
          get,list,watch | apps | statefulsets
          get,list,watch | policy | poddisruptionbudgets
          get,list,watch | core | persistentvolumeclaims,persistentvolumes
          create | authentication.k8s.io | tokenreviews
          create | authorization.k8s.io | subjectaccessreviews
          get,list,watch | storage.k8s.io | csinodes
          get,list,watch | storage.k8s.io | volumeattachments
          get,list,watch | core | namespaces
          get,list,watch | storage.k8s.io | csidrivers
          get,list,watch | storage.k8s.io | csistoragecapacities
        Role kube-system/extension-apiserver-authentication-reader
          get,list,watch | core | configmaps | extension-apiserver-authentication
        Role kube-system/system:controller:bootstrap-signer
          get,list,watch | core | secrets
        Role kube-system/system:controller:cloud-provider
          create,get,list,watch | core | configmaps
        Role kube-system/system:controller:token-cleaner
          get,list,watch,delete | core | secrets
          create,update,patch | core,events.k8s.io | events
        Role kube-system/system::leader-locking-kube-controller-manager
          watch | core | configmaps
          get,update | core | configmaps | kube-controller-manager
          get,watch,list,create,update | coordination.k8s.io | leases
          get,watch,list,create,update | coordination.k8s.io | leasecandidates
        Role kube-system/system::leader-locking-kube-scheduler
          watch | core | configmaps
          get,update | core | configmaps | kube-scheduler
          get,watch,list,create,update | coordination.k8s.io | leases
          get,watch,list,create,update | coordination.k8s.io | leasecandidates
        Role kube-public/system:controller:bootstrap-signer
          get,list,watch | core | configmaps
          update | core | configmaps | cluster-info
          create,update,patch | core,events.k8s.io | events
        """
}
