"""OpenTelemetry's context functions over our ContextVar."""

from __future__ import annotations

import contextvars
import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

import fasttrace
from fasttrace.opentelemetry import FasttraceRuntimeContext


def test_entries_of_a_context_are_seen_below_native_spans(traced: Any) -> None:
    key = context_api.create_key("mine")
    given = context_api.set_value(key, ["a", "list"])
    token = context_api.attach(given)
    assert context_api.get_current() is given
    with traced.native.start_as_current_span("outer"), traced.tracer.start_as_current_span("inner") as inner:
        assert context_api.get_value(key) == ["a", "list"]
        nested = context_api.attach(context_api.set_value(key, "other"))
        assert context_api.get_value(key) == "other"
        assert trace.get_current_span() is inner
        context_api.detach(nested)
        assert context_api.get_value(key) == ["a", "list"]
    context_api.detach(token)
    assert context_api.get_value(key) is None


def test_contexts_do_not_change(traced: Any) -> None:
    with traced.tracer.start_as_current_span("span") as span:
        current = context_api.get_current()
        for change in (
            lambda: current.__setitem__("key", 1),
            lambda: current.update(key=1),
            current.clear,
            lambda: current.pop(next(iter(current))),
        ):
            with pytest.raises(ValueError):
                change()  # type: ignore[operator]
        changed = context_api.set_value("key", 1)
        assert "key" not in current
        assert "key" not in context_api.get_current()
        assert changed["key"] == 1
        assert trace.get_current_span(changed) is span


def test_contexts_can_be_copied_and_outlive_their_block(traced: Any) -> None:
    with traced.tracer.start_as_current_span("span") as span:
        current = context_api.get_current()
        for one in (copy.copy(current), current.copy(), Context(current)):
            assert one == current
    token = context_api.attach(copy.copy(current))
    assert trace.get_current_span() is span
    assert traced.native.start_span("child").parent_span_id == span.span_id
    context_api.detach(token)


def test_span_contexts_and_remote_contexts_can_be_pickled(traced: Any) -> None:
    with traced.tracer.start_as_current_span("span") as span:
        found = span.get_span_context()
        loaded = pickle.loads(pickle.dumps(found))
        assert loaded == found
        assert isinstance(loaded, trace.SpanContext)
        assert copy.deepcopy(found) == found
    with fasttrace.use(fasttrace.extract({"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"})):
        current = context_api.get_current()
        again = pickle.loads(pickle.dumps(current))
    assert trace.get_current_span(again).get_span_context() == trace.get_current_span(current).get_span_context()


def test_tokens_of_another_thread_are_silent_and_change_nothing_there(
    traced: Any, caplog: pytest.LogCaptureFixture
) -> None:
    token = context_api.attach(context_api.set_value("key", 1))
    seen: list[Any] = []

    def elsewhere() -> None:
        with traced.native.start_as_current_span("there") as there:
            context_api.detach(token)
            seen.append(trace.get_current_span() is there)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [True]
    assert context_api.get_value("key") == 1
    context_api.detach(token)
    assert context_api.get_current() == {}
    assert caplog.text == ""


def test_a_used_token_does_nothing(traced: Any, caplog: pytest.LogCaptureFixture) -> None:
    token = context_api.attach(context_api.set_value("key", 1))
    context_api.detach(token)
    with traced.tracer.start_as_current_span("span") as span:
        context_api.detach(token)
        assert trace.get_current_span() is span
    assert caplog.text == ""


def test_tokens_in_the_wrong_order_put_back_what_was_before_each(traced: Any) -> None:
    def misused() -> None:
        first = context_api.attach(context_api.set_value("key", 1))
        second = context_api.attach(context_api.set_value("key", 2))
        context_api.detach(first)
        assert context_api.get_value("key") is None
        context_api.detach(second)
        assert context_api.get_value("key") == 1, "as with contextvars"

    contextvars.copy_context().run(misused)


def test_what_is_no_token_is_reported_as_opentelemetry_reports_it(
    traced: Any, caplog: pytest.LogCaptureFixture
) -> None:
    context_api.detach(None)  # type: ignore[arg-type]
    assert "Failed to detach context" in caplog.text
    assert "NoneType is no token" in caplog.text


def test_ours_is_in_place_once_a_provider_is_made(make_traced: Callable[..., Any]) -> None:
    make_traced()
    present = context_api._RUNTIME_CONTEXT
    assert isinstance(present, FasttraceRuntimeContext)
    make_traced()
    assert context_api._RUNTIME_CONTEXT is present


BEFORE = """
from opentelemetry import baggage, context, trace
import fasttrace
from fasttrace.opentelemetry import install
"""


def test_what_is_current_when_the_provider_is_made_stays_current(program: Callable[..., str]) -> None:
    program(
        BEFORE
        + """
parent = trace.NonRecordingSpan(trace.SpanContext(1, 2, True, trace.TraceFlags(1)))
outer = context.attach(context.set_value("key", "outer"))
token = context.attach(trace.set_span_in_context(parent, baggage.set_baggage("a", "b")))
install(exporter="memory")
assert trace.get_current_span() is parent
assert (context.get_value("key"), baggage.get_baggage("a"), fasttrace.baggage.get("a")) == ("outer", "b", "b")
with fasttrace.get_tracer("native").start_as_current_span("native") as span:
    assert span.parent_span_id == 2
context.detach(token)
assert trace.get_current_span() is trace.INVALID_SPAN
assert context.get_current() == {"key": "outer"}
context.detach(outer)
assert context.get_current() == {}
"""
    )


def test_a_native_span_that_is_current_when_the_provider_is_made_is_the_parent(program: Callable[..., str]) -> None:
    program(
        BEFORE
        + """
fasttrace.configure(exporter="memory")
with fasttrace.get_tracer("native").start_as_current_span("native") as native:
    token = context.attach(context.set_value("key", 1))
    provider = install()
    assert trace.get_current_span().get_span_context().span_id == native.span_id
    with trace.get_tracer("otel").start_as_current_span("otel") as span:
        assert (span.parent_span_id, context.get_value("key")) == (native.span_id, 1)
    context.detach(token)
    assert fasttrace.current_span().span_id == native.span_id
"""
    )


@pytest.fixture
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A distribution with runtime contexts: ours by its entry point, and one of somebody else's."""
    folder = tmp_path_factory.mktemp("plugins")
    information = folder / "plugins-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[opentelemetry_context]\nours = fasttrace.opentelemetry.context:FasttraceRuntimeContext\n"
        "theirs = plugins_context:Theirs\n[opentelemetry_propagator]\n"
        "ours = fasttrace.opentelemetry.propagator:FasttracePropagator\n"
    )
    (folder / "plugins_context.py").write_text(
        "import contextvars\n"
        "from opentelemetry.context.context import Context, _RuntimeContext\n"
        "class Theirs(_RuntimeContext):\n"
        "    def __init__(self):\n"
        "        self.variable = contextvars.ContextVar('theirs', default=Context())\n"
        "    def attach(self, context):\n"
        "        return self.variable.set(context)\n"
        "    def get_current(self):\n"
        "        return self.variable.get()\n"
        "    def detach(self, token):\n"
        "        self.variable.reset(token)\n"
    )
    return folder


def test_opentelemetry_can_load_ours_in_the_middle_of_its_import(program: Callable[..., str], plugins: Path) -> None:
    program(
        """
from opentelemetry import baggage, context, trace
import fasttrace
assert type(context._RUNTIME_CONTEXT).__name__ == "FasttraceRuntimeContext", context._RUNTIME_CONTEXT
token = context.attach(baggage.set_baggage("a", "b"))
assert fasttrace.baggage.get("a") == "b"
context.detach(token)
before = context._RUNTIME_CONTEXT
from fasttrace.opentelemetry import install
install(exporter="memory")
assert context._RUNTIME_CONTEXT is before
with trace.get_tracer("otel").start_as_current_span("otel") as span:
    assert fasttrace.current_span() is span is trace.get_current_span()
""",
        plugins,
        OTEL_PYTHON_CONTEXT="ours",
    )


def test_a_runtime_context_that_the_user_has_chosen_stays(program: Callable[..., str], plugins: Path) -> None:
    program(
        """
import asyncio
from opentelemetry import baggage, context, trace
from fasttrace.opentelemetry import install
provider = install(exporter="memory")
assert type(context._RUNTIME_CONTEXT).__name__ == "Theirs"
tracer = trace.get_tracer("otel")
with tracer.start_as_current_span("outer", attributes={"a": 1}) as outer:
    assert trace.get_current_span() is outer
    assert context._RUNTIME_CONTEXT.get_current()
    with tracer.start_as_current_span("inner") as inner:
        assert trace.get_current_span() is inner
        assert inner.parent_span_id == outer.span_id
    assert tracer.start_span("root", context=context.Context()).parent_span_id == 0
    with tracer.start_span("used") as used:
        assert used.parent_span_id == outer.span_id
        assert trace.get_current_span() is outer

@tracer.start_as_current_span("decorated")
async def decorated():
    await asyncio.sleep(0)
    return trace.get_current_span()

assert asyncio.run(decorated()).name == "decorated"
try:
    with tracer.start_as_current_span("failed"):
        raise ValueError("x")
except ValueError:
    pass
assert trace.get_current_span() is trace.INVALID_SPAN
assert provider.force_flush(10_000)
spans = {span.name: span for span in provider.native.exporter.spans}
assert set(spans) == {"outer", "inner", "used", "decorated", "failed"}, spans
assert spans["failed"].status.description == "ValueError: x"
""",
        plugins,
        OTEL_PYTHON_CONTEXT="theirs",
    )
