"""The library, the process and its interpreter, the operating system, the host."""

from __future__ import annotations

import os
import sys

from fasttrace._version import __version__
from fasttrace.resource.files import quoted_lines, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# OpenTelemetry's names (``host.arch``) of what uname calls a machine.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv6l": "arm32",
    "armv7l": "arm32",
    "armv8l": "arm32",
    "i386": "x86",
    "i686": "x86",
    "ppc64le": "ppc64",
}
_SYSTEMS = {"win32": "windows", "cygwin": "windows", "sunos5": "solaris"}


def sdk(environ: Mapping[str, str]) -> dict[str, Any]:
    """This library."""
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "fasttrace",
        "telemetry.sdk.version": __version__,
    }


def process(environ: Mapping[str, str]) -> dict[str, Any]:
    """The process and its interpreter. Arguments of the command stay out: they may hold passwords."""
    version = sys.version_info
    found = {
        "process.pid": os.getpid(),
        "process.parent_pid": os.getppid(),
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": f"{version.major}.{version.minor}.{version.micro}",
    }
    if sys.executable:
        found["process.executable.name"] = os.path.basename(sys.executable)
        found["process.executable.path"] = sys.executable
    command = getattr(sys, "argv", [""])[:1]
    if command and command[0]:
        found["process.command"] = command[0]
    return found


def operating_system(environ: Mapping[str, str], root: str = "/") -> dict[str, Any]:
    """Type, name and version of the operating system, and its kernel."""
    kind = _SYSTEMS.get(sys.platform, sys.platform.rstrip("0123456789"))
    found = {"os.type": kind}
    if hasattr(os, "uname"):
        uname = os.uname()
        found["os.version"] = uname.release
        found["os.description"] = f"{uname.sysname} {uname.release}"
    release = quoted_lines(read("etc/os-release", root)) if kind == "linux" else {}
    if release.get("NAME"):
        found["os.name"] = release["NAME"]
        if release.get("VERSION_ID"):
            found["os.version"] = release["VERSION_ID"]
    return found


def host(environ: Mapping[str, str]) -> dict[str, Any]:
    """The host's name and architecture."""
    if not hasattr(os, "uname"):
        name, machine = environ.get("COMPUTERNAME", ""), environ.get("PROCESSOR_ARCHITECTURE", "").lower()
    else:
        uname = os.uname()
        name, machine = uname.nodename, uname.machine
    found = {"host.name": name, "host.arch": _ARCHITECTURES.get(machine, machine)}
    return {key: value for key, value in found.items() if value}
