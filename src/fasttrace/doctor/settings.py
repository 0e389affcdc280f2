"""The installation, and every setting with its value and where it came from."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

from fasttrace import config, resource, sampling
from fasttrace._core import IMPL, IMPL_ERROR, IMPL_REASON
from fasttrace._distribution import distribution_name
from fasttrace._version import __version__
from fasttrace.config import Settings
from fasttrace.doctor.report import Report
from fasttrace.errors import ConfigurationError
from fasttrace.sampling import control, tail

COMPILED = (
    "for the compiled core install a wheel for this Python, or, with a C compiler (Debian: apt install gcc "
    "python3-dev), FASTTRACE_BUILD=cython pip install --force-reinstall --no-binary {name} {name}"
)

# The attributes of the resource that say where a process runs.
WHERE = (
    "service.version",
    "host.name",
    "container.id",
    "k8s.pod.name",
    "k8s.namespace.name",
    "k8s.deployment.name",
    "k8s.node.name",
    "cloud.platform",
    "cloud.region",
    "cloud.availability_zone",
)


def examine_installation(report: Report, libraries: Sequence[str]) -> None:
    """Version, implementation, Python, platform, and which libraries here are traced."""
    report.begin("installation")
    report.ok("version", __version__)
    data: dict[str, Any] = {"implementation": IMPL, "reason": IMPL_REASON}
    if IMPL_ERROR:
        chosen = IMPL_ERROR.startswith("FASTTRACE_IMPL")
        advice = "correct or unset FASTTRACE_IMPL" if chosen else COMPILED.format(name=distribution_name())
        data = {"implementation": None, "reason": IMPL_ERROR}
        report.error("implementation", IMPL_ERROR, f"`import fasttrace` raises ImportError: {advice}", **data)
    elif IMPL == "cython":
        report.ok("implementation", f"{IMPL} ({IMPL_REASON})", **data)
    else:
        chosen = IMPL_REASON.startswith("FASTTRACE_IMPL")
        advice = (
            "unset FASTTRACE_IMPL for the compiled core, if it is installed"
            if chosen
            else COMPILED.format(name=distribution_name())
        )
        report.warning("implementation", f"{IMPL}, many times slower ({IMPL_REASON})", advice, **data)
    report.ok("python", f"{platform.python_version()} ({platform.python_implementation()})")
    report.ok("platform", platform.platform())
    names = ", ".join(libraries) or "none"
    report.ok("libraries", f"{names}: by `fasttrace run` and fasttrace.instrument()", names=list(libraries))


def examine_settings(report: Report, problems: dict[str, str], spool: str | None) -> Settings:
    """Every setting; those whose variable is bad have the next value that ``configure`` would try."""
    report.begin("settings")
    for name, text in problems.items():
        report.error(name, text, "configure() raises for this: correct or unset the variable")
    environ = {name: value for name, value in os.environ.items() if name not in problems}
    with report.warnings("environment"):
        found = config.resolve({"spool_dir": spool}, environ)
        attributes = resource.build(found.service_name, {}, environ)
    for setting in config.SETTINGS:
        value, source = getattr(found, setting.name), found.sources[setting.name]
        report.ok(setting.name, f"{_shown(setting.name, value)} ({source})", value=_plain(value), source=source)
    limits = {name: getattr(found.span_limits, name) for name in found.span_limits.__slots__}
    bounds = ", ".join(f"{name}={bound}" for name, bound in limits.items() if bound is not None)
    report.ok("span_limits", bounds or "none", value=limits, source=found.sources["span_limits"])
    service = str(attributes.get("service.name", ""))
    if service.startswith("unknown_service"):
        service += ", unless the application names one: set FASTTRACE_SERVICE_NAME"
    report.ok("service.name", service)
    where = {key: str(attributes[key]) for key in WHERE if attributes.get(key)}
    report.ok("infrastructure", ", ".join(f"{key}={value}" for key, value in where.items()), **where)
    _examine_sampler(report, found, attributes)
    _examine_tail(report, found)
    _examine_control_file(report, found)
    if found.disabled:
        report.warning("disabled", "nothing is recorded", f"unset {found.sources['disabled']} to trace")
    if found.max_batch_bytes > found.max_queue_bytes:
        report.warning(
            "max_batch_bytes",
            f"{found.max_batch_bytes:,} is more than the queue holds ({found.max_queue_bytes:,})",
            "raise max_queue_bytes, or no batch is ever full",
        )
    return found


def _examine_sampler(report: Report, found: Settings, attributes: dict[str, Any]) -> None:
    try:
        with report.warnings("sampler"):
            report.ok("sampling", sampling.from_settings(found, attributes)[0].describe())
    except ConfigurationError as error:
        report.error("sampler", str(error), f"configure() raises for this: correct or unset {found.sources['sampler']}")


def _examine_tail(report: Report, found: Settings) -> None:
    try:
        rules = tail.plan(found.tail).rules
    except ConfigurationError as error:
        report.error("tail", str(error), f"configure() raises for this: correct or unset {found.sources['tail']}")
        return
    report.ok("tail rules", ",".join(rule.text for rule in rules) or "none")


def _examine_control_file(report: Report, found: Settings) -> None:
    path = control.chosen_path(found.control_file, os.environ)
    if path is None:
        return
    try:
        asked = control.load(path)
    except ConfigurationError as error:
        report.error("control file", str(error), "a new process ignores it: `fasttrace sampling reset` begins anew")
        return
    nothing = asked.ratio is None and asked.boost is None and asked.recall is None
    report.ok("control file", f"{path} asks for {'nothing' if nothing else 'changes: see `fasttrace sampling show`'}")


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, int):
        whole = name.endswith("_bytes") and value % (1 << 20) == 0
        return f"{value >> 20:,} MiB" if whole else f"{value:,} bytes" if name.endswith("_bytes") else f"{value:,}"
    if isinstance(value, float):
        if name == "max_cpu_ratio":
            return f"{value * 100:g}%"
        return f"{value / 86400:g} d" if value >= 86400 and value % 3600 == 0 else f"{value:g} s"
    return "not set" if value is None else str(value)
