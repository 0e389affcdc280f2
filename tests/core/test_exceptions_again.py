"""An exception that comes again is copied from what was written of the last one: the bytes are those of the first."""

from __future__ import annotations

import gc
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traced import FixedIds, Traced

from fasttrace._core import exceptions
from fasttrace._core.types import SpanLimits, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType


class Base(Exception):
    pass


class Told(Base):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.code = 7


class Said(Exception):
    def __str__(self) -> str:
        return f"said {self.args}"


class Formatted(Exception):
    def __format__(self, how: str) -> str:
        return "formatted"


class Hidden(Exception):
    __cause__ = property(lambda self: None)  # type: ignore[assignment]


class Alarmed(Exception):
    def __getattr__(self, name: str) -> Any:
        if name == "__notes__":
            return ["from nowhere"]
        raise AttributeError(name)


class Named(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        return "elsewhere"


class Renamed(Exception, metaclass=Named):
    pass


class Text(str):
    pass


ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: ValueError("out of stock"),
    lambda: ValueError("sold https://me:s3cret@shop.test/?token=a"),
    lambda: ValueError("é\ud800 \N{SNOWMAN}"),
    ValueError,
    lambda: ValueError("two", 2),
    lambda: ValueError(Text("not exact")),
    lambda: ValueError([1]),
    lambda: ValueError(10**5000),
    lambda: KeyError("key"),
    lambda: KeyError(3),
    lambda: OSError("refused"),
    lambda: FileNotFoundError(2, "No such file", "here"),
    lambda: Told("x" * 300),
    lambda: Said("x"),
    lambda: Formatted("x"),
    lambda: Hidden("x"),
    lambda: Alarmed("x"),
    lambda: Renamed("x"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: ExceptionGroup("both", [ValueError("x")]),
    lambda: ImportError("nothing", name="here"),
)
LIMITS = (
    SpanLimits(),
    SpanLimits(max_attribute_length=20),
    SpanLimits(max_event_attributes=2),
    SpanLimits(max_events=1),
)
# What becomes of an exception in a span, innermost first.
FATES = ("leaves", "recorded", "with attributes", "escaped", "noted", "handled", "forgotten", "unseen", "at a time")


@pytest.fixture(autouse=True)
def nothing_is_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exceptions, "_clean", None)


def place(number: int, error: Exception) -> None:
    if number == 0:
        raise error
    if number == 1:
        raise error
    place(number - 2, error)


def meet(traced: Traced, fates: tuple[str, ...], number: int, error: Exception) -> None:
    """An exception goes through spans, the last of the fates being that of the outermost."""
    if not fates:
        return place(number, error)
    *inner, fate = fates
    options = {"record_exception": fate == "leaves", "set_status_on_exception": fate != "unseen"}
    with traced.tracer.start_as_current_span(fate, start_time=1, **options) as span:
        try:
            meet(traced, tuple(inner), number, error)
        except Exception as found:
            if fate == "recorded":
                span.record_exception(found)
            elif fate == "with attributes":
                span.record_exception(found, {"more": 1, "exception.type": "mine"})
            elif fate == "escaped":
                span.record_exception(found, escaped=True)
            elif fate == "at a time":
                span.record_exception(found, timestamp=5)
            elif fate == "noted":
                found.add_note("noted")
            elif fate == "handled":
                with suppress(KeyError), traced.tracer.start_as_current_span("meanwhile"):
                    raise KeyError("meanwhile") from None
            elif fate == "forgotten":
                found.__traceback__ = None
            raise


def part(core: Any) -> None:
    """What was told last goes by an address, which another exception may have got by now: tell of something else."""
    with Traced(core).tracer.start_as_current_span("between") as span:
        span.record_exception(LookupError("between"))


def told(traced: Traced) -> list[Any]:
    return [
        (
            span.name,
            span.status,
            span.dropped_events_count,
            [(event.name, list(event.attributes.items()), event.dropped_attributes_count) for event in span.events],
        )
        for span in traced.spans()
    ]


EXCEPTIONS = st.tuples(
    st.lists(st.sampled_from(FATES), min_size=1, max_size=3),
    st.integers(0, 4),
    st.integers(0, len(ERRORS) - 1),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EXCEPTIONS, min_size=1, max_size=3), st.sampled_from(LIMITS), st.booleans())
def test_twins_tell_exceptions_that_come_again_alike(
    both: list[Any], monkeypatch: pytest.MonkeyPatch, programs: list[Any], limits: SpanLimits, cleaned: bool
) -> None:
    monkeypatch.setattr(exceptions, "_clean", (lambda text: text.replace("s3cret", "***")) if cleaned else None)
    found = []
    for core in both:
        traced = Traced(core, limits=limits)
        for fates, number, error in [*programs, *programs]:
            part(core)
            with suppress(Exception):
                meet(traced, tuple(fates), number, ERRORS[error]())
        found.append(told(traced))
    assert found[0] == found[1]


def test_what_is_copied_is_the_same_bytes(both: list[Any]) -> None:
    found = []
    for core in both:
        traced = Traced(core, id_generator=FixedIds())
        for text in ("out of stock", "out of stock", "sold", "é" * 200, "out of stock"):
            for timestamp in (5, 2**62):
                span = traced.tracer.start_span("operation", start_time=1)
                try:
                    place(2, ValueError(text))
                except ValueError as error:
                    span.record_exception(error, timestamp=timestamp)
                    span.record_exception(error, timestamp=timestamp, escaped=True)
                    span.set_status(StatusCode.ERROR, f"ValueError: {text}")
                span.end(3)
        found.append(traced.records())
    assert found[0] == found[1]


def stack(traced: Traced, call: Callable[[], Any]) -> tuple[str, str]:
    """The stack trace and the description of what leaves a span."""
    with suppress(Exception), traced.tracer.start_as_current_span("operation"):
        call()
    span = traced.span()
    return span.events[0].attributes["exception.stacktrace"], span.status.description or ""


def test_each_message_from_one_place_is_its_own(traced: Any) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    for text in ("one", "two", "one", "o\u0144e", "one", "two"):
        lines, description = stack(traced, lambda: fail(text))  # noqa: B023
        assert lines.endswith(f"\nValueError: {text}\n")
        assert description == f"ValueError: {text}"


def test_a_new_cleaner_cleans_what_was_written_before(traced: Any) -> None:
    def fail() -> None:
        raise ValueError("the s3cret")

    def broken(_text: str) -> str:
        raise RuntimeError

    shown = []
    for clean in (None, lambda text: text.replace("s3cret", "***"), broken, None):
        exceptions.set_cleaner(clean)
        for _ in range(2):
            lines, description = stack(traced, fail)
            shown.append((lines[lines.rfind("ValueError") :][10:], description))
    plain, clean, empty = (
        (": the s3cret\n", "ValueError: the s3cret"),
        (": the ***\n", "ValueError: the ***"),
        ("", "ValueError"),
    )
    assert shown == [plain, plain, clean, clean, empty, empty, plain, plain]


def test_a_class_that_changes_is_told_as_it_is_now(traced: Any) -> None:
    def changes() -> Iterator[str]:
        yield f"{__name__}.Changing: x"
        Changing.__qualname__ = "Renamed"
        yield f"{__name__}.Renamed: x"
        Changing.__module__ = "elsewhere"
        yield "elsewhere.Renamed: x"
        Parent.__str__ = lambda self: "from the parent"  # type: ignore[method-assign]
        yield "elsewhere.Renamed: from the parent"
        del Parent.__str__  # type: ignore[misc]
        yield "elsewhere.Renamed: x"
        Parent.__notes__ = ["noted"]  # type: ignore[attr-defined]
        yield "elsewhere.Renamed: x\nnoted"

    class Parent(Exception):
        pass

    class Changing(Parent):
        __qualname__ = "Changing"

    def fail() -> None:
        raise Changing("x")

    for last_line in changes():
        part(traced.core)
        for _ in range(3):
            lines, _ = stack(traced, fail)
            assert lines.endswith(f"\n{last_line}\n")
    Changing.__name__ = "Short"
    assert stack(traced, fail)[1] == "Short: x"


def test_notes_that_come_later_are_told(traced: Any) -> None:
    def fail(note: str) -> None:
        error = Told("x")
        if note:
            error.add_note(note)
        raise error

    for note in ("", "", "one", "two", "", "one"):
        lines, _ = stack(traced, lambda: fail(note))  # noqa: B023
        assert lines.endswith(f".Told: x\n{note}\n" if note else ".Told: x\n")


def test_what_is_known_of_exceptions_is_bounded_and_keeps_no_class(traced: Any) -> None:
    codes: list[weakref.ref[CodeType]] = []
    classes: list[weakref.ref[type]] = []

    def fail_somewhere(number: int) -> None:
        names: dict[str, Any] = {}
        exec(f"class Own{number}(Exception): pass\ndef fail(): raise Own{number}('x' * 1000)", names)
        codes.append(weakref.ref(names["fail"].__code__))
        classes.append(weakref.ref(names[f"Own{number}"]))
        for _ in range(2):
            assert stack(traced, names["fail"])[1] == f"Own{number}: {'x' * 1000}"

    for number in range(1000):
        fail_somewhere(number)
    unknown = weakref.ref(type("Unknown", (), {}))
    gc.collect()
    if unknown() is not None:
        pytest.skip("this CPython keeps every class and all code once there were threads (free-threaded 3.13)")
    assert sum(code() is not None for code in codes) <= 2 * exceptions._MOST_KNOWN
    assert sum(kind() is not None for kind in classes) <= 1, "that of the last one"


@pytest.mark.parametrize("where", ["the class", "the object"])
def test_an_event_of_ones_own_sees_exceptions(traced: Any, core: Any, where: str) -> None:
    seen = []

    class Own(core.span.Span):  # type: ignore[misc,name-defined]
        if where == "the class":

            def add_event(self, name: str, attributes: Any = None, timestamp: Any = None) -> None:
                seen.append((name, attributes["exception.message"]))

    traced.recorder.span_type = Own
    for text in ("one", "two", "two"):
        with suppress(ValueError), traced.tracer.start_as_current_span("operation") as span:
            if where == "the object":
                span.add_event = lambda name, members, _when: seen.append((name, members["exception.message"]))
            place(2, ValueError(text))
    assert seen == [("exception", "one"), ("exception", "two"), ("exception", "two")]
    assert [span.status.description for span in traced.spans()] == ["ValueError: one", *["ValueError: two"] * 2]


def test_a_deep_traceback_is_told_as_its_innermost_span_has_it(traced: Any) -> None:
    def dive(depth: int) -> None:
        if depth:
            return dive(depth - 1)
        with traced.tracer.start_as_current_span("inner"):
            raise ValueError("deep")

    for depth in (0, 50, 70, 300):
        for _ in range(2):
            with suppress(ValueError), traced.tracer.start_as_current_span("outer"):
                dive(depth)
            inner, outer = (span.events[0].attributes["exception.stacktrace"] for span in traced.spans())
            assert inner == outer
            assert inner.count("in dive\n") == 1


def test_an_exception_without_a_traceback_is_told(traced: Any) -> None:
    for text in ("one", "one", "two"):
        with traced.tracer.start_as_current_span("operation") as span:
            span.record_exception(ValueError(text))
        assert traced.span().events[0].attributes["exception.stacktrace"] == f"ValueError: {text}\n"
