"""Who made the spans, and where: the attributes of this process (OpenTelemetry semantic conventions, "Resource").

A detector is a plain function that takes the environment and gives attributes; of two that give the same one the later
wins. It reads the environment and local files and never touches the network. One that fails costs its own attributes.
"""

from __future__ import annotations

import os
import sys

from fasttrace import _log
from fasttrace.errors import ConfigurationError
from fasttrace.resource.cloud import cloud
from fasttrace.resource.container import container
from fasttrace.resource.kubernetes import kubernetes
from fasttrace.resource.process import host, operating_system, process, sdk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    Detector = Callable[[Mapping[str, str]], Mapping[str, Any]]

DETECTORS: tuple[Detector, ...] = (sdk, process, operating_system, host, container, kubernetes, cloud)
_instance: tuple[int, str] | None = None


class Detectors:
    """The detectors that a user adds: each is called once in a process, and again in a forked child."""

    __slots__ = ("_functions", "_known")

    def __init__(self, given: Iterable[Any] | None) -> None:
        try:
            functions = list(given or ())
        except TypeError:
            functions = [given]
        self._functions: list[Detector] = [_function(item) for item in functions]
        self._known: tuple[int, dict[str, Any]] | None = None

    def __call__(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """What all of them find."""
        pid = os.getpid()
        if self._known is None or self._known[0] != pid:
            found: dict[str, Any] = {}
            for function in self._functions:
                found.update(_ask(function, environ))
            self._known = pid, found
        return self._known[1]


def _function(given: Any) -> Detector:
    """A detector as a function; one of OpenTelemetry's shape has ``detect()``, which gives a Resource."""
    if callable(given) and not isinstance(given, type):
        function: Detector = given
        return function
    if callable(getattr(given, "detect", None)) and not isinstance(given, type):
        return lambda environ: given.detect().attributes
    raise ConfigurationError(
        f"resource_detectors: {given!r} is no detector: use functions that take the environment and give a dict of "
        "attributes, or objects with detect()"
    )


def _ask(detector: Detector, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        return {key: value for key, value in dict(detector(environ)).items() if value is not None}
    except Exception as error:
        name = getattr(detector, "__qualname__", type(detector).__name__)
        _log.warning(
            f"resource {name}", "the resource detector %s found nothing: %s: %s", name, type(error).__name__, error
        )
        return {}


def build(
    service_name: str | None,
    extra: Mapping[str, Any],
    environ: Mapping[str, str],
    detected: Detector | None = None,
) -> dict[str, Any]:
    """The resource's attributes, the weakest first.

    What the built-in detectors find, what ``detected`` finds, OTEL_RESOURCE_ATTRIBUTES, the service name, ``extra``.
    """
    attributes: dict[str, Any] = {}
    for detector in DETECTORS:
        attributes.update(_ask(detector, environ))
    if detected is not None:
        attributes.update(detected(environ))
    attributes.update(from_environment(environ))
    if service_name:
        attributes["service.name"] = service_name
    attributes.update(extra)
    if not attributes.get("service.name"):
        attributes["service.name"] = "unknown_service:" + (os.path.basename(sys.executable or "") or "python")
    attributes.setdefault("service.instance.id", instance_id())
    return attributes


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
