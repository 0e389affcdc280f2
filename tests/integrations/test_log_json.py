"""Log records as JSON: one line each, whatever is in them."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import ids, logger_of, tracer
from loopback import Spans

from fasttrace.integrations.logging import JSONFormatter, instrument, uninstrument

FORMATTER = JSONFormatter()


def written(message: object = "message", *arguments: Any, formatter: JSONFormatter = FORMATTER, **extra: Any) -> Any:
    """The fields of a record as a reader of JSON gets them; it is one line of ASCII."""
    logger = logger_of(logging.NullHandler())
    record = logger.makeRecord("shop", logging.INFO, "app.py", 3, message, arguments, None, "f", extra)
    return parsed(formatter.format(record))


def parsed(line: str) -> Any:
    assert line.isascii()
    assert line.splitlines() == [line]
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_line_has_the_usual_fields_and_the_extra_ones() -> None:
    fields = written("paid %s", "5 €", order=7, items=["a", "b"])
    when = datetime.fromisoformat(fields.pop("timestamp"))
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    assert fields == {"level": "INFO", "logger": "shop", "message": "paid 5 €", "order": 7, "items": ["a", "b"]}


def test_the_ids_are_there_within_a_span_with_or_without_instrument(spans: Spans) -> None:
    with tracer.start_as_current_span("span") as span:
        plain = written()
        instrument()
        try:
            traced = written()
        finally:
            uninstrument()
    assert (plain["trace_id"], plain["span_id"]) == (traced["trace_id"], traced["span_id"]) == ids(span)
    assert traced["service.name"] == "tests"
    assert "trace_id" not in written()


def test_an_exception_and_a_stack() -> None:
    class Refusing(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    for error in (KeyError("key"), Refusing()):
        try:
            raise error  # noqa: TRY301 - for its traceback
        except Exception:
            record = logging.LogRecord("shop", 40, "app.py", 3, "failed", (), sys.exc_info(), "f", "Stack:\n  here")
        fields = parsed(FORMATTER.format(record))
        assert fields["exception.type"].endswith(type(error).__qualname__)
        assert "raise error" in fields["exception.stacktrace"]
        assert fields["stack"] == "Stack:\n  here"
    assert fields["exception.message"] == "<Refusing>"
    nothing = logging.LogRecord("shop", 40, "app.py", 3, "failed", (), (None, None, None))
    assert "exception.type" not in parsed(FORMATTER.format(nothing))


def test_what_another_formatter_has_formatted_is_kept() -> None:
    record = logging.LogRecord("shop", 40, "app.py", 3, "failed", (), None)
    record.exc_text = "Traceback of a process that is gone"
    assert parsed(FORMATTER.format(record))["exception.stacktrace"] == record.exc_text


def test_values_that_are_no_json_become_text() -> None:
    class Colour(Enum):
        RED = 1

    class Refusing:
        def __str__(self) -> str:
            raise RuntimeError

    circle: list[Any] = []
    circle.append(circle)
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    fields = written(
        infinite=float("inf"),
        nan={"inside": float("nan")},
        pair={("a", 1): 2, 3: 4},
        bytes=b"\xff\x00ok",
        members={5},
        colour=Colour.RED,
        refusing=Refusing(),
        circle=circle,
        deep=deep,
        huge=10**5000,
        when=datetime(2020, 1, 1),
    )
    assert fields["infinite"] == "inf"
    assert fields["nan"] == {"inside": "nan"}
    assert fields["pair"] == {"('a', 1)": 2, "3": 4}
    assert fields["bytes"] == "\\xff\x00ok"
    assert fields["members"] == [5]
    assert fields["colour"] == "Colour.RED"
    assert fields["refusing"] == "<Refusing>"
    assert "..." in str(fields["circle"])
    assert "..." in str(fields["deep"])
    assert fields["huge"]
    assert fields["when"] == "2020-01-01 00:00:00"


def test_lone_surrogates_and_line_ends_do_not_break_a_line() -> None:
    fields = written("half \ud83d whole \U0001f600", **{"k\udc80": ["a\nb\u2028c\r", {"\ud800": "\x85"}]})
    assert fields["message"] == "half ? whole \U0001f600"
    assert fields["k?"] == ["a\nb\u2028c\r", {"?": "\x85"}]


def test_extra_fields_do_not_take_the_place_of_ours() -> None:
    fields = written(level="mine", timestamp="never", formatter=JSONFormatter(static={"env": "test", "logger": "no"}))
    assert (fields["level"], fields["extra.level"], fields["extra.timestamp"]) == ("INFO", "mine", "never")
    assert (fields["env"], fields["logger"]) == ("test", "shop")


def test_a_message_that_does_not_fit_its_arguments_is_written_all_the_same() -> None:
    assert written("%d", "five")["message"] == "%d ('five',)"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner),
    max_leaves=10,
)


@given(st.text(st.characters()), VALUES)
def test_whatever_is_logged_is_one_line_of_json(message: str, value: Any) -> None:
    fields = written(message, value=value)
    paired = message.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert fields["message"] == re.sub("[\ud800-\udfff]", "?", paired)
    assert "value" in fields


def test_the_example_of_the_documentation_writes_what_it_says() -> None:
    text = (Path(__file__).parents[2] / "docs" / "integrations" / "logs.md").read_text()
    program, line = (re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1] for language in ("python", "json"))  # type: ignore[index]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "FASTTRACE_EXPORTER": "none"},
        capture_output=True,
        text=True,
        check=True,
    )
    written, promised = parsed(done.stderr.strip()), json.loads(line)
    for changing in ("timestamp", "trace_id", "span_id"):
        assert len(written.pop(changing)) == len(promised.pop(changing))
    assert written == promised
