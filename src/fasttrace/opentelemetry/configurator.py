"""What ``opentelemetry-instrument`` calls: traces are ours, metrics and logs stay with the SDK where it is there."""

from __future__ import annotations

import os

from fasttrace import _log
from fasttrace.opentelemetry import plugins
from fasttrace.opentelemetry.provider import TracerProvider, install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# OpenTelemetry's names of exporters, and ours; what else is named is looked up among the entry points.
_NATIVE = {
    "otlp_proto_http": "otlp-http",
    "otlp_proto_grpc": "otlp-grpc",
    "zipkin_json": "zipkin",
    "zipkin": "zipkin",
    **{name: name for name in ("otlp-grpc", "jsonlines", "memory", "spool")},
}
_GROUP = "opentelemetry_traces_exporter"


class FasttraceConfigurator:
    """Installs our provider; a configurator as ``opentelemetry.sdk._configuration`` has them, without needing it."""

    def configure(self, **kwargs: Any) -> None:
        """Set up traces, then metrics and logs; takes what the SDK's configurator takes."""
        attributes = dict(kwargs.get("resource_attributes") or {})
        version = kwargs.get("auto_instrumentation_version")
        if version:
            attributes["telemetry.auto.version"] = version
        _traces(kwargs, attributes)
        try:
            from opentelemetry.sdk import _configuration as stock
        except ImportError:
            return  # without the SDK there are no metrics and logs to set up
        try:
            _others(stock, kwargs, attributes)
        except Exception as error:
            _log.line("ERROR", "metrics and logs are not set up: %s: %s", type(error).__name__, error)


def _traces(given: dict[str, Any], attributes: dict[str, Any]) -> None:
    native, foreign = chosen_exporters(given.get("trace_exporter_names") or ())
    arguments: dict[str, Any] = {
        "sampler": plugins.chosen_sampler() if given.get("sampler") is None else given["sampler"],
        "id_generator": plugins.chosen_id_generator() if given.get("id_generator") is None else given["id_generator"],
        "resource": attributes or None,
        "exporter": native,
    }
    arguments = {name: value for name, value in arguments.items() if value is not None}
    provider = install(**arguments)
    for processor in given.get("span_processors") or ():
        provider.add_span_processor(processor)
    for name in foreign:
        _add_foreign(provider, name, given)


def chosen_exporters(more: Iterable[str]) -> tuple[Any, list[str]]:
    """The native exporter that OTEL_TRACES_EXPORTER names, None for the default one; names of those of others."""
    named = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")]
    names = [name for name in (*more, *named) if name]
    if not names:
        return None, []
    native: Any = None
    foreign: list[str] = []
    for name in dict.fromkeys(_by_protocol(name.lower()) for name in names if name.lower() != "none"):
        if name in _NATIVE and native is None:
            native = _created(_NATIVE[name])
        elif name == "console" and native is None and not _has_sdk():
            native = name
        else:
            foreign.append(name)
    return "none" if native is None else native, foreign


def _has_sdk() -> bool:
    try:
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        return False
    return True


def _by_protocol(name: str) -> str:
    """Which exporter ``otlp`` is: by its variable, else gRPC's where OpenTelemetry's is installed, as with its SDK."""
    if name != "otlp":
        return name
    from fasttrace.export import otlp_base

    if otlp_base.variable("PROTOCOL")[1]:
        return "otlp_proto_grpc" if otlp_base.protocol() == "grpc" else "otlp_proto_http"
    return "otlp_proto_http" if plugins.entry(_GROUP, "otlp_proto_grpc") is None else "otlp_proto_grpc"


def _created(name: str) -> Any:
    from fasttrace import export

    if name == "otlp-http":
        return export.OTLPExporter()
    return export.OTLPGrpcExporter() if name == "otlp-grpc" else name


def _add_foreign(provider: TracerProvider, name: str, given: dict[str, Any]) -> None:
    """An exporter of others, behind the SDK's batch processor; what can't be had is told and left out."""
    try:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.line("ERROR", "OTEL_TRACES_EXPORTER: %r needs opentelemetry-sdk, which is not installed", name)
        return
    entry = plugins.entry(_GROUP, name)
    if entry is None:
        _log.line("ERROR", "OTEL_TRACES_EXPORTER: no installed package has an exporter %r", name)
        return
    kind = entry.load()
    exporter = kind(**(given.get("exporter_args_map") or {}).get(kind, {}))
    provider.add_span_processor((given.get("export_span_processor") or BatchSpanProcessor)(exporter))


def _others(stock: Any, given: dict[str, Any], attributes: dict[str, Any]) -> None:
    """Metrics and logs, by the SDK's own steps."""
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create(attributes)
    _, metrics, logs = stock._import_exporters(
        [],
        [*(given.get("metric_exporter_names") or ()), *stock._get_exporter_names("metrics")],
        [*(given.get("log_exporter_names") or ()), *stock._get_exporter_names("logs")],
    )
    handler = given.get("setup_logging_handler")
    if handler is None:
        word = os.environ.get("OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED", "false")
        handler = word.strip().lower() == "true"
    shared = {name: value for name, value in given.items() if value is not None}
    _call(stock._init_metrics, metrics, resource, shared)
    _call(stock._init_logging, logs, resource, {**shared, "setup_logging_handler": handler})


def _call(step: Any, exporters: Any, resource: Any, arguments: dict[str, Any]) -> None:
    """One of the SDK's steps, with those arguments that this version of it takes."""
    import inspect

    taken = inspect.signature(step).parameters
    step(exporters, resource, **{name: value for name, value in arguments.items() if name in taken})
