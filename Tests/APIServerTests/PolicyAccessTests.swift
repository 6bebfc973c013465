// Who asks, what they may, and how a refusal reads.
import API
import APIServer
import NetPKI
import Testing

@Suite struct PolicyAuthorizationTests {
    private func refusal(_ request: RequestAttributes, _ reader: MemoryReader = .cluster) throws -> String? {
        let decision = try Fixture.policy().access.authorize(request, reader: reader)
        return decision.outcome == .allowed ? nil : Status.forbidden(request, reason: decision.reason).message
    }

    @Test func `refusals read as upstream's`() throws {
        let jane = Fixture.user("jane")
        #expect(
            try refusal(Fixture.request(jane, "list", .configMaps, namespace: "oracle"))
                == #"configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "oracle""#
        )
        #expect(
            try refusal(Fixture.request(jane, "get", .pods, subresource: "log", namespace: "oracle", name: "p"))
                == #"pods "p" is forbidden: User "jane" cannot get resource "pods/log" in API group "" in the namespace "oracle""#
        )
        #expect(
            try refusal(Fixture.request(jane, "get", .nodes, subresource: "proxy", name: "n1"))
                == #"nodes "n1" is forbidden: User "jane" cannot get resource "nodes/proxy" in API group "" at the cluster scope"#
        )
        let path = RequestAttributes(user: jane, verb: "post", isResourceRequest: false, path: "/metrics")
        #expect(try refusal(path) == #"forbidden: User "jane" cannot post path "/metrics""#)
    }

    @Test func `discovery is everybody's who has a name, health is everybody's`() throws {
        let access = try Fixture.policy().access
        let health = RequestAttributes(
            user: Fixture.user("bob"), verb: "get", isResourceRequest: false, path: "/healthz")
        let decision = access.authorize(health, reader: MemoryReader.cluster)
        #expect(decision.outcome == .allowed)
        #expect(decision.reason.hasPrefix("RBAC: allowed by ClusterRoleBinding \"system:"))
        #expect(
            try refusal(RequestAttributes(user: .anonymous, verb: "get", isResourceRequest: false, path: "/livez"))
                == nil)
        #expect(
            try refusal(RequestAttributes(user: .anonymous, verb: "get", isResourceRequest: false, path: "/apis"))
                != nil)
        #expect(
            try refusal(
                RequestAttributes(user: Fixture.user("a"), verb: "get", isResourceRequest: false, path: "/apis/apps/v1")
            ) == nil)
    }

    @Test func `a role binding gives what its role says, in its namespace`() throws {
        var reader = MemoryReader.cluster
        reader.add(
            .roles,
            [
                "metadata": ["name": "r", "namespace": "oracle"],
                "rules": [
                    ["apiGroups": [""], "resources": ["pods", "*/scale"], "resourceNames": ["a"], "verbs": ["get"]]
                ]
            ])
        reader.add(
            .roleBindings,
            [
                "metadata": ["name": "b", "namespace": "oracle"], "roleRef": ["kind": "Role", "name": "r"],
                "subjects": [["kind": "ServiceAccount", "name": "default", "namespace": "oracle"]]
            ])
        let account = Fixture.user("system:serviceaccount:oracle:default")
        #expect(try refusal(Fixture.request(account, "get", .pods, namespace: "oracle", name: "a"), reader) == nil)
        #expect(
            try refusal(
                Fixture.request(
                    account, "get", .replicationControllers, subresource: "scale", namespace: "oracle", name: "a"),
                reader) == nil)
        #expect(try refusal(Fixture.request(account, "get", .pods, namespace: "oracle", name: "b"), reader) != nil)
        #expect(try refusal(Fixture.request(account, "get", .pods, namespace: "other", name: "a"), reader) != nil)
        #expect(try refusal(Fixture.request(account, "delete", .pods, namespace: "oracle", name: "a"), reader) != nil)
    }

    @Test func `edit takes in view, admin takes in edit`() throws {
        var reader = MemoryReader.cluster
        reader.add(
            .clusterRoleBindings,
            [
                "metadata": ["name": "x"], "roleRef": ["kind": "ClusterRole", "name": "admin"],
                "subjects": [["kind": "User", "name": "jane"]]
            ])
        #expect(
            try refusal(Fixture.request(Fixture.user("jane"), "list", .configMaps, namespace: "oracle"), reader) == nil)
        #expect(
            try refusal(Fixture.request(Fixture.user("jane"), "create", .deployments, namespace: "oracle"), reader)
                == nil)
        #expect(try refusal(Fixture.request(Fixture.user("jane"), "list", .nodes), reader) != nil)
    }

    @Test func `a kubelet reads what its pods use, and no more`() throws {
        var reader = MemoryReader.cluster
        reader.add(
            .pods,
            [
                "metadata": ["name": "p", "namespace": "oracle", "uid": "p-uid"],
                "spec": [
                    "nodeName": "n1", "serviceAccountName": "default", "volumes": [["secret": ["secretName": "s"]]],
                    "containers": [["env": [["valueFrom": ["configMapKeyRef": ["name": "c"]]]]]]
                ]
            ])
        let node = Fixture.node("n1")
        let other = Fixture.node("n2")
        #expect(try refusal(Fixture.request(node, "get", .secrets, namespace: "oracle", name: "s"), reader) == nil)
        #expect(try refusal(Fixture.request(node, "get", .configMaps, namespace: "oracle", name: "c"), reader) == nil)
        #expect(
            try refusal(
                Fixture.request(
                    node, "create", .serviceAccounts, subresource: "token", namespace: "oracle", name: "default"),
                reader) == nil)
        #expect(
            try refusal(Fixture.request(other, "get", .secrets, namespace: "oracle", name: "s"), reader)?
                .hasSuffix("no relationship found between node 'n2' and this object") == true)
        #expect(try refusal(Fixture.request(node, "get", .secrets, namespace: "oracle", name: "t"), reader) != nil)
        #expect(
            try refusal(Fixture.request(node, "update", .leases, namespace: "kube-node-lease", name: "n1"), reader)
                == nil)
        #expect(
            try refusal(Fixture.request(node, "update", .leases, namespace: "kube-node-lease", name: "n2"), reader)
                != nil)
        #expect(try refusal(Fixture.request(node, "update", .nodes, subresource: "status", name: "n1"), reader) == nil)
        #expect(
            try refusal(
                Fixture.request(node, "create", GroupVersionResource("authentication.k8s.io", "v1", "tokenreviews")),
                reader) == nil)
        #expect(try refusal(Fixture.request(node, "list", .endpointSlices), reader) == nil)
    }

    @Test func `nobody grants more than they hold`() throws {
        let policy = try Fixture.policy()
        var reader = MemoryReader.cluster
        reader.add(
            .roles,
            [
                "metadata": ["name": "rolemgr", "namespace": "oracle"],
                "rules": [
                    [
                        "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"],
                        "verbs": ["create"]
                    ],
                    ["apiGroups": [""], "resources": ["services"], "verbs": ["*"]]
                ]
            ])
        reader.add(
            .roleBindings,
            [
                "metadata": ["name": "rolemgr", "namespace": "oracle"], "roleRef": ["kind": "Role", "name": "rolemgr"],
                "subjects": [["kind": "User", "name": "jane"]]
            ])
        func create(_ resource: GroupVersionResource, _ object: JSON) -> String? {
            let request = Fixture.request(Fixture.user("jane"), "create", resource, namespace: "oracle")
            do { try policy.admission.validate(Fixture.write(.create, request, object), reader: reader) } catch {
                return error.message
            }
            return nil
        }
        let rule: JSON = ["apiGroups": ["", "apps"], "resources": ["secrets", "pods"], "verbs": ["get", "*"]]
        let text =
            #"roles.rbac.authorization.k8s.io "esc" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC "#
            + "permissions not currently held:\n"
            + #"{APIGroups:[""], Resources:["pods"], Verbs:["get" "*"]}"# + "\n"
            + #"{APIGroups:[""], Resources:["secrets"], Verbs:["get" "*"]}"# + "\n"
            + #"{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "*"]}"# + "\n"
            + #"{APIGroups:["apps"], Resources:["secrets"], Verbs:["get" "*"]}"#
        #expect(create(.roles, ["metadata": ["name": "esc"], "rules": [rule]]) == text)
        #expect(
            create(
                .roles,
                [
                    "metadata": ["name": "ok"],
                    "rules": [["apiGroups": [""], "resources": ["services"], "verbs": ["get"]]]
                ]) == nil)
        let binding: JSON = [
            "metadata": ["name": "esc"], "roleRef": ["kind": "ClusterRole", "name": "cluster-admin"], "subjects": []
        ]
        #expect(
            create(.roleBindings, binding)?.hasSuffix(
                #"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"# + "\n" + #"{NonResourceURLs:["*"], Verbs:["*"]}"#)
                == true)
    }
}

@Suite struct PolicyAuthenticationTests {
    private func credentials(
        _ token: String? = nil, certificate: Credentials.Certificate? = nil,
        _ headers: [(name: String, value: String)] = []
    ) -> Credentials {
        Credentials(certificate: certificate, bearerToken: token, impersonation: headers, now: Fixture.now)
    }

    @Test func `a certificate names its user, no credentials are anonymous, a bad token is refused`() throws {
        let access = try Fixture.policy().access
        let reader = MemoryReader.cluster
        let user = try access.authenticate(
            credentials(certificate: .init(commonName: "jane", organizations: ["devs"])), reader: reader)
        #expect(user == UserInfo(name: "jane", groups: ["devs", "system:authenticated"]))
        #expect(try access.authenticate(credentials(), reader: reader) == .anonymous)
        #expect(
            #expect(throws: StatusError.self) { try access.authenticate(credentials("zz"), reader: reader) }?.code
                == 401)
        #expect(
            try access.authenticate(credentials("admintoken"), reader: reader).groups == [
                "system:masters", "system:authenticated"
            ])
    }

    private func issue(_ policy: Policy, _ spec: JSON, _ reader: MemoryReader) throws -> String {
        let request = Fixture.request(
            Fixture.user("admin", ["system:masters"]), "create", .serviceAccounts, subresource: "token",
            namespace: "oracle", name: "default")
        let account = reader.get(.serviceAccounts, namespace: "oracle", name: "default")
        let answer = try policy.reviews.create(
            request, ["spec": spec], parent: account, reader: reader, now: Fixture.now)
        return answer?["status", "token"]?.string ?? ""
    }

    @Test func `an account's token ends with the account`() throws {
        let policy = try Fixture.policy()
        var reader = MemoryReader.cluster
        let token = try issue(policy, [:], reader)
        let user = try policy.access.authenticate(credentials(token), reader: reader)
        #expect(user.name == "system:serviceaccount:oracle:default")
        #expect(user.groups == ["system:serviceaccounts", "system:serviceaccounts:oracle", "system:authenticated"])
        var late = credentials(token)
        late.now += 3601
        #expect(throws: StatusError.self) { try policy.access.authenticate(late, reader: reader) }
        reader.objects[.serviceAccounts] = [:]
        #expect(throws: StatusError.self) { try policy.access.authenticate(credentials(token), reader: reader) }
        reader.add(.serviceAccounts, ["metadata": ["name": "default", "namespace": "oracle", "uid": "another"]])
        #expect(throws: StatusError.self) { try policy.access.authenticate(credentials(token), reader: reader) }
    }

    @Test func `a pod's token ends with the pod`() throws {
        let policy = try Fixture.policy()
        var reader = MemoryReader.cluster
        let spec: JSON = [
            "boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": "p"], "expirationSeconds": 3607
        ]
        #expect(
            #expect(throws: StatusError.self) { try issue(policy, spec, reader) }?.message == #"pods "p" not found"#)
        reader.add(
            .pods,
            [
                "metadata": ["name": "p", "namespace": "oracle", "uid": "p-uid"],
                "spec": ["serviceAccountName": "default"]
            ])
        let token = try issue(policy, spec, reader)
        let user = try policy.access.authenticate(credentials(token), reader: reader)
        #expect(user.extra["authentication.kubernetes.io/pod-name"] == ["p"])
        reader.objects[.pods] = [:]
        #expect(throws: StatusError.self) { try policy.access.authenticate(credentials(token), reader: reader) }
    }

    @Test func `a token for another audience is not for us`() throws {
        let policy = try Fixture.policy()
        let reader = MemoryReader.cluster
        let token = try issue(policy, ["audiences": ["a"]], reader)
        #expect(throws: StatusError.self) { try policy.access.authenticate(credentials(token), reader: reader) }
        #expect(
            #expect(throws: StatusError.self) { try issue(policy, ["expirationSeconds": 5], reader) }?.lines
                == ["spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"])
    }

    @Test func `a bootstrap token authenticates until it expires`() throws {
        let access = try Fixture.policy().access
        var reader = MemoryReader.cluster
        func encoded(_ text: String) -> JSON { .string(Base64.encode(Array(text.utf8))) }
        reader.add(
            .secrets,
            [
                "metadata": ["name": "bootstrap-token-abcdef", "namespace": "kube-system"],
                "type": "bootstrap.kubernetes.io/token",
                "data": [
                    "token-id": encoded("abcdef"), "token-secret": encoded("0123456789abcdef"),
                    "usage-bootstrap-authentication": encoded("true"),
                    "auth-extra-groups": encoded("system:bootstrappers:tern"),
                    "expiration": encoded("2023-11-14T22:13:30Z")
                ]
            ])
        let user = try access.authenticate(credentials("abcdef.0123456789abcdef"), reader: reader)
        #expect(user.name == "system:bootstrap:abcdef")
        #expect(user.groups == ["system:bootstrappers", "system:bootstrappers:tern", "system:authenticated"])
        #expect(throws: StatusError.self) {
            try access.authenticate(credentials("abcdef.0123456789abcdee"), reader: reader)
        }
        var late = credentials("abcdef.0123456789abcdef")
        late.now += 60
        #expect(throws: StatusError.self) { try access.authenticate(late, reader: reader) }
    }

    @Test func `impersonation needs a name and the right to it`() throws {
        let access = try Fixture.policy().access
        let reader = MemoryReader.cluster
        let jane = try access.authenticate(
            credentials(
                "admintoken",
                [
                    ("impersonate-user", "jane"), ("impersonate-group", "devs"), ("impersonate-uid", "u-1"),
                    ("impersonate-extra-scopes", "view")
                ]), reader: reader)
        #expect(
            jane
                == UserInfo(
                    name: "jane", uid: "u-1", groups: ["devs", "system:authenticated"], extra: ["scopes": ["view"]]))
        let nameless = #expect(throws: StatusError.self) {
            try access.authenticate(credentials("admintoken", [("impersonate-group", "devs")]), reader: reader)
        }
        #expect(
            nameless?.message
                == #"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"devs"}, Extra:map[string][]string(nil)} without impersonating a user name"#
        )
        let refused = #expect(throws: StatusError.self) {
            try access.authenticate(
                credentials(certificate: .init(commonName: "bob", organizations: []), [("impersonate-user", "x")]),
                reader: reader)
        }
        #expect(
            refused?.message
                == #"users "x" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope"#
        )
    }
}

@Suite struct PolicyReviewTests {
    private static let authorization = "authorization.k8s.io"

    private func review(
        _ resource: String, _ spec: JSON, group: String = authorization, user: UserInfo = Fixture.user("jane"),
        namespace: String = ""
    ) throws -> JSON? {
        let request = Fixture.request(user, "create", GroupVersionResource(group, "v1", resource), namespace: namespace)
        return try Fixture.policy().reviews.create(
            request, ["spec": spec], parent: nil, reader: MemoryReader.cluster, now: Fixture.now)
    }

    @Test func `access reviews answer for oneself and for others`() throws {
        let asked: JSON = ["namespace": "oracle", "verb": "get", "resource": "pods", "group": ""]
        let own = try review("selfsubjectaccessreviews", ["resourceAttributes": asked])
        #expect(own?["status"] == ["allowed": false])
        #expect(own?["spec", "resourceAttributes", "group"] == nil)
        let masters = try review("subjectaccessreviews", ["groups": ["system:masters"], "resourceAttributes": asked])
        #expect(masters?["status"] == ["allowed": true])
    }

    @Test func `a review must ask exactly one thing of somebody`() throws {
        func lines(_ resource: String, _ spec: JSON, _ namespace: String = "") -> [String] {
            do { _ = try review(resource, spec, namespace: namespace) } catch {
                return (error as? StatusError)?.lines ?? []
            }
            return []
        }
        let asked: JSON = ["namespace": "other", "verb": "get", "resource": "pods"]
        #expect(
            lines("selfsubjectaccessreviews", [:])
                == [
                    "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
                ])
        #expect(
            lines("subjectaccessreviews", ["resourceAttributes": asked]) == [
                #"spec.user: Invalid value: "": at least one of user or group must be specified"#
            ])
        #expect(
            lines("localsubjectaccessreviews", ["user": "x", "resourceAttributes": asked], "oracle")
                == [#"spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace"#])
    }

    @Test func `token reviews tell whose token it is`() throws {
        let good = try review("tokenreviews", ["token": "admintoken"], group: "authentication.k8s.io")
        #expect(
            good?["status", "user"] == [
                "username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]
            ])
        let bad = try review("tokenreviews", ["token": "zz"], group: "authentication.k8s.io")
        #expect(bad?["status"] == ["user": [:], "error": "invalid bearer token"])
    }

    @Test func `who am I`() throws {
        let answer = try review("selfsubjectreviews", [:], group: "authentication.k8s.io")
        #expect(answer?["status", "userInfo"] == ["username": "jane", "groups": ["system:authenticated"]])
    }

    @Test func `the rules of a user are listed for a namespace`() throws {
        let answer = try review("selfsubjectrulesreviews", ["namespace": "oracle"])
        #expect(answer?["status", "incomplete"] == false)
        #expect(
            answer?["status", "resourceRules"]?.elements.contains {
                $0["resources"]?.elements.contains("selfsubjectaccessreviews") == true
            } == true)
        #expect(
            #expect(throws: StatusError.self) { try review("selfsubjectrulesreviews", [:]) }?.message
                == "no namespace on request")
    }
}
