"""The pod: from variables and files of the downward API, and from what every pod has without being asked."""

from __future__ import annotations

from fasttrace.resource.container import mounts
from fasttrace.resource.files import CGROUP, MOUNTS, quoted_lines, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# The letters of Kubernetes' random names: without vowels, 0, 1 and 3, so that no word is among them.
_RANDOM = frozenset("bcdfghjklmnpqrstvwxz2456789")
_NAMESPACE_FILE = "var/run/secrets/kubernetes.io/serviceaccount/namespace"
_POD_FILES = "etc/podinfo/"
# The first line that the kubelet writes; in the host's network it ends otherwise, and HOSTNAME is the node's.
_MANAGED_HOSTS = "# Kubernetes-managed hosts file.\n"

# Variables of manifests that people write. Those that begin with K8S_ are believed anywhere, the others in a pod.
_VARIABLES = {
    "k8s.pod.name": (
        "K8S_POD_NAME",
        "POD_NAME",
        "MY_POD_NAME",
        "KUBERNETES_POD_NAME",
        "OTEL_RESOURCE_ATTRIBUTES_POD_NAME",
    ),
    "k8s.pod.uid": ("K8S_POD_UID", "POD_UID", "MY_POD_UID", "KUBERNETES_POD_UID"),
    "k8s.pod.ip": ("K8S_POD_IP", "POD_IP", "MY_POD_IP", "KUBERNETES_POD_IP"),
    "k8s.namespace.name": (
        "K8S_NAMESPACE_NAME",
        "K8S_NAMESPACE",
        "K8S_POD_NAMESPACE",
        "POD_NAMESPACE",
        "MY_POD_NAMESPACE",
        "KUBERNETES_NAMESPACE",
        "NAMESPACE",
    ),
    "k8s.node.name": (
        "K8S_NODE_NAME",
        "NODE_NAME",
        "MY_NODE_NAME",
        "KUBERNETES_NODE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME",
    ),
    "k8s.deployment.name": ("K8S_DEPLOYMENT_NAME", "DEPLOYMENT_NAME", "MY_DEPLOYMENT_NAME"),
    "k8s.container.name": ("K8S_CONTAINER_NAME", "CONTAINER_NAME", "MY_CONTAINER_NAME"),
    "k8s.cluster.name": ("K8S_CLUSTER_NAME", "CLUSTER_NAME"),
}
# Files of a downward API volume; the names are the manifest's choice, these are usual.
_FILES = {
    "k8s.pod.name": ("name", "pod_name", "podname", "pod-name"),
    "k8s.pod.uid": ("uid", "pod_uid", "poduid", "pod-uid"),
    "k8s.namespace.name": ("namespace", "pod_namespace", "podnamespace", "pod-namespace"),
}
_LABELS = {
    "app.kubernetes.io/name": "service.name",
    "app.kubernetes.io/version": "service.version",
    "topology.kubernetes.io/region": "cloud.region",
    "topology.kubernetes.io/zone": "cloud.availability_zone",
}


def kubernetes(environ: Mapping[str, str], root: str = "/") -> dict[str, Any]:
    """Pod, namespace, node, deployment and container as far as they can be known without asking the cluster."""
    found = _first({name: value for name, value in environ.items() if name.startswith("K8S_")})
    namespace = read(_NAMESPACE_FILE, root).strip()
    managed_hosts = read("etc/hosts", root).startswith(_MANAGED_HOSTS)
    in_pod = bool(namespace) or managed_hosts or "KUBERNETES_SERVICE_HOST" in environ
    if not in_pod and not found:
        return {}
    found = {**_from_kernel(root), **_first(environ)} if in_pod else found
    labels = quoted_lines(read(_POD_FILES + "labels", root))
    for key, names in _FILES.items():
        if key not in found:
            found[key] = next(filter(None, (read(_POD_FILES + name, root).strip() for name in names)), "")
    found["k8s.namespace.name"] = found["k8s.namespace.name"] or namespace
    if not found["k8s.pod.name"] and managed_hosts:
        found["k8s.pod.name"] = environ.get("HOSTNAME", "")
    for key, name in _owners(found["k8s.pod.name"], labels.get("pod-template-hash", "")).items():
        found.setdefault(key, name)
    for label, key in _LABELS.items():
        found[key] = labels.get(label, "")
    found["service.name"] = found["service.name"] or found.get("k8s.deployment.name", "")
    return {key: value for key, value in found.items() if value}


def _first(environ: Mapping[str, str]) -> dict[str, str]:
    found = {key: next(filter(None, map(environ.get, names)), "") for key, names in _VARIABLES.items()}
    return {key: value for key, value in found.items() if value}


def _owners(pod: str, template_hash: str) -> dict[str, str]:
    """Deployment and ReplicaSet of a pod ``NAME-HASH-RANDOM``.

    Pods of other kinds, ``NAME-RANDOM`` and ``NAME-0``, do not say which kind it is.
    """
    replica_set, _, random = pod.rpartition("-")
    deployment, _, digits = replica_set.rpartition("-")
    if not deployment or len(random) != 5 or not _RANDOM.issuperset(random):
        return {}
    if digits != template_hash and (template_hash or len(digits) not in range(6, 11) or not _RANDOM.issuperset(digits)):
        return {}
    return {"k8s.deployment.name": deployment, "k8s.replicaset.name": replica_set}


def _from_kernel(root: str) -> dict[str, str]:
    """The pod's uid and the container's name, as the kubelet's folders and cgroups have them."""
    found = {}
    for source, point in mounts(read(MOUNTS, root)):
        _, _, path = source.partition("/pods/")
        parts = path.split("/")
        if point == "/etc/hosts" and parts[1:] == ["etc-hosts"]:
            found["k8s.pod.uid"] = parts[0]
        elif point == "/dev/termination-log" and parts[1:2] == ["containers"] and len(parts) == 4:
            found["k8s.pod.uid"], found["k8s.container.name"] = parts[0], parts[2]
    if not found:
        uid = _uid_in_cgroup(read(CGROUP, root))
        if uid:
            found["k8s.pod.uid"] = uid
    return found


def _uid_in_cgroup(text: str) -> str:
    for line in text.splitlines():
        for segment in line.split("/"):
            _, marked, uid = segment.partition(":")[0].removesuffix(".slice").rpartition("pod")
            if marked and len(uid) == 36:
                return uid.replace("_", "-")
    return ""
