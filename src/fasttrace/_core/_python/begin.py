"""The start of a span: its parent, its ids, what is decided about it."""

from __future__ import annotations

import time
from weakref import ref

from fasttrace._core._python import ids
from fasttrace._core._python.context import CURRENT, DEFERRED, WITHOUT_IDS, Context, Node, as_node
from fasttrace._core._python.given import time_of
from fasttrace._core._python.recorder import NEW, NOT_RECORDING, RECORDING
from fasttrace._core._python.tail import LocalTrace
from fasttrace._core.layout import (
    DECISION_RECORD_AND_SAMPLE,
    DECISION_RECORD_ONLY,
    RECORD_FLAG_LOCAL_ROOT,
    RECORD_FLAG_REMOTE_PARENT,
    RECORD_FLAG_SAMPLED,
    TRACE_FLAG_RANDOM,
    TRACE_FLAG_SAMPLED,
)
from fasttrace._core.types import BAGGAGE_KEY, UNTRACED_KEY, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fasttrace._core._python.recorder import Recorder
    from fasttrace._core._python.span import Span


def begin(span: Span) -> None:
    """Start a span that is new; one that is not stays as it is."""
    if span._state != NEW:
        return
    assert span._tracer is not None
    recorder = span._tracer.recorder
    context, attributes, links, start_time = span._arguments
    span._arguments = None
    parent = None if context is None else as_node(context)
    explicit = parent is not None
    if parent is None:
        parent = CURRENT.get()
    valid = parent if parent is not None and parent._trace_id and parent._span_id else None
    if recorder is None:
        if parent is not None:
            span._take_over(parent)
        span._state = NOT_RECORDING
        span._make_current = span._make_current and explicit
        return
    generation = recorder._check_fork()
    with recorder._lock:
        recorder._started += 1
    if parent is not None:
        span._carried = parent._carried
    never = span._carried is not None and UNTRACED_KEY in span._carried
    parent_span: Any = None
    local = False
    if valid is None:
        rule = 0
        if parent is not None and parent._decision == WITHOUT_IDS:
            rule = 1 if parent._flags & TRACE_FLAG_SAMPLED else 2
        span._trace_id, span._flags = _new_trace_id(recorder)
    else:
        parent_span = valid._span if type(valid) is Context else valid
        local = not valid._remote and valid._wall_offset_ns != 0
        if parent_span is not None:
            if parent_span._generation != generation:
                local = False
            elif parent_span._detail and local and not never:
                _leave_out_inner(span, recorder, valid, parent_span._detail)
                return
        span._trace_id = valid._trace_id
        span._header = valid._header
        span._flags = valid._flags & TRACE_FLAG_RANDOM
        span._parent_span_id = valid._span_id
        rule = (1 if valid._remote else 3) + (0 if valid._flags & TRACE_FLAG_SAMPLED else 1)
        if valid._decision == DEFERRED:
            rule = 0
    decision, added = (None, None) if never else recorder._decide(span, rule, parent, attributes, links)
    if decision == DECISION_RECORD_AND_SAMPLE:
        span._flags |= TRACE_FLAG_SAMPLED
        span._record_flags = RECORD_FLAG_SAMPLED
    elif never or (
        not recorder.record_unsampled and not (decision == DECISION_RECORD_ONLY and recorder.processor is not None)
    ):
        _leave_out(span, recorder, valid, parent_span, explicit, local or never)
        return
    span._span_id = _new_span_id(recorder)
    span._generation = generation
    span._recorder = recorder
    now = time.monotonic_ns()
    if local and valid is not None:
        span._wall_offset_ns = valid._wall_offset_ns
    else:
        span._record_flags |= RECORD_FLAG_LOCAL_ROOT
        span._detail = recorder._detail
        if valid is not None and valid._remote:
            span._record_flags |= RECORD_FLAG_REMOTE_PARENT
        span._wall_offset_ns = recorder._wall_offset(now)
    if recorder._tail is not None:
        if local and valid is not None:
            span._local_trace = valid._local_trace
        if span._local_trace is None:
            span._local_trace = LocalTrace()
    span._start_time_ns = now + span._wall_offset_ns
    span._state = RECORDING
    with recorder._lock:
        recorder._active[id(span)] = ref(span)
    if recorder._baggage_attributes and span._carried is not None:
        members = span._carried.get(BAGGAGE_KEY, {})
        for name in recorder._baggage_attributes:
            if name in members:
                span.set_attribute(name, members[name])
    if attributes is not None:
        span._set_many(attributes)
    if added is not None:
        span._set_many(added)
    given = time_of(start_time)
    if given is not None:
        span._start_time_ns = given
    if links is not None:
        _add_links(span, links)
    if recorder.processor is not None:
        try:
            recorder.processor.on_start(span, parent)
        except Exception:
            pass  # the processor's own troubles are reported where it was added


def _new_trace_id(recorder: Recorder) -> tuple[int, int]:
    """A trace id and its flags, from the user's generator, or from ours where there is none or it fails."""
    generator = recorder._id_generator
    if generator is not None:
        try:
            trace_id = generator.generate_trace_id()
            if isinstance(trace_id, int) and 0 < trace_id < 1 << 128:
                is_random = getattr(generator, "is_trace_id_random", None)
                return int(trace_id), TRACE_FLAG_RANDOM if is_random is not None and is_random() else 0
        except Exception:
            pass
    return ids.generate_trace_id(), TRACE_FLAG_RANDOM


def _new_span_id(recorder: Recorder) -> int:
    generator = recorder._id_generator
    if generator is not None:
        try:
            span_id = generator.generate_span_id()
            if isinstance(span_id, int) and 0 < span_id < 1 << 64:
                return int(span_id)
        except Exception:
            pass
    return ids.generate_span_id()


def _leave_out_inner(span: Span, recorder: Recorder, parent: Node, detail: int) -> None:
    """Below a local root without inner spans: what begins here is its parent to all others, and records nothing.

    It is made current all the same, so that nothing that is meant for it reaches the root.
    """
    span._take_over(parent)
    span._wall_offset_ns = parent._wall_offset_ns
    span._generation = ids.fork_generation()
    span._detail = detail
    span._state = NOT_RECORDING
    with recorder._lock:
        recorder._sampled_out += 1
        recorder._detail_spans += 1


def _leave_out(
    span: Span, recorder: Recorder, parent: Node | None, parent_span: Any, explicit: bool, local: bool
) -> None:
    """The sampler said no: ids only, and counted at once."""
    with recorder._lock:
        recorder._sampled_out += 1
    span._state = NOT_RECORDING
    if parent is not None and not parent._remote and parent_span is not None and parent_span._state == NOT_RECORDING:
        # Below an unsampled span of ours nothing new can be seen: the same ids, and nothing to make current.
        span._span_id = parent._span_id
        span._parent_span_id = 0
        span._make_current = span._make_current and explicit
    else:
        span._span_id = ids.generate_span_id()
        if recorder.observe and not local:
            span._light = True
            span._generation = ids.fork_generation()
            span._recorder = recorder
            span._start_time_ns = time.monotonic_ns()


def _add_links(span: Span, links: Iterable[Any]) -> None:
    try:
        for item in links:
            if type(item) is tuple and len(item) == 2:
                span.add_link(item[0], item[1])
            elif isinstance(item, Link) or (not isinstance(item, Node) and hasattr(item, "context")):
                span.add_link(item.context, getattr(item, "attributes", None))
            else:
                span.add_link(item)
    except Exception:
        span._links_dropped += 1
