"""What every setting comes to: argument of ``configure``, then ``FASTTRACE_*``, then ``OTEL_*``, then the default.

A bad ``FASTTRACE_*`` value or name raises ConfigurationError; a bad ``OTEL_*`` value warns and counts as
unset, as OpenTelemetry's specification has it (Environment Variable Specification, "Parsing empty value").
"""

from __future__ import annotations

from fasttrace._core import SpanLimits
from fasttrace.config.table import CONFIGURATION_FILES, ENDPOINTS, LIMITS, SETTINGS, Setting
from fasttrace.config.values import (
    EXPORTERS,
    INSTRUMENTATIONS,
    NO_LIMIT_SECONDS,
    PROPAGATORS,
    milliseconds,
    seconds,
)
from fasttrace.config.variables import check_names, known_names
from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from fasttrace.config.table import Variables

__all__ = [
    "ENDPOINTS",
    "EXPORTERS",
    "INSTRUMENTATIONS",
    "LIMITS",
    "PROPAGATORS",
    "SETTINGS",
    "Setting",
    "Settings",
    "check_argument",
    "check_names",
    "from_environment",
    "known_names",
    "problems",
    "refuse",
    "resolve",
    "span_limits",
    "timeout",
]


class Settings:
    """The value of every setting as an attribute; ``sources`` says where each came from."""

    service_name: str | None
    sampler: Any
    sampler_argument: str | None
    tail: Any
    incident: Any
    control_file: str | None
    max_cpu_ratio: float | None
    exporter: Any
    propagators: list[Any] | None
    max_queue_spans: int
    max_queue_bytes: int
    max_batch_spans: int
    max_batch_bytes: int
    schedule_delay: float
    exit_timeout: float
    baggage_attributes: tuple[str, ...]
    spool_dir: str | None
    spool_max_bytes: int
    spool_max_age: float | None
    undelivered_dir: str | None
    undelivered_max_bytes: int
    flush_on_sigterm: bool
    instrument: tuple[str, ...]
    instrument_not: tuple[str, ...]
    skip_paths: Any
    capture_headers: tuple[str, ...]
    request_durations: bool
    jsonlines_path: str
    disabled: bool
    span_limits: SpanLimits

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}


def resolve(arguments: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The settings for arguments that are not None, an environment and the defaults.

    Raises ConfigurationError for a bad argument or FASTTRACE_* variable, naming it, its value and what is accepted.
    """
    check_names(environ)
    _tell_unread(environ)
    settings = Settings()
    for setting in SETTINGS:
        value, source = _find(setting, arguments, environ)
        setattr(settings, setting.name, value)
        settings.sources[setting.name] = source
    if settings.exporter is None:
        endpoint = next((name for name in ENDPOINTS if environ.get(name, "").strip()), None)
        settings.exporter = "otlp" if endpoint else "spool"
        settings.sources["exporter"] = endpoint or "default"
    given = arguments.get("span_limits")
    settings.span_limits = span_limits(environ) if given is None else given
    settings.sources["span_limits"] = "environment" if given is None else "argument"
    if settings.max_batch_spans > settings.max_queue_spans:
        settings.max_batch_spans = settings.max_queue_spans
    return settings


def _tell_unread(environ: Mapping[str, str]) -> None:
    """OpenTelemetry's file would take the place of all variables: whoever relies on it must know."""
    for variable in CONFIGURATION_FILES:
        if environ.get(variable, "").strip():
            import warnings

            warnings.warn(
                f"{variable} is not read: give what it says of traces as variables (OTEL_*, FASTTRACE_*) or to "
                "configure()",
                RuntimeWarning,
                stacklevel=2,
            )


def _find(setting: Setting, arguments: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Any, str]:
    given = arguments.get(setting.name)
    if given is not None:
        return _argument(setting, given), "argument"
    return _read(setting.variables, environ) or (setting.default, "default")


def _read(variables: Variables, environ: Mapping[str, str]) -> tuple[Any, str] | None:
    """The value of the first of the variables that is set and good, and its name."""
    for variable, read in variables:
        raw = environ.get(variable, "")
        if not raw.strip():
            continue
        try:
            return read(raw), variable
        except ValueError as error:
            refuse(variable, raw, str(error))
    return None


def _argument(setting: Setting, given: Any) -> Any:
    try:
        return setting.read(given)
    except ValueError as error:
        raise ConfigurationError(f"{setting.name}={given!r}: use {error}") from None


def check_argument(name: str, given: Any) -> Any:
    """The value of one argument that is not a setting of the provider; ConfigurationError for a bad one."""
    return next(_argument(setting, given) for setting in SETTINGS if setting.name == name)


def from_environment(name: str, environ: Mapping[str, str]) -> Any:
    """The value of one setting, whatever the others are."""
    return next(_find(setting, {}, environ)[0] for setting in SETTINGS if setting.name == name)


def refuse(variable: str, value: str, accepted: str) -> None:
    """A bad value of a variable: FASTTRACE_* raises, OTEL_* warns and counts as unset."""
    message = f"{variable}={value!r}: use {accepted}"
    if variable.startswith("FASTTRACE_"):
        raise ConfigurationError(message)
    import warnings

    warnings.warn(f"{message}; it is ignored", RuntimeWarning, stacklevel=2)


def timeout(given: float | None, variable: str, text: str, default: float) -> float:
    """Seconds: those given, else a variable's milliseconds, else the default.

    0 is no limit (OpenTelemetry, "Common Configuration", "Timeout"). Raises ConfigurationError for what is given.
    """
    found = default
    if given is not None:
        try:
            found = seconds(given)
        except ValueError as error:
            raise ConfigurationError(f"timeout={given!r}: use {error}") from None
    elif text:
        try:
            found = milliseconds(text)
        except ValueError as error:
            refuse(variable, text, str(error))
    return min(found or NO_LIMIT_SECONDS, NO_LIMIT_SECONDS)


def span_limits(environ: Mapping[str, str]) -> SpanLimits:
    """The span limits of the environment (OpenTelemetry, "Attribute Limits" and "Span Limits")."""
    read = {name: _read(variables, environ) for name, variables in LIMITS.items()}
    return SpanLimits(**{name: found[0] for name, found in read.items() if found is not None})


def problems(environ: Mapping[str, str]) -> dict[str, str]:
    """What ``resolve`` raises for, by variable; without these it raises for none."""
    found: dict[str, str] = {}
    for name in sorted(environ):
        if name.startswith("FASTTRACE_"):
            only = {name: environ[name]}
            try:
                check_names(only)
                for setting in SETTINGS:
                    _find(setting, {}, only)
            except ConfigurationError as error:
                found[name] = str(error)
    return found
