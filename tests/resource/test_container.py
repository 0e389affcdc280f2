"""The container's id, in what the kernel shows to a process in one."""

from __future__ import annotations

import pytest
from trees import Tree

from fasttrace.resource.container import container

ID = "5af31b1902af9231c0738a1ca2144cefbf87870c2615de1b24a96f65602833e6"
SANDBOX = "c1b0a2e5a1f34b3d9f6d0a86f5a2a8dd5c6ea3c1f16f6c1fd4a4c7f7fd2f8a55"
POD = "8e3f1c52-6f0b-4c0e-9b57-0f7f6f9a8d11"
CONTROLLERS = ("12:pids", "4:memory", "2:cpu,cpuacct", "1:name=systemd")


def version_1(path: str) -> str:
    """/proc/self/cgroup with one line for each controller."""
    return "".join(f"{controller}:{path}\n" for controller in CONTROLLERS) + f"0::{path}\n"


CGROUPS = {
    "docker": version_1(f"/docker/{ID}"),
    "docker, systemd": version_1(f"/system.slice/docker-{ID}.scope"),
    "docker in docker": version_1(f"/docker/{SANDBOX}/docker/{ID}"),
    "docker, version 2, the host's namespace": f"0::/system.slice/docker-{ID}.scope\n",
    "podman": version_1(f"/libpod_parent/libpod-{ID}"),
    "podman, rootless": f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container\n",
    "containerd": version_1(f"/default/{ID}"),
    "kubepods": version_1(f"/kubepods/burstable/pod{POD}/{ID}"),
    "kubepods, systemd": version_1(
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice/cri-containerd-{ID}.scope"
    ),
    "kubepods, cri-o": version_1(
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{POD.replace('-', '_')}.slice/crio-{ID}.scope"
    ),
    "kubepods, drivers that differ": f"0::/system.slice/containerd.service/kubepods-burstable-pod{POD.replace('-', '_')}.slice:cri-containerd:{ID}\n",
    "systemd in the container": version_1(f"/docker/{ID}/system.slice/app.service"),
    "ecs on ec2": version_1(f"/ecs/0123456789abcdef0123456789abcdef/{ID}"),
}
MOUNTS = {
    "docker": f"""\
636 591 0:52 / / rw,relatime master:254 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/WQ:/var/lib/docker/overlay2/l/3T,upperdir=/var/lib/docker/overlay2/90b0/diff
637 636 0:55 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
641 640 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw
644 636 254:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw
645 636 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw
646 636 254:1 /var/lib/docker/containers/{ID}/hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw
""",
    "docker desktop": f"""\
521 440 0:99 / / rw,relatime - overlay overlay rw
529 521 254:1 /docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw,discard
530 521 254:1 /docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw,discard
""",
    "podman": f"""\
73 48 0:40 / / rw,nodev,relatime - overlay overlay rw,lowerdir=/,upperdir=/run/containers/storage/overlay-containers/{ID}/rootfs/upper
79 73 254:0 /run/containers/storage/overlay-containers/{SANDBOX}/userdata/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda rw
80 73 254:0 /run/containers/storage/overlay-containers/{SANDBOX}/userdata/hosts /etc/hosts rw,relatime - ext4 /dev/vda rw
82 73 254:0 /run/containers/storage/overlay-containers/{ID}/userdata/.containerenv /run/.containerenv rw,relatime - ext4 /dev/vda rw
83 73 254:0 /run/containers/storage/overlay-containers/{ID}/userdata/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw
""",
}
KUBELET = f"""\
2080 1950 0:243 / / rw,relatime - overlay overlay rw,upperdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/914/fs
2088 2080 259:1 /var/lib/kubelet/pods/{POD}/etc-hosts /etc/hosts rw,relatime - ext4 /dev/root rw
2089 2083 259:1 /var/lib/kubelet/pods/{POD}/containers/web/3a2f9c1d /dev/termination-log rw,relatime - ext4 /dev/root rw
2090 2080 259:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/{SANDBOX}/hostname /etc/hostname rw,relatime - ext4 /dev/root rw
2091 2080 259:1 /var/lib/docker/containers/{SANDBOX}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/root rw
"""
HOST = f"""\
24 30 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
30 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
512 30 0:49 / /var/lib/docker/containers/{ID}/mounts/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k
"""


@pytest.mark.parametrize("name", CGROUPS)
def test_the_cgroup_names_the_container(tree: Tree, name: str) -> None:
    assert container({}, tree({"proc/self/cgroup": CGROUPS[name]})) == {"container.id": ID}


@pytest.mark.parametrize("name", MOUNTS)
def test_the_mounts_name_it_where_the_cgroup_is_hidden(tree: Tree, name: str) -> None:
    root = tree({"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": MOUNTS[name]})
    assert container({}, root) == {"container.id": ID}


def test_the_sandbox_of_a_pod_is_not_taken_for_the_container(tree: Tree) -> None:
    assert container({}, tree({"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": KUBELET})) == {}


def test_a_container_of_cri_o_in_a_pod_is_found_by_its_own_file(tree: Tree) -> None:
    line = f"90 80 0:24 /containers/storage/overlay-containers/{ID}/userdata/.containerenv /run/.containerenv rw - tmpfs tmpfs rw\n"
    assert container({}, tree({"proc/self/mountinfo": KUBELET + line})) == {"container.id": ID}


def test_a_host_of_containers_is_in_none_and_has_its_own_id(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n",
            "proc/self/mountinfo": HOST,
            "etc/machine-id": "7e1a5c1c0f6c4be5a3df3dfb5c8e0a0b\n",
        }
    )
    assert container({}, root) == {"host.id": "7e1a5c1c0f6c4be5a3df3dfb5c8e0a0b"}


def test_an_images_machine_id_is_nobodys(tree: Tree) -> None:
    files = {"proc/self/cgroup": "0::/\n", "etc/machine-id": "7e1a5c1c0f6c4be5a3df3dfb5c8e0a0b\n"}
    assert container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tree(files)) == {}
    assert container({}, tree({**files, "run/.containerenv": ""})) == {}


def test_a_task_of_fargate_is_known_by_its_cgroup_or_its_address(tree: Tree) -> None:
    task = "0123456789abcdef0123456789abcdef-1234567890"
    address = {"ECS_CONTAINER_METADATA_URI_V4": f"http://169.254.170.2/v4/{task}"}
    assert container(address, tree({})) == {"container.id": task}
    cgroup = version_1(f"/ecs/0123456789abcdef0123456789abcdef/{task}")
    assert container({}, tree({"proc/self/cgroup": cgroup})) == {"container.id": task}


def test_damaged_and_hostile_files_give_nothing(tree: Tree) -> None:
    for text in ("", "\n::\n", "0::/docker/" + "z" * 64, "0::/" + "a" * 65, "\udcff" * 3, "0::/docker/" + ID.upper()):
        assert container({}, tree({"proc/self/cgroup": text.encode("utf-8", "replace").decode()})) == {}
    assert container({}, tree({"proc/self/mountinfo": "1 2 3\n\n - - -\n" + "x " * 9})) == {}
