"""How the values of settings are read, as text or as they are: each reader raises ValueError with what is accepted."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
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
# "A very long time", as OpenTelemetry has it; sockets take no more.
NO_LIMIT_SECONDS = (2**31 - 1) / 1000
EXPORTERS = ("otlp", "otlp-grpc", "zipkin", "jsonlines", "console", "memory", "spool", "none")


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
        "jaeger": "otlp with OTEL_EXPORTER_OTLP_ENDPOINT=http://<jaeger>:4318, since Jaeger takes OTLP, or otlp-grpc "
        "with port 4317",
        "otlp_proto_http": "otlp",
        "otlp_proto_grpc": "otlp-grpc",
        "logging": "console",
    }.get(word)
    raise ValueError((f"{hint}; there are " if hint else "one of ") + f"{', '.join(EXPORTERS)}")


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


def anything(value: Any) -> Any:
    """As it is: its own module reads it."""
    return value
