"""Who made the spans: the attributes of this process (OpenTelemetry semantic conventions, "Resource").

A detector is a function that takes the environment and gives attributes; later ones win.
"""

from __future__ import annotations

import os
import sys

from fasttrace._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_instance: tuple[int, str] | None = None


def build(service_name: str | None, extra: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The resource's attributes: detected, then OTEL_RESOURCE_ATTRIBUTES, then the service name, then ``extra``."""
    attributes: dict[str, Any] = {}
    for detector in (sdk, process, host):
        attributes.update(detector(environ))
    attributes.update(from_environment(environ))
    if service_name:
        attributes["service.name"] = service_name
    attributes.update(extra)
    if not attributes.get("service.name"):
        attributes["service.name"] = "unknown_service:" + (os.path.basename(sys.executable or "") or "python")
    attributes.setdefault("service.instance.id", instance_id())
    return attributes


def sdk(environ: Mapping[str, str]) -> dict[str, Any]:
    """This library."""
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "fasttrace",
        "telemetry.sdk.version": __version__,
    }


def process(environ: Mapping[str, str]) -> dict[str, Any]:
    """The process and its interpreter."""
    version = sys.version_info
    return {
        "process.pid": os.getpid(),
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": f"{version.major}.{version.minor}.{version.micro}",
    }


def host(environ: Mapping[str, str]) -> dict[str, Any]:
    """The host's name."""
    name = os.uname().nodename if hasattr(os, "uname") else environ.get("COMPUTERNAME", "")
    return {"host.name": name} if name else {}


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """OTEL_RESOURCE_ATTRIBUTES: ``key=value,key=value``, values percent-encoded; all or nothing."""
    raw = environ.get("OTEL_RESOURCE_ATTRIBUTES", "").strip()
    if not raw:
        return {}
    from urllib.parse import unquote

    attributes: dict[str, Any] = {}
    for pair in raw.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            import warnings

            warnings.warn(
                f"OTEL_RESOURCE_ATTRIBUTES: {pair!r} is not key=value; the variable is ignored",
                RuntimeWarning,
                stacklevel=2,
            )
            return {}
        attributes[key.strip()] = unquote(value.strip())
    return attributes


def instance_id() -> str:
    """A random UUID (version 4) that stays the same in this process and changes in a forked child."""
    global _instance
    pid = os.getpid()
    if _instance is None or _instance[0] != pid:
        digits = bytearray(os.urandom(16))
        digits[6] = digits[6] & 0x0F | 0x40
        digits[8] = digits[8] & 0x3F | 0x80
        text = digits.hex()
        _instance = pid, f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return _instance[1]
