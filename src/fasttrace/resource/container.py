"""The container, from the kernel's view of this process; outside of one, the host's id."""

from __future__ import annotations

import os

from fasttrace.resource.files import CGROUP, MOUNTS, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_HEXADECIMAL = frozenset("0123456789abcdef")
# What an engine puts into a container from its own folder, the surest first.
_OWN_FILES = ("/run/.containerenv", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")


def container(environ: Mapping[str, str], root: str = "/") -> dict[str, Any]:
    """``container.id``, or ``host.id`` where there is no container."""
    found = (
        from_cgroup(read(CGROUP, root)) or from_mounts(read(MOUNTS, root), "KUBERNETES_SERVICE_HOST" in environ)
    ) or _from_ecs(environ)
    if found:
        return {"container.id": found}
    if "KUBERNETES_SERVICE_HOST" in environ or any(
        os.path.exists(root + mark) for mark in (".dockerenv", "run/.containerenv")
    ):
        return {}
    machine = read("etc/machine-id", root).strip()
    return {"host.id": machine} if _is_id(machine, 32) else {}


def from_cgroup(text: str) -> str:
    """The id in /proc/self/cgroup: version 1, or version 2 without a namespace of its own.

    ``/docker/ID``, ``/kubepods/burstable/podUID/ID``, ``/system.slice/docker-ID.scope``,
    ``/kubepods.slice/.../cri-containerd-ID.scope``, ``/machine.slice/libpod-ID.scope/container``, ``/ecs/TASK/ID``.
    """
    for line in text.splitlines():
        for segment in reversed(line.rpartition(":/")[2].split("/")):
            found = _id_of(segment)
            if found:
                return found
    return ""


def _id_of(segment: str) -> str:
    name = segment.removesuffix(".scope").removesuffix(".service").rpartition(":")[2]
    if _is_fargate(name):
        return name
    last = name.rpartition("-")[2]
    return last if _is_id(last, 64) else ""


def from_mounts(text: str, in_pod: bool = False) -> str:
    """The id in /proc/self/mountinfo, for version 2, whose cgroup says no more than ``0::/``.

    Only where the engine mounts its own files over ours: a host shows the folders of its containers, too. In a pod all
    but one of these files belong to the sandbox, which is another container.
    """
    found = dict(_owners(text))
    if in_pod or "/pods/" in text:
        return found.get(_OWN_FILES[0], "")
    return next((found[path] for path in _OWN_FILES if path in found), "")


def _owners(text: str) -> Iterator[tuple[str, str]]:
    """Mount points of ours, each with the id in the folder that it shows."""
    for source, point in mounts(text):
        if point in _OWN_FILES:
            for folder in ("/overlay-containers/", "/containers/"):
                name = source.rpartition(folder)[2].partition("/")[0]
                if _is_id(name, 64):
                    yield point, name


def mounts(text: str) -> Iterator[tuple[str, str]]:
    """What of its file system each mount shows, and where; proc(5)."""
    for line in text.splitlines():
        fields = line.split(" ", 5)
        if len(fields) > 5:
            yield fields[3], fields[4].replace("/var/run/", "/run/")


def _from_ecs(environ: Mapping[str, str]) -> str:
    """The last part of the address at which a task of Amazon's ECS asks about itself."""
    name = environ.get("ECS_CONTAINER_METADATA_URI_V4", "").rpartition("/")[2]
    return name if _is_fargate(name) or _is_id(name, 64) else ""


def _is_fargate(name: str) -> bool:
    task, dash, number = name.partition("-")
    return bool(dash) and _is_id(task, 32) and number.isascii() and number.isdigit()


def _is_id(name: str, length: int) -> bool:
    return len(name) == length and _HEXADECIMAL.issuperset(name)
