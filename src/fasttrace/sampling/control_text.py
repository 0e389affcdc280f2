"""What a control file asks for, as TOML and back.

::

    ratio = 0.05

    [boost]
    ratio = 1.0
    until = 2026-11-24T12:00:00Z

    [recall]
    id = "a3f1"
    trace_ids = ["4bf92f3577b34da6a3ce929d0e0e4736"]
    seconds = 30
"""

from __future__ import annotations

from fasttrace.errors import ConfigurationError
from fasttrace.sampling import reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

HEADER = "# Written by `fasttrace sampling`; every process that follows this file reads it within a second or two.\n"
MAX_TRACE_IDS = 1000
_KEYS = {"": ("ratio", "boost", "recall"), "boost": ("ratio", "until"), "recall": ("id", "trace_ids", "seconds")}


class Boost:
    """A ratio until a time, which is aware of its zone."""

    __slots__ = ("ratio", "until")

    def __init__(self, ratio: float, until: datetime) -> None:
        self.ratio: float = ratio
        self.until: datetime = until


class Recall:
    """Which dropped traces to hand out after all: by id, or all of the last ``seconds``. Done once for each ``id``."""

    __slots__ = ("id", "seconds", "trace_ids")

    def __init__(self, id: str, trace_ids: tuple[int, ...] = (), seconds: float | None = None) -> None:  # noqa: A002
        self.id: str = id
        self.trace_ids: tuple[int, ...] = trace_ids
        self.seconds: float | None = seconds


class Asked:
    """All that a control file asks for; nothing, without arguments."""

    __slots__ = ("boost", "ratio", "recall")

    def __init__(self, ratio: float | None = None, boost: Boost | None = None, recall: Recall | None = None) -> None:
        self.ratio: float | None = ratio
        self.boost: Boost | None = boost
        self.recall: Recall | None = recall


def read(text: str) -> Asked:
    """What the text of a control file asks for. Raises ConfigurationError with line, value and what is accepted."""
    import tomllib

    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"no TOML: {error}") from None
    line = _Lines(text)
    _check(table, "", line)
    boost, recall = table.get("boost"), table.get("recall")
    ratio = line.reader(reading.share, table, "", "ratio") if "ratio" in table else None
    return Asked(
        ratio, None if boost is None else _boost(boost, line), None if recall is None else _recall(recall, line)
    )


class _Lines:
    """Where a key stands, for messages; as far as that can be told without a parser."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def of(self, section: str, key: str) -> str:
        import re

        here = ""
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[+\s*([^\]]*?)\s*\]", line)
            here = header[1] if header else here
            plain = re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line)
            names = [here] if header else [f"{here}.{plain[1]}".lstrip(".")] if plain else []
            wanted = f"{section}.{key}".lstrip(".")
            if any(name == wanted or (not section and name.partition(".")[0] == key) for name in names):
                return f"line {number}: "
        return ""

    def reader(self, read: Any, table: dict[str, Any], section: str, key: str) -> Any:
        try:
            return read(f"{section}.{key}".lstrip("."), table[key])
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.of(section, key)}{error}") from None


def _check(table: Any, section: str, line: _Lines) -> None:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{line.of('', section)}{section}={table!r}: use a table, [{section}]")
    for key in table:
        if key not in _KEYS[section]:
            name = f"{section}.{key}".lstrip(".")
            raise ConfigurationError(
                f"{line.of(section, key)}{name} is unknown: {reading.nearest(key, _KEYS[section])}"
            )


def _boost(table: Any, line: _Lines) -> Boost:
    from datetime import datetime

    _check(table, "boost", line)
    for key in ("ratio", "until"):
        if key not in table:
            raise ConfigurationError(f"{line.of('', 'boost')}[boost] has no {key}: it needs ratio and until")
    until = table["until"]
    if not isinstance(until, datetime) or until.tzinfo is None:
        shown = until.isoformat() if isinstance(until, datetime) else repr(until)
        where = line.of("boost", "until")
        raise ConfigurationError(f"{where}boost.until={shown}: use a time in UTC, such as 2026-11-24T12:00:00Z")
    return Boost(line.reader(reading.share, table, "boost", "ratio"), until)


def _recall(table: Any, line: _Lines) -> Recall:
    _check(table, "recall", line)
    where = line.of("", "recall")
    if "id" not in table:
        raise ConfigurationError(f"{where}[recall] has no id: give each request its own, it is done once for each")
    if "trace_ids" not in table and "seconds" not in table:
        raise ConfigurationError(f"{where}[recall] has neither trace_ids nor seconds")
    name = table["id"]
    if not isinstance(name, str) or not name or len(name) > 100:
        raise ConfigurationError(f"{line.of('recall', 'id')}recall.id={name!r}: use text of 1 to 100 characters")
    ids = table.get("trace_ids", [])
    if not isinstance(ids, list) or len(ids) > MAX_TRACE_IDS:
        said = f"{len(ids)} ids" if isinstance(ids, list) else repr(ids)
        where = line.of("recall", "trace_ids")
        raise ConfigurationError(f"{where}recall.trace_ids={said}: use a list of at most {MAX_TRACE_IDS:,} trace ids")
    found = tuple(line.reader(reading.trace_id, {"trace_ids": item}, "recall", "trace_ids") for item in ids)
    return Recall(name, found, line.reader(reading.seconds, table, "recall", "seconds") if "seconds" in table else None)


def write(asked: Asked) -> str:
    """The text of a control file that asks for this."""
    from datetime import UTC

    parts = [HEADER]
    if asked.ratio is not None:
        parts.append(f"ratio = {_number(asked.ratio)}\n")
    if asked.boost is not None:
        until = asked.boost.until.astimezone(UTC).isoformat().replace("+00:00", "Z")
        parts.append(f"[boost]\nratio = {_number(asked.boost.ratio)}\nuntil = {until}\n")
    recall = asked.recall
    if recall is not None:
        lines = ["[recall]", f"id = {_quoted(recall.id)}"]
        if recall.trace_ids:
            lines.append("trace_ids = [" + ", ".join(f'"{trace_id:032x}"' for trace_id in recall.trace_ids) + "]")
        if recall.seconds is not None:
            lines.append(f"seconds = {_number(recall.seconds)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _number(value: float) -> str:
    return repr(value)


def _quoted(text: str) -> str:
    # Every character that TOML would read as something else is escaped as TOML has it.
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text) + '"'
