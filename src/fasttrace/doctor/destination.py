"""The exporter that would be used: where its spans go, as whom, and whether it is answered."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from fasttrace import config, export
from fasttrace.config import Settings
from fasttrace.doctor import network
from fasttrace.doctor.report import Report
from fasttrace.errors import FasttraceError
from fasttrace.export.base import masked
from fasttrace.export.http import proxy_for

# Nothing to reach, and making one would leave a file or a folder behind.
LOCAL = ("spool", "jsonlines", "console", "memory", "none")
# What follows OTEL_EXPORTER_OTLP_ or OTEL_EXPORTER_OTLP_TRACES_.
OTLP_NAMES = (
    "ENDPOINT",
    "HEADERS",
    "TIMEOUT",
    "COMPRESSION",
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
    "PROTOCOL",
    "INSECURE",
)


def examine_destination(report: Report, settings: Settings, *, offline: bool, timeout: float) -> Any:
    """The exporter and its receiver; gives the exporter, closed, or None for one that writes here."""
    report.begin("exporter")
    name = settings.exporter
    _examine_variables(report)
    if name in LOCAL:
        _examine_local(report, name, settings)
        return None
    try:
        with report.warnings("environment"):
            exporter = export.create(name, settings)
    except FasttraceError as error:
        report.error("exporter", f"{name}: {error}", "configure() raises for this")
        return None
    try:
        report.ok("exporter", f"{name} ({type(exporter).__name__})", exporter=name)
        _examine_receiver(report, name, exporter, offline, timeout)
    finally:
        exporter.shutdown(0)
    return exporter


def _examine_local(report: Report, name: str, settings: Settings) -> None:
    source = settings.sources["exporter"]
    if name in ("memory", "none"):
        lost = "are kept in memory only" if name == "memory" else "are recorded and dropped"
        report.warning("exporter", f"{name}: spans {lost} ({source})", exporter=name)
        return
    where = {"spool": "the local spool, see below", "console": "standard error"}.get(name, settings.jsonlines_path)
    report.ok("exporter", f"{name}: {where} ({source})", exporter=name)
    if name == "jsonlines":
        path = settings.jsonlines_path
        exists = os.path.exists(path)
        if not os.access(path if exists else os.path.dirname(os.path.abspath(path)), os.W_OK) or os.path.isdir(path):
            report.error(
                "file", f"{path} can't be written", "set FASTTRACE_JSONLINES_PATH to a file in a folder that is yours"
            )


def _examine_variables(report: Report) -> None:
    """The OTLP variables: unknown ones are mistyped."""
    for name in sorted(os.environ):
        if not name.startswith("OTEL_EXPORTER_OTLP_") or not os.environ[name].strip():
            continue
        rest = name.removeprefix("OTEL_EXPORTER_OTLP_").removeprefix("TRACES_")
        if rest.startswith(("METRICS_", "LOGS_")):
            continue
        if rest not in OTLP_NAMES:
            near = get_close_matches(rest, OTLP_NAMES, 1, 0.6)
            hint = f"did you mean {name.removesuffix(rest)}{near[0]}?" if near else f"known are {', '.join(OTLP_NAMES)}"
            report.warning(name, "not known, and ignored", hint)


def _source(exporter: str) -> str:
    """The variable that an endpoint comes from."""
    for name in ("OTEL_EXPORTER_ZIPKIN_ENDPOINT",) if exporter == "zipkin" else config.ENDPOINTS:
        if os.environ.get(name, "").strip():
            return name
    return "default"


def _examine_receiver(report: Report, name: str, exporter: Any, offline: bool, timeout: float) -> None:
    endpoint = getattr(exporter, "endpoint", None)
    if not isinstance(endpoint, str):
        report.ok("receiver", "none to reach")
        return
    shown = masked(endpoint)
    report.ok("endpoint", f"{shown} ({_source(name)})", endpoint=shown)
    names = sorted(set(getattr(exporter, "header_names", ())) - {"content-type"})
    report.ok("headers", ", ".join(f"{header}: set" for header in names) or "none", names=names)
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme, 4317)
    except ValueError:  # whose text may hold a piece of a password
        report.error("endpoint", f"{shown} is no URL", "use a URL such as http://localhost:4318/v1/traces")
        return
    proxy = proxy_for(endpoint)[0] if parts.scheme in ("http", "https") else ""
    if proxy:
        variable = f"{parts.scheme}_proxy"
        report.ok("proxy", f"{masked(proxy)} ({variable})", "no_proxy=<host> goes without it", proxy=masked(proxy))
    if offline:
        report.ok("receiver", "not tried (--offline)")
        return
    try:
        at = urlsplit(proxy) if proxy else None
        if at is not None:
            host, port = at.hostname or "", at.port or (443 if at.scheme == "https" else 80)
    except ValueError:
        report.error("proxy", f"{masked(proxy)} is no URL", f"correct {parts.scheme}_proxy")
        return
    if network.examine_connection(report, host, port, timeout):
        network.examine_answer(report, exporter, None if proxy else (host, port), timeout)
