"""What the core offers to an API that it stands behind: span types, processors, values that are not ours."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from traced import Traced

from fasttrace._core.layout import THRESHOLD_ASK, THRESHOLD_NEVER


class Recording:
    """A processor that notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.failing = False

    def on_start(self, span: Any, parent: Any) -> None:
        self.seen.append(("start", span, parent, span.is_recording(), dict(span.attributes)))
        span.set_attribute("at start", True)
        if self.failing:
            raise RuntimeError("on_start")

    def on_ending(self, span: Any) -> None:
        self.seen.append(("ending", span, span.is_recording()))
        span.set_attribute("at the end", True)
        span.update_name("renamed")
        span.end()  # is being ended already
        if self.failing:
            raise RuntimeError("on_ending")

    def on_end(self, span: Any) -> None:
        self.seen.append(("end", span, span.is_recording(), dict(span.attributes), span.name))
        span.set_attribute("too late", True)
        if self.failing:
            raise RuntimeError("on_end")

    def steps(self) -> list[str]:
        return [entry[0] for entry in self.seen]


@pytest.fixture
def processed(core: Any) -> Traced:
    traced = Traced(core)
    traced.recorder.processor = Recording()
    return traced


def test_a_processor_sees_the_start_may_change_the_end_and_reads_what_has_ended(processed: Traced) -> None:
    recording = processed.recorder.processor
    with processed.tracer.start_as_current_span("root", attributes={"given": 1}) as root:
        with processed.tracer.start_as_current_span("child") as child:
            child.add_event("event")
        assert child.attributes == {"at start": True, "at the end": True}, "its contents are still there"
    assert recording.steps() == ["start", "start", "ending", "end", "ending", "end"]
    assert recording.seen[0][2:] == (None, True, {"given": 1})
    assert recording.seen[1][2] is root
    assert recording.seen[2][2] is True
    assert recording.seen[3][2:] == (False, {"at start": True, "at the end": True}, "renamed")
    exported = processed.spans()
    assert [span.name for span in exported] == ["renamed", "renamed"]
    assert exported[1].attributes == {"given": 1, "at start": True, "at the end": True}
    assert processed.recorder.counters()["active"] == 0


def test_what_a_processor_raises_reaches_nobody(processed: Traced) -> None:
    processed.recorder.processor.failing = True
    with processed.tracer.start_as_current_span("root"):
        pass
    assert processed.recorder.processor.steps() == ["start", "ending", "end"]
    assert processed.span().name == "renamed"
    processed.recorder.processor = object()
    with processed.tracer.start_as_current_span("root"):
        pass
    assert processed.span().name == "root"


def test_a_processor_that_refuses_a_span_has_it_dropped(processed: Traced) -> None:
    refusing = processed.recorder.processor
    refusing.on_end = lambda span: span.name != "renamed" or span.attributes.get("secret") is None
    with processed.tracer.start_as_current_span("kept"):
        pass
    with processed.tracer.start_as_current_span("secret", attributes={"secret": "1234"}):
        pass
    assert [span.attributes.get("secret") for span in processed.spans()] == [None]
    counters = processed.recorder.counters()
    assert (counters["started"], counters["dropped_encode_error"], counters["active"]) == (2, 1, 0)


def test_several_threads_end_a_span_and_its_processor_is_told_once(processed: Traced) -> None:
    for _ in range(50):
        span = processed.tracer.start_span("shared")
        threads = [threading.Thread(target=span.end) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert processed.recorder.processor.steps() == ["start", "ending", "end"] * 50
    assert len(processed.spans()) == 50


def test_what_is_only_recorded_is_the_processors_alone(processed: Traced) -> None:
    recorder = processed.recorder
    recorder.thresholds = (THRESHOLD_ASK, 0, 0, 0, THRESHOLD_NEVER)
    recorder.decide = lambda *_: (1, {"only": "recorded"}, None)
    span = processed.tracer.start_span("root")
    assert span.is_recording()
    assert not span.sampled
    span.end()
    assert recorder.processor.seen[-1][3]["only"] == "recorded"
    assert processed.spans() == []
    counters = recorder.counters()
    assert (counters["started"], counters["sampled_out"], counters["active"]) == (1, 1, 0)
    recorder.processor = None
    assert not processed.tracer.start_span("root").is_recording()


def test_an_ended_span_lets_go_of_its_contents_unless_a_processor_wants_them(make_traced: Any) -> None:
    traced = make_traced()
    span = traced.tracer.start_span("root", attributes={"key": "value"})
    span.end()
    assert span.attributes == {}
    assert span._encoded_parts == (b"", 0, 0, 0)


def test_events_and_links_of_a_span_can_be_read(processed: Traced) -> None:
    span = processed.tracer.start_span("root")
    span.add_event("event", {"key": "value"}, 5)
    span.add_link(processed.core.context.SpanContext(1, 2, True), {"link": 1})
    span.set_attribute("", "dropped")
    data, *dropped = span._encoded_parts
    found = processed.core.decode.decode_span(data)
    assert [(event.name, event.time_ns, event.attributes) for event in found.events] == [("event", 5, {"key": "value"})]
    assert [link.attributes for link in found.links] == [{"link": 1}]
    assert dropped == [1, 0, 0]
    span.end()
    assert span._encoded_parts[0] == data


def test_tracers_make_spans_of_the_type_that_the_recorder_wants(core: Any) -> None:
    class Own(core.span.Span):  # type: ignore[misc]
        extra = "class attribute"

    traced = Traced(core)
    with pytest.raises(TypeError, match="span_type"):
        traced.recorder.span_type = int
    traced.recorder.span_type = Own
    with traced.tracer.start_as_current_span("root") as root:
        child = traced.tracer.start_span("child")
        assert type(root) is type(child) is Own
        assert core.span.current_span() is root
        child.note = "a dict of its own"
        child.end()

        @traced.tracer.start_as_current_span("decorated")
        def decorated() -> Any:
            return core.span.current_span()

        assert type(decorated()) is Own
    assert [span.name for span in traced.spans()] == ["child", "decorated", "root"]
    dead = weakref.ref(child)
    child.myself = child
    del child
    gc.collect()
    assert dead() is None
    abandoned = traced.tracer.start_span("abandoned")
    del abandoned
    gc.collect()
    counters = traced.recorder.counters()
    assert (counters["active"], counters["abandoned"]) == (0, 1)
    traced.recorder.span_type = None
    assert type(traced.tracer.start_span("plain")) is core.span.Span


def test_a_tracer_can_be_subclassed(core: Any) -> None:
    class Own(core.span.Tracer):  # type: ignore[misc]
        pass

    traced = Traced(core)
    tracer = Own(traced.tracer.scope, traced.recorder)
    tracer.start_span("root").end()
    assert traced.span().name == "root"


class Foreign:
    """A context or span context of somebody else's."""

    def __init__(self, ids: tuple[int, int] | None, attributes: Any = None) -> None:
        self.ids = ids
        self.attributes = attributes
        self.context = self


@pytest.fixture
def foreign(core: Any) -> Iterator[Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, Foreign):
            if value.ids is None:
                return core.context.Context()
            return core.context.Context(core.context.SpanContext(*value.ids, True, 1))
        if value == "broken":
            raise RuntimeError("no context")
        return 5 if value == "wrong" else None

    core.context.set_foreign(convert)
    yield core
    core.context.set_foreign(None)


def test_a_foreign_parent_is_read_as_one_and_an_empty_one_makes_a_root(foreign: Any) -> None:
    traced = Traced(foreign)
    with traced.tracer.start_as_current_span("current") as current:
        child = traced.tracer.start_span("child", Foreign((5, 6)))
        assert (child.trace_id, child.parent_span_id) == (5, 6)
        root = traced.tracer.start_span("root", Foreign(None))
        assert root.trace_id != current.trace_id
        assert root.parent_span_id == 0
        for value in ("broken", "wrong", object()):
            assert traced.tracer.start_span("child", value).parent_span_id == current.span_id
        assert foreign.headers.format_traceparent(Foreign((5, 6))).startswith("00-" + "0" * 31 + "5")


def test_links_may_be_objects_of_others(foreign: Any) -> None:
    traced = Traced(foreign)
    other = traced.tracer.start_span("other", attributes={"not": "the link's"})
    span = traced.tracer.start_span("root", links=[Foreign((5, 6), {"a": 1}), other, (Foreign((7, 8)), {"b": 2})])
    span.add_link(Foreign((9, 10)))
    span.end()
    links = traced.spans()[0].links
    assert [(int(link.span_id, 16), link.attributes) for link in links] == [
        (6, {"a": 1}),
        (other.span_id, {}),
        (8, {"b": 2}),
        (10, {}),
    ]


def test_a_view_belongs_to_one_node(core: Any) -> None:
    traced = Traced(core)
    context = core.context.Context()
    assert context._view is None
    context._view = view = {"of": "it"}
    assert context._view is view
    assert core.context.Context(context)._view is None
    with traced.tracer.start_as_current_span("root") as root:
        assert root._view is None
        root._view = view
        assert traced.tracer.start_span("child")._view is None
        assert root._view is view
    assert root._view is None, "it may refer to the span in turn"
