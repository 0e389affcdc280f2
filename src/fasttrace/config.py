"""One table of settings: argument of ``configure``, then ``FASTTRACE_*``, then ``OTEL_*``, then the default.

A bad ``FASTTRACE_*`` value or name raises ConfigurationError; a bad ``OTEL_*`` value warns and counts as
unset, as OpenTelemetry's specification has it (Environment Variable Specification, "Parsing empty value").
"""

from __future__ import annotations

from fasttrace._core import SpanLimits
from fasttrace._core.layout import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_SPANS
from fasttrace.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

PROPAGATORS = (
    "tracecontext",
    "baggage",
    "b3",
    "b3multi",
    "jaeger",
    "datadog",
    "xray",
    "plain",
    "binary",
    "env",
    "none",
)
# Files of ``integrations``, in the order in which they are instrumented.
INSTRUMENTATIONS = (
    "starlette",
    "fastapi",
    "flask",
    "django",
    "uvicorn",
    "gunicorn",
    "httpx",
    "requests",
    "aiohttp",
    "urllib3",
    "http_client",
    "sqlite3",
    "psycopg",
    "psycopg_pool",
    "sqlalchemy",
    "redis",
    "celery",
    "aiokafka",
    "confluent_kafka",
    "grpc",
    "logging",
    "structlog",
    "loguru",
)
EXPORTERS = ("otlp", "otlp-grpc", "zipkin", "jsonlines", "console", "memory", "spool", "none")

# Read elsewhere: by the core's dispatcher, by what `fasttrace run` starts, by setup.py and tools/peers.
_READ_ELSEWHERE = (
    "FASTTRACE_IMPL",
    "FASTTRACE_RUN_ANNOUNCE",
    "FASTTRACE_PEERS",
    "FASTTRACE_BUILD",
    "FASTTRACE_BUILD_TRACE",
    "FASTTRACE_BUILD_ANNOTATE",
    "FASTTRACE_BUILD_DEBUG",
    "FASTTRACE_BUILD_CFLAGS",
    "FASTTRACE_BUILD_LDFLAGS",
)
# What Kubernetes sets in every pod of a namespace that has a Service called fasttrace.
_FROM_KUBERNETES = ("FASTTRACE_PORT", "FASTTRACE_SERVICE_HOST", "FASTTRACE_SERVICE_PORT")


# --- how values are read; each raises ValueError with what is accepted


def text(value: Any) -> str:
    """Text as it is, without surrounding blanks."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text")
    return value.strip()


def boolean(value: Any) -> bool:
    """true or false, also 1, 0, yes, no, on, off."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError("true or false")


def _digits(value: str) -> bool:
    return value.isascii() and value.isdigit()


def count(value: Any) -> int:
    """A whole number of at least 1; ``10k`` is 10,000."""
    if isinstance(value, str):
        word = value.strip().lower()
        factor = {"k": 1_000, "m": 1_000_000}.get(word[-1:], 1)
        word = word[:-1] if factor > 1 else word
        value = int(word) * factor if _digits(word) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number of at least 1, such as 512 or 10k")
    return value


_SIZES = {"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "kb": 1000, "m": 1 << 20, "mib": 1 << 20, "mb": 1000**2}
_SIZES |= {"g": 1 << 30, "gib": 1 << 30, "gb": 1000**3}


def size(value: Any) -> int:
    """Bytes: a whole number, or one with k, KiB, kB, MiB, MB, GiB, GB."""
    if isinstance(value, str):
        word = value.strip().lower()
        number = word.rstrip("kmgib ")
        factor = _SIZES.get(word[len(number) :].strip())
        value = int(number) * factor if factor and _digits(number) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a size in bytes of at least 1, such as 1048576, 512k or 16MiB")
    return value


_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: Any) -> float:
    """Seconds: a number of 0 or more, or one with ms, s, m, h or d."""
    if isinstance(value, str):
        word = value.strip().lower()
        number = word.rstrip("msinhd ")
        factor = _UNITS.get(word[len(number) :].strip())
        value = float(number) * factor if factor and number.replace(".", "", 1).isdigit() and number.isascii() else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise ValueError("a time of 0 or more, such as 1, 0.5, 500ms or 2s")
    return float(value)


def age(value: Any) -> float | None:
    """Seconds above 0, as ``seconds`` takes them; None for ``none``."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    accepted = "a time above 0, such as 12h or 7d, or none"
    try:
        found = seconds(value)
    except ValueError:
        raise ValueError(accepted) from None
    if not found:
        raise ValueError(accepted)
    return found


def milliseconds(value: Any) -> float:
    """A whole number of milliseconds, as OpenTelemetry has it; gives seconds."""
    word = str(value).strip()
    if not _digits(word):
        raise ValueError("a whole number of milliseconds")
    return int(word) / 1000


def share(value: Any) -> float:
    """A share above 0: a number up to 1, or a percentage."""
    if isinstance(value, str):
        word = value.strip()
        digits = word.removesuffix("%").strip()
        if not (digits.isascii() and digits.replace(".", "", 1).isdigit()):
            value = None
        else:
            value = float(digits) / (100 if word.endswith("%") else 1)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise ValueError("a share above 0 and up to 1, such as 0.03 or 3%")
    return float(value)


def limit(value: Any) -> int | None:
    """A span limit: a whole number of 0 or more."""
    word = str(value).strip()
    if not _digits(word):
        raise ValueError("a whole number of 0 or more")
    return int(word)


def exporter(value: Any) -> Any:
    """An exporter object, or one of the names."""
    if not isinstance(value, str):
        missing = [name for name in ("export", "flush", "shutdown") if not callable(getattr(value, name, None))]
        if not missing:
            return value
        methods = f"export(batch), flush(timeout) and shutdown(timeout); it has no {' and no '.join(missing)}"
        raise ValueError(f"one of {', '.join(EXPORTERS)}, or an object with {methods}")
    word = value.strip().lower()
    if word in EXPORTERS:
        return word
    hint = {
        "jaeger": "Jaeger takes OTLP: use otlp with OTEL_EXPORTER_OTLP_ENDPOINT=http://<jaeger>:4318, or otlp-grpc "
        "with port 4317",
        "otlp_proto_http": "use otlp",
        "otlp_proto_grpc": "use otlp-grpc",
        "logging": "use console",
    }.get(word)
    raise ValueError((f"{hint}; " if hint else "") + f"one of {', '.join(EXPORTERS)}")


def names(value: Any) -> tuple[str, ...]:
    """Names, or text of names with commas between; each once."""
    parts = value.split(",") if isinstance(value, str) else list(value)
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("names")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def excluded_urls(value: Any) -> Any:
    """Regular expressions with commas between, one pattern of all, searched in URLs (opentelemetry-util-http)."""
    import re

    try:
        return re.compile("|".join(part.strip() for part in str(value).split(",") if part.strip()))
    except re.error as error:
        raise ValueError(f"regular expressions with commas between; {error}") from None


def instrumentations(value: Any) -> tuple[str, ...]:
    """Names of integrations with commas between, or ``all``, or ``none``."""
    found = tuple(name.lower().replace("-", "_") for name in names(value))
    for name in found:
        if name not in (*INSTRUMENTATIONS, "all", "none"):
            raise ValueError(f"all, none, or names of {', '.join(INSTRUMENTATIONS)}; not {name}")
    return found


def propagators(value: Any) -> list[Any]:
    """A list of objects and names, or names with commas between."""
    found: list[Any] = []
    for item in value.split(",") if isinstance(value, str) else value:
        word = item.strip().lower() if isinstance(item, str) else item
        if isinstance(word, str) and word and word not in PROPAGATORS:
            raise ValueError(f"names of {', '.join(PROPAGATORS)}, or objects with extract and inject; not {word}")
        if word != "" and word not in found:
            found.append(word)
    return found


def otel_propagators(value: str) -> list[Any]:
    """As ``propagators``; ``fasttrace``, the name of all of ours to OpenTelemetry, stands for the default ones."""
    words = [word.strip().lower() for word in value.split(",")]
    return propagators(",".join("tracecontext,baggage" if word == "fasttrace" else word for word in words))


def state_folder(environ: Mapping[str, str]) -> str:
    """The user's folder for what outlives a process: fasttrace in ``$XDG_STATE_HOME`` or ``~/.local/state``.

    XDG Base Directory Specification; ``%LOCALAPPDATA%`` on Windows.
    """
    import os

    if os.name == "nt":
        base = environ.get("LOCALAPPDATA") or os.path.expanduser("~")
    else:
        base = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "fasttrace")


def anything(value: Any) -> Any:
    """As it is: its own module reads it."""
    return value


class Setting:
    """One row: the attribute and argument, its default, its meaning, and the variables in order with their readers."""

    __slots__ = ("default", "meaning", "name", "read", "variables")

    def __init__(
        self,
        name: str,
        read: Callable[[Any], Any],
        default: Any,
        variables: tuple[tuple[str, Callable[[Any], Any]], ...],
        meaning: str,
    ) -> None:
        self.name: str = name
        self.read: Callable[[Any], Any] = read
        self.default: Any = default
        self.variables: tuple[tuple[str, Callable[[Any], Any]], ...] = variables
        self.meaning: str = meaning


def _limits(*parts: str) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    return tuple((f"OTEL_{part}_LIMIT", limit) for part in parts)


SETTINGS = (
    Setting(
        "service_name",
        text,
        None,
        (("FASTTRACE_SERVICE_NAME", text), ("OTEL_SERVICE_NAME", text)),
        "what the traces call this program",
    ),
    Setting(
        "sampler",
        anything,
        None,
        (("FASTTRACE_SAMPLER", text), ("OTEL_TRACES_SAMPLER", text)),
        "which traces are recorded: a name, a ratio (0.1), a percentage (10%), or development, production, auto",
    ),
    Setting(
        "sampler_argument",
        anything,
        None,
        (("FASTTRACE_SAMPLER_ARG", text), ("OTEL_TRACES_SAMPLER_ARG", text)),
        "the ratio of traceidratio, or endpoint=...,pollingIntervalMs=...,initialSamplingRate=... of jaeger_remote",
    ),
    Setting(
        "tail",
        anything,
        None,
        (("FASTTRACE_TAIL", text),),
        "which traces are kept whole whatever the sampler said, such as latency=2s,error,http_5xx,baseline=1%",
    ),
    Setting("incident", anything, None, (), "what raises the sampler's ratio by itself"),
    Setting(
        "control_file",
        text,
        None,
        (("FASTTRACE_CONTROL_FILE", text),),
        "the file through which `fasttrace sampling` speaks to running processes; none: no file",
    ),
    Setting(
        "max_cpu_ratio",
        share,
        None,
        (("FASTTRACE_MAX_CPU_RATIO", share),),
        "what tracing may take of the process's CPU, such as 3%; beyond it detail goes first, then the ratio",
    ),
    Setting(
        "exporter",
        exporter,
        None,
        (("FASTTRACE_EXPORTER", exporter), ("OTEL_TRACES_EXPORTER", exporter)),
        "where spans go; the spool unless an OTLP endpoint is set",
    ),
    Setting(
        "propagators",
        propagators,
        None,
        (("FASTTRACE_PROPAGATORS", propagators), ("OTEL_PROPAGATORS", otel_propagators)),
        "header formats, read in this order and all written; tracecontext,baggage unless set",
    ),
    Setting(
        "baggage_attributes",
        names,
        (),
        (("FASTTRACE_BAGGAGE_ATTRIBUTES", names),),
        "baggage that every span gets as attributes",
    ),
    Setting(
        "max_queue_spans",
        count,
        DEFAULT_QUEUE_SPANS,
        (("FASTTRACE_MAX_QUEUE_SPANS", count), ("OTEL_BSP_MAX_QUEUE_SIZE", count)),
        "spans that may wait; the newest beyond are dropped and counted",
    ),
    Setting(
        "max_queue_bytes",
        size,
        DEFAULT_QUEUE_BYTES,
        (("FASTTRACE_MAX_QUEUE_BYTES", size),),
        "bytes that may wait",
    ),
    Setting(
        "max_batch_spans",
        count,
        512,
        (("FASTTRACE_MAX_BATCH_SPANS", count), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", count)),
        "spans in one request at most",
    ),
    Setting("max_batch_bytes", size, 1 << 20, (("FASTTRACE_MAX_BATCH_BYTES", size),), "bytes in one request at most"),
    Setting(
        "schedule_delay",
        seconds,
        1.0,
        (("FASTTRACE_SCHEDULE_DELAY", seconds), ("OTEL_BSP_SCHEDULE_DELAY", milliseconds)),
        "how long a span waits for a fuller batch (OTEL_BSP_SCHEDULE_DELAY: milliseconds)",
    ),
    Setting(
        "exit_timeout",
        seconds,
        1.0,
        (("FASTTRACE_EXIT_TIMEOUT", seconds),),
        "how long the end of the process may take for what is left",
    ),
    Setting("spool_dir", text, None, (("FASTTRACE_SPOOL_DIR", text),), "the local spool's folder"),
    Setting(
        "spool_max_bytes",
        size,
        512 << 20,
        (("FASTTRACE_SPOOL_MAX_BYTES", size),),
        "what the spool may take; oldest first out",
    ),
    Setting(
        "spool_max_age",
        age,
        7 * 86400.0,
        (("FASTTRACE_SPOOL_MAX_AGE", age),),
        "how long spans stay in the spool, such as 12h or 7d; none: as long as there is room",
    ),
    Setting(
        "undelivered_dir",
        text,
        None,
        (("FASTTRACE_UNDELIVERED_DIR", text),),
        "where spans wait on disk while the collector is away; none: nowhere",
    ),
    Setting(
        "undelivered_max_bytes",
        size,
        512 << 20,
        (("FASTTRACE_UNDELIVERED_MAX_BYTES", size),),
        "what they may take; oldest first out",
    ),
    Setting(
        "flush_on_sigterm",
        boolean,
        False,
        (("FASTTRACE_FLUSH_ON_SIGTERM", boolean),),
        "true: send what is left when the process is terminated, then do what would have been done",
    ),
    Setting(
        "instrument",
        instrumentations,
        ("all",),
        (("FASTTRACE_INSTRUMENT", instrumentations),),
        "what `fasttrace run` and instrument() without names instrument, of what is installed",
    ),
    Setting(
        "instrument_not",
        names,
        (),
        (("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", names),),
        "what they leave out; * is all",
    ),
    Setting(
        "skip_paths",
        names,
        (),
        (("FASTTRACE_SKIP_PATHS", names), ("OTEL_PYTHON_EXCLUDED_URLS", excluded_urls)),
        "requests that servers leave out: paths, * for anything (OTEL_PYTHON_EXCLUDED_URLS: regular expressions)",
    ),
    Setting(
        "capture_headers",
        names,
        (),
        (("FASTTRACE_CAPTURE_HEADERS", names),),
        "headers of requests and answers that servers record; no others ever",
    ),
    Setting(
        "request_durations",
        boolean,
        False,
        (("FASTTRACE_REQUEST_DURATIONS", boolean),),
        "true: servers count how long each request took, for fasttrace.metrics",
    ),
    Setting(
        "jsonlines_path",
        text,
        "traces.jsonl",
        (("FASTTRACE_JSONLINES_PATH", text),),
        "the file of the jsonlines exporter",
    ),
    Setting(
        "disabled",
        boolean,
        False,
        (("FASTTRACE_DISABLED", boolean), ("OTEL_SDK_DISABLED", boolean)),
        "true: contexts are forwarded, nothing is recorded",
    ),
)

# OpenTelemetry's own names for the span limits; the specific one wins over the general one.
_LIMITS = {
    "max_span_attributes": _limits("SPAN_ATTRIBUTE_COUNT", "ATTRIBUTE_COUNT"),
    "max_events": _limits("SPAN_EVENT_COUNT"),
    "max_links": _limits("SPAN_LINK_COUNT"),
    "max_event_attributes": _limits("EVENT_ATTRIBUTE_COUNT", "ATTRIBUTE_COUNT"),
    "max_link_attributes": _limits("LINK_ATTRIBUTE_COUNT", "ATTRIBUTE_COUNT"),
    "max_attribute_length": _limits("ATTRIBUTE_VALUE_LENGTH"),
    "max_span_attribute_length": _limits("SPAN_ATTRIBUTE_VALUE_LENGTH"),
}

# Either makes otlp the default exporter.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


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


def _find(setting: Setting, arguments: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Any, str]:
    given = arguments.get(setting.name)
    if given is not None:
        return _argument(setting, given), "argument"
    for variable, read in setting.variables:
        raw = environ.get(variable, "")
        if not raw.strip():
            continue
        try:
            return read(raw), variable
        except ValueError as error:
            refuse(variable, raw, str(error))
    return setting.default, "default"


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


def span_limits(environ: Mapping[str, str]) -> SpanLimits:
    """The span limits of the environment (OpenTelemetry, "Attribute Limits" and "Span Limits")."""
    found: dict[str, int] = {}
    for name, variables in _LIMITS.items():
        for variable, read in variables:
            raw = environ.get(variable, "")
            if not raw.strip():
                continue
            try:
                found[name] = read(raw)
                break
            except ValueError as error:
                refuse(variable, raw, str(error))
    return SpanLimits(**found)


def known_names() -> list[str]:
    """Every FASTTRACE_* variable that means something."""
    found = [variable for setting in SETTINGS for variable, _ in setting.variables if variable.startswith("FASTTRACE_")]
    return sorted({*found, *_READ_ELSEWHERE})


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


def check_names(environ: Mapping[str, str]) -> None:
    """Refuse a FASTTRACE_* variable that means nothing: it is a mistyped one."""
    known = known_names()
    for name in environ:
        if not name.startswith("FASTTRACE_") or name in known or name in _FROM_KUBERNETES:
            continue
        if name.startswith(("FASTTRACE_PORT_", "FASTTRACE_SERVICE_PORT_")):
            continue
        import difflib

        prefix = len("FASTTRACE_")
        near = difflib.get_close_matches(name[prefix:], [item[prefix:] for item in known], 1, 0.6)
        hint = f"did you mean FASTTRACE_{near[0]}?" if near else f"known are {', '.join(known)}"
        raise ConfigurationError(f"{name} is no setting of fasttrace: {hint}")
