"""Pod, namespace, node and deployment: from variables, files, and what every pod has."""

from __future__ import annotations

import pytest
from trees import Tree

from fasttrace.resource.kubernetes import kubernetes

POD = "8e3f1c52-6f0b-4c0e-9b57-0f7f6f9a8d11"
IN_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
NAMESPACE = {"var/run/secrets/kubernetes.io/serviceaccount/namespace": "shop"}
HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
10.244.1.7\tcheckout-7d4b9c8d5f-x2k9z
"""
MOUNTS = f"""\
2088 2080 259:1 /var/lib/kubelet/pods/{POD}/etc-hosts /etc/hosts rw,relatime - ext4 /dev/root rw
2089 2083 259:1 /var/lib/kubelet/pods/{POD}/containers/web/3a2f9c1d /dev/termination-log rw,relatime - ext4 /dev/root rw
"""


def test_the_downward_api_by_variables_of_any_usual_name(tree: Tree) -> None:
    expected = {
        "k8s.pod.name": "checkout-7d4b9c8d5f-x2k9z",
        "k8s.pod.uid": POD,
        "k8s.namespace.name": "shop",
        "k8s.node.name": "node-3",
        "k8s.deployment.name": "checkout",
        "k8s.replicaset.name": "checkout-7d4b9c8d5f",
        "service.name": "checkout",
    }
    for names in (
        ("K8S_POD_NAME", "K8S_POD_UID", "K8S_NAMESPACE_NAME", "K8S_NODE_NAME"),
        ("POD_NAME", "POD_UID", "POD_NAMESPACE", "NODE_NAME"),
        ("MY_POD_NAME", "MY_POD_UID", "MY_POD_NAMESPACE", "MY_NODE_NAME"),
    ):
        values = dict(zip(names, ("checkout-7d4b9c8d5f-x2k9z", POD, "shop", "node-3"), strict=True))
        assert kubernetes({**IN_POD, **values}, tree({})) == expected


def test_a_pod_that_was_told_nothing_is_known_all_the_same(tree: Tree) -> None:
    root = tree({**NAMESPACE, "etc/hosts": HOSTS, "proc/self/mountinfo": MOUNTS})
    assert kubernetes({**IN_POD, "HOSTNAME": "checkout-7d4b9c8d5f-x2k9z"}, root) == {
        "k8s.pod.name": "checkout-7d4b9c8d5f-x2k9z",
        "k8s.pod.uid": POD,
        "k8s.namespace.name": "shop",
        "k8s.container.name": "web",
        "k8s.deployment.name": "checkout",
        "k8s.replicaset.name": "checkout-7d4b9c8d5f",
        "service.name": "checkout",
    }


def test_in_the_hosts_network_the_host_is_not_taken_for_the_pod(tree: Tree) -> None:
    hosts = HOSTS.replace("hosts file.", "hosts file (host network).")
    found = kubernetes({**IN_POD, "HOSTNAME": "node-3"}, tree({**NAMESPACE, "etc/hosts": hosts}))
    assert found == {"k8s.namespace.name": "shop"}


def test_the_downward_api_by_files(tree: Tree) -> None:
    labels = (
        'app.kubernetes.io/name="checkout"\napp.kubernetes.io/version="1.4.2"\npod-template-hash="5c9"\n'
        'topology.kubernetes.io/region="eu-west-1"\ntopology.kubernetes.io/zone="eu-west-1b"\nnote="a \\"b\\""\n'
    )
    files = {"etc/podinfo/name": "web-5c9-x2k9z", "etc/podinfo/uid": f"{POD}\n", "etc/podinfo/labels": labels}
    assert kubernetes(IN_POD, tree({**NAMESPACE, **files})) == {
        "k8s.pod.name": "web-5c9-x2k9z",
        "k8s.pod.uid": POD,
        "k8s.namespace.name": "shop",
        "k8s.deployment.name": "web",
        "k8s.replicaset.name": "web-5c9",
        "service.name": "checkout",
        "service.version": "1.4.2",
        "cloud.region": "eu-west-1",
        "cloud.availability_zone": "eu-west-1b",
    }


@pytest.mark.parametrize("driver", [f"/kubepods/burstable/pod{POD}/x", f"/kubepods-pod{POD.replace('-', '_')}.slice/x"])
def test_the_cgroup_has_the_pods_uid_too(tree: Tree, driver: str) -> None:
    assert kubernetes(IN_POD, tree({"proc/self/cgroup": f"11:memory:{driver}\n"})) == {"k8s.pod.uid": POD}


@pytest.mark.parametrize(
    ("pod", "deployment"),
    [
        ("web-7d4b9c8d5f-x2k9z", "web"),
        ("my-web-api-6f8d9b7c-zzzzz", "my-web-api"),
        ("web-0", None),  # a StatefulSet
        ("agent-x2k9z", None),  # a DaemonSet
        ("backup-28391040-x2k9z", None),  # a CronJob: the digits are the minute
        ("my-little-pony", None),
        ("7d4b9c8d5f-x2k9z", None),
        ("", None),
    ],
)
def test_a_deployment_is_told_by_the_letters_of_random_names(tree: Tree, pod: str, deployment: str | None) -> None:
    assert kubernetes({"K8S_POD_NAME": pod}, tree({})).get("k8s.deployment.name") == deployment


def test_a_name_that_was_given_wins_over_one_that_was_guessed(tree: Tree) -> None:
    found = kubernetes({"K8S_POD_NAME": "web-7d4b9c8d5f-x2k9z", "K8S_DEPLOYMENT_NAME": "web-canary"}, tree({}))
    assert (found["k8s.deployment.name"], found["service.name"]) == ("web-canary", "web-canary")


def test_outside_of_a_cluster_general_names_mean_something_else(tree: Tree) -> None:
    environ = {"NODE_NAME": "built-in", "NAMESPACE": "prod", "POD_NAME": "x", "HOSTNAME": "laptop"}
    assert kubernetes(environ, tree({"etc/hosts": "127.0.0.1 localhost\n"})) == {}
