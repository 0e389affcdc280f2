"""What is recorded of an exception's traceback is the standard library's text, though it is put together from memory."""

from __future__ import annotations

import gc
import importlib
import sys
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fasttrace._core import exceptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Ours(Exception):
    """One whose name has a module in front."""


class Silent(Exception):
    """One that has no text to tell."""

    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


class Empty(Exception):
    """One that is false: to the standard library it comes from nothing."""

    def __bool__(self) -> bool:
        return False


class Told(Exception):
    """One that a script has made."""

    __module__ = "__main__"


class Shouting(str):
    """A text that is no plain one."""

    def __format__(self, how: str) -> str:
        return self.upper()


# What a program may do to its exceptions, each with a function further in. Some places raise in two ways.
SOURCE = """
def plain(inner, error):
    inner(error)

def twice(inner, error): (lambda: inner(error))()

def wide(inner, error):
    return [
        inner(error) for _ in "é\\N{CJK UNIFIED IDEOGRAPH-4E2D}"
    ]

def recursive(inner, error, depth=7):
    if depth:
        recursive(inner, error, depth - 1)
    inner(error)

def caused(inner, error):
    try:
        inner(error)
    except Exception as found:
        raise ValueError("after") from found

def handled(inner, error):
    try:
        inner(error)
    except Exception:
        {}["missing"]

def hidden(inner, error):
    try:
        inner(error)
    except Exception:
        raise error[0] from None

def again(inner, error):
    try:
        inner(error)
    except Exception as found:
        raise found

def noted(inner, error):
    try:
        inner(error)
    except Exception as found:
        found.add_note("one\\ntwo")
        raise

def grouped(inner, error):
    try:
        inner(error)
    except Exception as found:
        raise ExceptionGroup("both", [found, OSError(2, "gone")])

def circle(inner, error):
    try:
        inner(error)
    except Exception as found:
        other = KeyError("other")
        other.__cause__, found.__cause__ = found, other
        raise

def stripped(inner, error):
    try:
        inner(error)
    except Exception as found:
        raise found.with_traceback(None)

def end(error):
    raise error[0]
"""
WAYS = (
    *("plain", "twice", "wide", "recursive", "caused", "handled", "hidden", "again", "noted", "grouped", "circle"),
    "stripped",
)
ENDS = ("end", "syntax", "name", "attribute", "module", "division", "evaluated")
ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: ValueError("out of stock"),
    lambda: ValueError("two\nlines"),
    lambda: ValueError(),
    lambda: KeyError("key"),
    lambda: OSError(2, "No such file", "here"),
    lambda: Ours("see https://me:s3cret@shop.test/?a=1"),
    lambda: Told("x"),
    lambda: Silent("x"),
    lambda: Empty("x"),
    lambda: Ours(Shouting("loud")),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: SyntaxError("wrong", ("there.py", 3, 4, "a b c\n", 3, 6)),
    lambda: StopAsyncIteration("é"),
)


def syntax(_error: list[Exception]) -> None:
    compile("a = = 1", "config.py", "exec")


def name(_error: list[Exception]) -> None:
    pattern = 1
    print(patern, pattern)  # type: ignore[name-defined]  # noqa: F821


def attribute(_error: list[Exception]) -> None:
    print(sys.versoin)  # type: ignore[attr-defined]


def module(_error: list[Exception]) -> None:
    from os import pth  # type: ignore[attr-defined]  # noqa: F401


def division(error: list[Exception]) -> float:
    return 1 + len(error) / 0 * 2


def evaluated(_error: list[Exception]) -> None:
    exec("def f():\n    g()\ndef g():\n    [][0]\nf()", {})


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(SOURCE, encoding="utf-8")
    found: dict[str, Any] = {end.__name__: end for end in (syntax, name, attribute, module, division, evaluated)}
    exec(compile(SOURCE, str(path), "exec"), found)
    return found


@pytest.fixture(autouse=True)
def nothing_is_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exceptions, "_clean", None)


def recorded(traced: Any, call: Callable[[], Any]) -> tuple[str, str]:
    """What is recorded of what a call raises, and what the standard library says of it."""
    error: Exception | None = None
    with traced.tracer.start_as_current_span("operation") as span:
        try:
            call()
        except Exception as caught:
            error = caught
            span.record_exception(caught)
    assert error is not None
    expected = "".join(traceback.format_exception(error))
    (event,) = traced.span().events
    return event.attributes["exception.stacktrace"], expected


PROGRAMS = st.tuples(
    st.lists(st.sampled_from(WAYS), max_size=4), st.sampled_from(ENDS), st.integers(0, len(ERRORS) - 1)
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PROGRAMS, min_size=1, max_size=4))
def test_tracebacks_are_the_standard_librarys_text(traced: Any, program: dict[str, Any], programs: list[Any]) -> None:
    """Each twice: the first time may learn what the second remembers."""
    for ways, end, number in [*programs, *programs]:
        call = program[end]
        for way in reversed(ways):
            call = lambda error, way=way, inner=call: program[way](inner, error)  # noqa: E731
        text, expected = recorded(traced, lambda call=call, number=number: call([ERRORS[number]()]))
        assert text == expected, (ways, end, number)


def test_a_place_that_is_known_is_not_formatted_again(traced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(number: int) -> None:
        raise ValueError(f"number {number}")

    for number in range(4):
        text, expected = recorded(traced, lambda: fail(number))  # noqa: B023
        assert text == expected
        if number == 0:
            monkeypatch.delattr(exceptions, "_learn")
            monkeypatch.delattr(exceptions, "_formatted")


def test_a_module_that_is_loaded_again_shows_its_own_lines(
    traced: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "edited_and_loaded_again.py"
    loaded: Any = None
    # The code objects are equal: only the comment is another.
    for number in range(5):
        path.write_text(f"def fail():\n    raise ValueError('x')  #{' edited' * number}\n", encoding="utf-8")
        importlib.invalidate_caches()
        loaded = importlib.reload(loaded) if loaded else importlib.import_module(path.stem)
        for _ in range(2):
            text, expected = recorded(traced, loaded.fail)
            assert text == expected
            assert f"#{' edited' * number}\n" in text
        if number % 2:
            path.write_text("# nothing that runs\n", encoding="utf-8")
            text, _ = recorded(traced, loaded.fail)
            assert "raise ValueError('x')" in text, "the line that ran is shown, not what stands there now"
    del sys.modules[path.stem]


def test_what_is_remembered_is_bounded_and_holds_no_variables(traced: Any) -> None:
    class Held:
        pass

    def fail() -> None:
        held = Held()
        gone.append(weakref.ref(held))
        raise Ours(held)

    gone: list[weakref.ref[Held]] = []
    recorded(traced, fail)
    gc.collect()
    assert gone[0]() is None
    for number in range(exceptions._MOST_KNOWN + 10):
        names: dict[str, Any] = {}
        exec(f"def fail_{number}(): raise ValueError", names)
        text, expected = recorded(traced, names[f"fail_{number}"])
        assert text == expected
        assert len(exceptions._known) <= exceptions._MOST_KNOWN
    deep: dict[str, Any] = {}
    exec("".join(f"def f{i}(): f{i + 1}()\n" for i in range(500)) + "def f500(): raise ValueError", deep)
    for _ in range(2):
        text, expected = recorded(traced, deep["f0"])
        assert text == expected
    assert max(len(lines) for lines, _codes in exceptions._known.values()) <= exceptions._LONGEST_KNOWN


def test_a_limit_of_tracebacks_holds(traced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(limit: int | None) -> None:
        raise ValueError(f"limit {limit}")

    for limit in (None, 1, 0, None, -1):
        if limit is None:
            monkeypatch.delattr(sys, "tracebacklimit", raising=False)
        else:
            monkeypatch.setattr(sys, "tracebacklimit", limit, raising=False)
        text, expected = recorded(traced, lambda: fail(limit))  # noqa: B023
        assert text == expected


def test_steps_that_are_made_by_hand_keep_their_lines(traced: Any) -> None:
    def fail(line: int) -> None:
        frame = sys._getframe()
        raise ValueError("x").with_traceback(type(step)(None, frame, -1, line))

    try:
        division([])
    except ZeroDivisionError as error:
        step = error.__traceback__
    for line in (3, 4, 3):
        text, expected = recorded(traced, lambda: fail(line))  # noqa: B023
        assert text == expected
        assert f"line {line}," in text


def test_no_exception_comes_from_another_ones_cause(traced: Any) -> None:
    """They may have the same type, message and address, and their causes the same addresses."""

    def fail(number: int) -> None:
        try:
            raise OSError(f"cause {number % 2}")  # noqa: TRY301
        except OSError as error:
            raise ValueError("x") from error

    def fail_in_group(number: int) -> None:
        raise ExceptionGroup("x", [OSError(f"part {number % 2}")])

    for call in (fail, fail_in_group):
        for number in range(50):
            with pytest.raises(Exception, match="x"), traced.tracer.start_as_current_span(f"{number % 2}"):
                call(number)
    for span in traced.spans():
        assert f" {span.name}\n" in span.events[0].attributes["exception.stacktrace"]
