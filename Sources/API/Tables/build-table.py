#!/usr/bin/env python3
"""Builds the schema table from tab-separated facts about the Kubernetes API.

usage: build-table.py FACTS > ../CSchema/schema.tern

FACTS is a directory with api-resources.tsv, api-fields.tsv, proto-fields.tsv, printer-columns.tsv, field-selectors.tsv and
apiserver-answers.jsonl. The table that it prints is committed, so that building Tern needs neither the facts nor Python.
The format is described in Sources/API/API/Schema/SchemaText.swift.
"""
import json
import sys

MINOR = 33
TIERS = 3
# What this version of Tern serves; the other rows are there for decoding and for later versions.
SERVED = {
    ("", "v1"): "Namespace Node Pod ReplicationController Service Endpoints ConfigMap Secret ServiceAccount Event Binding",
    ("apps", "v1"): "ReplicaSet Deployment DaemonSet ControllerRevision",
    ("discovery.k8s.io", "v1"): "EndpointSlice",
    ("events.k8s.io", "v1"): "Event",
    ("coordination.k8s.io", "v1"): "Lease",
    ("rbac.authorization.k8s.io", "v1"): "Role RoleBinding ClusterRole ClusterRoleBinding",
    ("authentication.k8s.io", "v1"): "TokenReview SelfSubjectReview",
    ("authorization.k8s.io", "v1"):
        "SubjectAccessReview LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview",
    ("scheduling.k8s.io", "v1"): "PriorityClass",
    ("certificates.k8s.io", "v1"): "CertificateSigningRequest",
}
# Definitions of kinds that are no resources of their own.
EXTRA = """io.k8s.api.autoscaling.v1.Scale io.k8s.api.policy.v1.Eviction io.k8s.api.authentication.v1.TokenRequest
io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions io.k8s.apimachinery.pkg.apis.meta.v1.Status
io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList""".split()
# Numbers and booleans whose zero is the same as absent (upstream's Go fields are no pointers and omit zero).
DROPS_ZERO = {
    "core.v1.PodSpec": "hostNetwork hostPID hostIPC",
    "core.v1.Container": "stdin stdinOnce tty", "core.v1.EphemeralContainer": "stdin stdinOnce tty",
    "core.v1.ContainerPort": "hostPort",
    "core.v1.Probe": "initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold",
    "core.v1.VolumeMount": "readOnly", "core.v1.ServicePort": "nodePort",
    "core.v1.ServiceSpec": "publishNotReadyAddresses healthCheckNodePort",
    "core.v1.NodeSpec": "unschedulable", "core.v1.Event": "count", "core.v1.EventSeries": "count",
    "core.v1.NodeDaemonEndpoints": "", "core.v1.PodStatus": "observedGeneration", "core.v1.PodCondition": "observedGeneration",
    "core.v1.ContainerStateTerminated": "signal", "core.v1.PersistentVolumeClaimVolumeSource": "readOnly",
    "core.v1.HTTPGetAction": "", "meta.v1.ObjectMeta": "generation", "meta.v1.ListMeta": "",
    "meta.v1.Condition": "observedGeneration", "meta.v1.StatusDetails": "retryAfterSeconds", "meta.v1.Status": "code",
    "meta.v1.StatusCause": "",
    "apps.v1.DeploymentSpec": "minReadySeconds paused",
    "apps.v1.DeploymentStatus": "observedGeneration replicas updatedReplicas readyReplicas availableReplicas unavailableReplicas",
    "apps.v1.ReplicaSetSpec": "minReadySeconds",
    "apps.v1.ReplicaSetStatus": "fullyLabeledReplicas readyReplicas availableReplicas observedGeneration",
    "apps.v1.DaemonSetSpec": "minReadySeconds",
    "apps.v1.DaemonSetStatus": "observedGeneration updatedNumberScheduled numberAvailable numberUnavailable",
    "apps.v1.StatefulSetSpec": "minReadySeconds",
    "apps.v1.StatefulSetStatus": "observedGeneration readyReplicas currentReplicas updatedReplicas",
    "core.v1.ReplicationControllerSpec": "minReadySeconds",
    "core.v1.ReplicationControllerStatus": "fullyLabeledReplicas readyReplicas availableReplicas observedGeneration",
    "batch.v1.JobStatus": "active succeeded failed", "scheduling.v1.PriorityClass": "globalDefault",
    "autoscaling.v1.ScaleSpec": "replicas",
    "authentication.v1.TokenReviewStatus": "authenticated", "authorization.v1.SubjectAccessReviewStatus": "denied",
    "events.v1.Event": "deprecatedCount",
}
# Strings and lists whose emptiness means something (pointers in upstream's Go types).
KEEPS_EMPTY = {
    "core.v1.PersistentVolumeClaimSpec": "storageClassName volumeAttributesClassName", "core.v1.HostPathVolumeSource": "type",
    "discovery.v1.EndpointPort": "name protocol appProtocol", "discovery.v1.Endpoint": "hostname nodeName zone",
    "core.v1.GRPCAction": "service", "networking.v1.IngressSpec": "ingressClassName", "core.v1.ServiceSpec": "loadBalancerClass",
    "coordination.v1.LeaseSpec": "holderIdentity", "core.v1.TypedLocalObjectReference": "apiGroup",
    "core.v1.TypedObjectReference": "apiGroup", "rbac.v1.Subject": "", "core.v1.Toleration": "",
    "core.v1.SecurityContext": "", "core.v1.SeccompProfile": "localhostProfile", "core.v1.EndpointAddress": "nodeName",
    "core.v1.ISCSIVolumeSource": "initiatorName", "meta.v1.Preconditions": "uid resourceVersion", "core.v1.PodSpec": "",
    "core.v1.PodDNSConfigOption": "value", "policy.v1.PodDisruptionBudgetSpec": "unhealthyPodEvictionPolicy",
    "authorization.v1.SubjectAccessReviewSpec": "", "meta.v1.APIResourceList": "resources", "meta.v1.APIResource": "singularName verbs",
}
# Named string types of upstream that appear in messages.
GO_TYPES = {
    ("ContainerPort", "protocol"): "v1.Protocol", ("ServicePort", "protocol"): "v1.Protocol",
    ("PodSpec", "restartPolicy"): "v1.RestartPolicy", ("PodSpec", "dnsPolicy"): "v1.DNSPolicy",
    ("Container", "imagePullPolicy"): "v1.PullPolicy", ("ServiceSpec", "type"): "v1.ServiceType",
    ("ServiceSpec", "sessionAffinity"): "v1.ServiceAffinity", ("Secret", "type"): "v1.SecretType",
    ("Container", "terminationMessagePolicy"): "v1.TerminationMessagePolicy", ("Toleration", "operator"): "v1.TolerationOperator",
    ("Toleration", "effect"): "v1.TaintEffect", ("DeploymentStrategy", "type"): "v1.DeploymentStrategyType",
    ("PodStatus", "phase"): "v1.PodPhase", ("ObjectMeta", "uid"): "types.UID",
}
SCALARS = {
    "string": "s", "integer:int32": "i", "integer:int64": "l", "boolean": "b", "number:double": "d", "string:byte": "y",
    "string:date-time": "t", "object": "x", "any": "x", "numeric": "l", "integer": "l",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "q", "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "o",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "t", "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "u",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "x", "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "x",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "x",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "x",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "x",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "x",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch": "x",
}
ALL_VERBS = "create,delete,deletecollection,get,list,patch,update,watch"
PREFIXES = ["io.k8s.api.", "io.k8s.apimachinery.pkg.apis.", "io.k8s.apiextensions-apiserver.pkg.apis.",
            "io.k8s.kube-aggregator.pkg.apis."]


def rows(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if line and not line.startswith("#"):
                yield line.split("\t")


def short(name):
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix):]
    return name


def is_old_enough(since):
    if since.startswith("<="):
        return True
    return since.startswith("1.") and since[2:].isdigit() and int(since[2:]) <= MINOR


def read_fields(facts):
    """definition -> (type of the whole, {field: row})"""
    whole, fields = {}, {}
    for row in rows(f"{facts}/api-fields.tsv"):
        if row[0] == "definition":
            continue
        row += [""] * (11 - len(row))
        if row[1] == ".":
            whole[row[0]] = row[2]
        elif is_old_enough(row[10]):
            fields.setdefault(row[0], {})[row[1]] = row
    return whole, fields


def read_numbers(facts):
    numbers = {}
    for row in rows(f"{facts}/proto-fields.tsv"):
        if row[0] != "message":
            numbers.setdefault(row[0], {})[row[1]] = (row[2], row[3])
    return numbers


def field_numbers(definition, names, numbers):
    """JSON field name -> "2.5": embedded messages of upstream are inline in JSON."""
    message = definition.replace("io.k8s.", "k8s.io.", 1)
    lower = {name.lower(): name for name in names}
    found = {}
    for name, (number, kind) in numbers.get(message, {}).items():
        if name in names:
            found[name] = number
        elif name.lower() in lower:
            found[lower[name.lower()]] = number
        elif kind in numbers:
            inner = field_numbers(kind.replace("k8s.io.", "io.k8s.", 1), names, numbers)
            if inner and set(inner) <= set(names):
                for key, path in inner.items():
                    found.setdefault(key, f"{number}.{path}")
    return found


def type_code(text, whole):
    if text in SCALARS:
        return SCALARS[text]
    if text.startswith("[]"):
        return "[" + type_code(text[2:], whole)
    if text.startswith("map[") and text.endswith("]"):
        return "{" + type_code(text[4:-1], whole)
    if text in whole:
        return "@" + short(text)
    raise SystemExit(f"unknown type {text}")


def references(text):
    while text.startswith("[]") or text.startswith("map["):
        text = text[2:] if text.startswith("[]") else text[4:-1]
    return None if text in SCALARS else text


def closure(roots, fields):
    seen, todo = set(), list(roots)
    while todo:
        name = todo.pop()
        if name in seen or name in SCALARS:
            continue
        seen.add(name)
        for row in fields.get(name, {}).values():
            inner = references(row[2])
            if inner:
                todo.append(inner)
    return seen


def field_row(definition, row, number, whole):
    _, name, kind, required, list_type, keys, strategy, merge_key, default, enum, _ = row[:11]
    key = short(definition)
    out = ["F", name, type_code(kind, whole), number]
    if required == "req":
        out.append("r")
    if list_type == "map" and keys:
        out.append("L" + keys)
    elif kind.startswith("[]") and list_type:
        out.append("L" + list_type[0])
    elif list_type == "atomic":
        out.append("A")
    strategies = strategy.split(",")
    if "merge" in strategies:
        out.append("M" + merge_key)
    if "retainKeys" in strategies:
        out.append("K")
    if default and default not in ('""', "{}", "0", "false"):
        out.append("D" + default)
    if enum and enum != "union":
        out.append("E" + enum)
    if name in DROPS_ZERO.get(key, "").split():
        out.append("z")
    if name in KEEPS_EMPTY.get(key, "").split():
        out.append("e")
    go_type = GO_TYPES.get((definition.split(".")[-1], name))
    if go_type:
        out.append("g" + go_type)
    return "\t".join(out)


def read_columns(facts):
    columns = {}
    for group, kind, order, name, kind_of, style, priority in rows(f"{facts}/printer-columns.tsv"):
        # Newer servers show no count of secrets that accounts no longer have.
        if group != "group" and (kind, name) != ("ServiceAccount", "Secrets"):
            columns.setdefault(("" if group == "core" else group, kind), []).append((name, kind_of, style, priority))
    return columns


def read_selectors(facts):
    selectors = {}
    for row in rows(f"{facts}/field-selectors.tsv"):
        labels = [label for label in row[3].split(",") if label not in ("metadata.name", "metadata.namespace")]
        selectors[("" if row[0] == '""' else row[0], row[1], row[2])] = labels if len(row) > 3 else []
    return selectors


def served_minors(text):
    return any(
        int(part.split("-")[0].split(".")[1]) <= MINOR <= int(part.split("-")[-1].split(".")[1].rstrip("b"))
        for part in text.split(",") if "." in part)


def full_kind(group, text):
    parts = text.split("/")
    return text if len(parts) == 3 or not group else f"{group[0]}/{group[1]}/{parts[-1]}".lstrip("/")


def print_resources(facts, kinds):
    columns, selectors = read_columns(facts), read_selectors(facts)
    for row in rows(f"{facts}/api-resources.tsv"):
        if row[0] == "group" or int(row[15]) > TIERS or not served_minors(row[10]):
            continue
        group = "" if row[0] == '""' else row[0]
        version, kind = row[1], row[2]
        definition = kinds.get(f"{group}/{version}/{kind}".lstrip("/"))
        if not definition:
            print(f"no definition for {group}/{version}/{kind}", file=sys.stderr)
            continue
        flags = ("n" if row[6] == "true" else "") + ("s" if kind in SERVED.get((group, version), "").split() else "")
        verbs = "*" if row[7] == ALL_VERBS else row[7]
        labels = ",".join(selectors.get((group, version, kind), []))
        print("\t".join(["R", group, version, kind, row[3], row[4], row[5], flags, verbs, row[8], short(definition), labels]))
        for item in filter(None, row[9].split(";")):
            name, target, sub_verbs = item.split(":")
            print("\t".join(["S", name, full_kind((group, version), target), sub_verbs]))
        shown = ("", kind) if (group, kind) == ("events.k8s.io", "Event") else (group, kind)
        for column in columns.get(shown, []):
            print("\t".join(["C", *column]))
        yield definition


def main(facts):
    whole, fields = read_fields(facts)
    numbers = read_numbers(facts)
    kinds = {kind: name for name, kind in whole.items() if "/" in kind and "(" not in kind}
    roots = set(print_resources(facts, kinds)) | set(EXTRA)
    roots |= {name + "List" for name in roots if name + "List" in whole}
    for definition in sorted(closure(roots, fields)):
        kind = whole.get(definition, "")
        print("\t".join(["T", short(definition), kind if "/" in kind and "(" not in kind else ""]))
        paths = field_numbers(definition, list(fields.get(definition, {})), numbers)
        for name, row in sorted(fields.get(definition, {}).items()):
            print(field_row(definition, row, paths.get(name, ""), whole))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
