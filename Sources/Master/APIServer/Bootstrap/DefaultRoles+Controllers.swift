// Default RBAC: the roles of the controllers. Facts of Kubernetes, in the notation
// that DefaultRoles.swift explains. A line that ends with a backslash goes on in the next one.
// Nothing here is code; a test parses all of it.

extension DefaultRoles {
    static let controllersText = """
        ClusterRole system:controller:attachdetach-controller
          list,watch | core | persistentvolumes,persistentvolumeclaims
          get,list,watch | core | nodes
          patch,update | core | nodes/status
          list,watch | core | pods
          create,update,patch | core,events.k8s.io | events
          get,create,delete,list,watch | storage.k8s.io | volumeattachments
          get,watch,list | storage.k8s.io | csidrivers
          get,watch,list | storage.k8s.io | csinodes
        ClusterRole system:controller:clusterrole-aggregation-controller
          escalate,get,list,watch,update,patch | rbac.authorization.k8s.io | clusterroles
        ClusterRole system:controller:cronjob-controller
          get,list,watch,update | batch | cronjobs
          get,list,watch,create,update,delete,patch | batch | jobs
          update | batch | cronjobs/status
          update | batch | cronjobs/finalizers
          list,watch,delete | core | pods
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:daemon-set-controller
          get,list,watch | extensions,apps | daemonsets
          update | extensions,apps | daemonsets/status
          update | extensions,apps | daemonsets/finalizers
          list,watch | core | nodes
          list,watch,create,delete,patch | core | pods
          create | core | pods/binding
          get,list,watch,create,delete,update,patch | apps | controllerrevisions
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:deployment-controller
          get,list,watch,update | extensions,apps | deployments
          update | extensions,apps | deployments/status
          update | extensions,apps | deployments/finalizers
          get,list,watch,create,update,patch,delete | apps,extensions | replicasets
          get,list,watch,update | core | pods
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:disruption-controller
          get,list,watch | extensions,apps | deployments
          get,list,watch | apps,extensions | replicasets
          get,list,watch | core | replicationcontrollers
          get,list,watch | policy | poddisruptionbudgets
          get,list,watch | apps | statefulsets
          update | policy | poddisruptionbudgets/status
          patch,update | core | pods/status
          get | * | */scale
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:endpoint-controller
          get,list,watch | core | services,pods
          get,list,watch,create,update,delete | core | endpoints
          create | core | endpoints/restricted
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:endpointslice-controller
          get,list,watch | core | services,pods,nodes
          update | core | services/finalizers
          get,list,watch,create,update,delete | discovery.k8s.io | endpointslices
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:endpointslicemirroring-controller
          get,list,watch | core | services,endpoints
          update | core | services/finalizers
          update | core | endpoints/finalizers
          get,list,watch,create,update,delete | discovery.k8s.io | endpointslices
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:expand-controller
          get,list,watch,update,patch | core | persistentvolumes
          update,patch | core | persistentvolumeclaims/status
          get,list,watch | core | persistentvolumeclaims
          create,update,patch | core,events.k8s.io | events
          get | core | services
        ClusterRole system:controller:ephemeral-volume-controller
          get,list,watch | core | pods
          update | core | pods/finalizers
          get,list,watch,create | core | persistentvolumeclaims
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:generic-garbage-collector
          get,list,watch,patch,update,delete | * | *
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:horizontal-pod-autoscaler
          get,list,watch | autoscaling | horizontalpodautoscalers
          update | autoscaling | horizontalpodautoscalers/status
          get,update | * | */scale
          list,watch | core | pods
          list,watch | metrics.k8s.io | pods
          get,list,watch | custom.metrics.k8s.io | *
          get,list,watch | external.metrics.k8s.io | *
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:job-controller
          get,list,watch,update,patch | batch | jobs
          update | batch | jobs/status
          update | batch | jobs/finalizers
          list,watch,create,delete,patch | core | pods
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:namespace-controller
          get,list,watch,delete | core | namespaces
          update | core | namespaces/finalize,namespaces/status
          get,list,watch,delete,deletecollection | * | *
        ClusterRole system:controller:node-controller
          get,list,watch,update,delete,patch | core | nodes
          patch,update | core | nodes/status
          patch,update | core | pods/status
          list,watch,get,delete | core | pods
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:persistent-volume-binder
          get,list,watch,update,create,delete | core | persistentvolumes
          update | core | persistentvolumes/status
          get,list,watch,update | core | persistentvolumeclaims
          update | core | persistentvolumeclaims/status
          list,watch,get,create,delete | core | pods
          get,list,watch | storage.k8s.io | storageclasses
          list,watch | core | nodes
          create,update,patch | core,events.k8s.io | events
          watch | core | events
          get | core | services
        ClusterRole system:controller:pod-garbage-collector
          list,watch,delete | core | pods
          get,list,watch | core | nodes
          patch | core | pods/status
        ClusterRole system:controller:replicaset-controller
          get,list,watch,update | apps,extensions | replicasets
          update | apps,extensions | replicasets/status
          update | apps,extensions | replicasets/finalizers
          list,watch,patch,create,delete | core | pods
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:replication-controller
          get,list,watch,update | core | replicationcontrollers
          update | core | replicationcontrollers/status
          update | core | replicationcontrollers/finalizers
          list,watch,patch,create,delete | core | pods
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:resourcequota-controller
          list,watch | * | *
          update | core | resourcequotas/status
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:route-controller
          list,watch | core | nodes
          patch | core | nodes/status
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:service-account-controller
          create | core | serviceaccounts
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:service-controller
          get,list,watch | core | services
          patch,update | core | services/status
          list,watch | core | nodes
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:statefulset-controller
          list,watch | core | pods
          get,list,watch | apps | statefulsets
          update | apps | statefulsets/status
          update | apps | statefulsets/finalizers
          get,create,delete,update,patch | core | pods
          get,create,delete,update,patch,list,watch | apps | controllerrevisions
          get,create,list,watch | core | persistentvolumeclaims
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:ttl-controller
          update,patch,list,watch | core | nodes
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:certificate-controller
          get,list,watch,delete | certificates.k8s.io | certificatesigningrequests
          update | certificates.k8s.io | certificatesigningrequests/status,certificatesigningrequests/approval
          approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet
          sign | certificates.k8s.io | signers | kubernetes.io/legacy-unknown,kubernetes.io/kube-apiserver-client,\
        kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving
          create | authorization.k8s.io | subjectaccessreviews
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:pvc-protection-controller
          get,list,watch,update | core | persistentvolumeclaims
          list,watch,get | core | pods
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:pv-protection-controller
          get,list,watch,update | core | persistentvolumes
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:ttl-after-finished-controller
          get,list,watch,delete | batch | jobs
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:root-ca-cert-publisher
          create,update | core | configmaps
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:validatingadmissionpolicy-status-controller
          get,list,watch | admissionregistration.k8s.io | 
          get,patch,update | admissionregistration.k8s.io | 
          create,update,patch | core,events.k8s.io | events
        ClusterRole system:controller:legacy-service-account-token-cleaner
          get | core | configmaps | kube-apiserver-legacy-service-account-token-tracking
          patch,delete | core | secrets
        """
}
