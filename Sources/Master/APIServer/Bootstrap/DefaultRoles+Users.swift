// Default RBAC: the roles that people are given, and the ones that are aggregated into them.
// Facts of Kubernetes, in the notation
// that DefaultRoles.swift explains. A line that ends with a backslash goes on in the next one.
// Nothing here is code; a test parses all of it.

extension DefaultRoles {
    static let usersText = """
        ClusterRole system:aggregate-to-view
          get,list,watch | core | pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,\
        services/status,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,configmaps
          get,list,watch | core | limitranges,resourcequotas,bindings,events,pods/status,resourcequotas/status,\
        namespaces/status,replicationcontrollers/status,pods/log
          get,list,watch | core | namespaces
          get,list,watch | discovery.k8s.io | endpointslices
          get,list,watch | apps | controllerrevisions,statefulsets,statefulsets/status,statefulsets/scale,daemonsets,\
        daemonsets/status,deployments,deployments/status,deployments/scale,replicasets,replicasets/status,\
        replicasets/scale
          get,list,watch | autoscaling | horizontalpodautoscalers,horizontalpodautoscalers/status
          get,list,watch | batch | jobs,cronjobs,cronjobs/status,jobs/status
          get,list,watch | extensions | daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,\
        ingresses,ingresses/status,replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale,\
        networkpolicies
          get,list,watch | policy | poddisruptionbudgets,poddisruptionbudgets/status
          get,list,watch | networking.k8s.io | networkpolicies,ingresses,ingresses/status
        ClusterRole system:aggregate-to-edit
          get,list,watch | core | pods/attach,pods/proxy,pods/exec,pods/portforward,secrets,services/proxy
          impersonate | core | serviceaccounts
          create,update,patch,delete,deletecollection | core | pods,pods/attach,pods/proxy,pods/exec,pods/portforward
          create | core | pods/eviction
          create,update,patch,delete,deletecollection | core | replicationcontrollers,replicationcontrollers/scale,\
        serviceaccounts,services,services/proxy,persistentvolumeclaims,configmaps,secrets,events
          create | core | serviceaccounts/token
          create,update,patch,delete,deletecollection | apps | statefulsets,statefulsets/scale,daemonsets,deployments,\
        deployments/scale,deployments/rollback,replicasets,replicasets/scale
          create,update,patch,delete,deletecollection | autoscaling | horizontalpodautoscalers
          create,update,patch,delete,deletecollection | batch | jobs,cronjobs
          create,update,patch,delete,deletecollection | extensions | daemonsets,deployments,deployments/scale,\
        deployments/rollback,ingresses,replicasets,replicasets/scale,replicationcontrollers/scale,networkpolicies
          create,update,patch,delete,deletecollection | policy | poddisruptionbudgets
          create,update,patch,delete,deletecollection | networking.k8s.io | networkpolicies,ingresses
          get,list,watch,create,update,patch,delete,deletecollection | coordination.k8s.io | leases
        ClusterRole cluster-admin
          * | * | *
          url * *
        ClusterRole admin
          aggregate rbac.authorization.k8s.io/aggregate-to-admin:true
        ClusterRole edit
          aggregate rbac.authorization.k8s.io/aggregate-to-edit:true
        ClusterRole view
          aggregate rbac.authorization.k8s.io/aggregate-to-view:true
        ClusterRole system:aggregate-to-admin
          create | authorization.k8s.io | localsubjectaccessreviews
          get,list,watch,create,update,patch,delete,deletecollection | rbac.authorization.k8s.io | roles,rolebindings
        """
}
