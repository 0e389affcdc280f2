"""The end of a span: encoded once, queued, counted, and what it lets go of."""

from __future__ import annotations

import time

from fasttrace._core._python import ids
from fasttrace._core._python.encode import encode
from fasttrace._core._python.given import time_of
from fasttrace._core._python.recorder import ENDED, NOT_RECORDING, RECORDING
from fasttrace._core.layout import (
    RECORD_FLAG_ERROR,
    RECORD_FLAG_HTTP_5XX,
    RECORD_FLAG_LOCAL_ROOT,
    RECORD_FLAG_SAMPLED,
)
from fasttrace._core.types import StatusCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace._core._python.span import Span

_ERROR = StatusCode.ERROR.value


def finish(span: Span, end_time: int | None) -> None:
    """End a span that is recording, once; ``end_time`` is nanoseconds since the Unix epoch, now if None."""
    recorder = span._recorder
    if recorder is None or span._state != RECORDING:
        if span._light:
            _end_light(span)
        elif span._state == NOT_RECORDING:
            span._view = None
        return
    given = time_of(end_time)
    end_time_ns = time.monotonic_ns() + span._wall_offset_ns if given is None else given
    generation = ids.fork_generation()
    if span._generation != generation:
        # Begun before the fork: its record is the parent's to write.
        span._state = ENDED
        recorder._check_fork()
        with recorder._lock:
            recorder._started += 1
        recorder._drop("forked")
        _release(span)
        return
    processor = recorder.processor
    with recorder._lock:
        # Of several threads that end one span, the one that takes it from the active ones does.
        if recorder._active.pop(id(span), None) is None:
            return
        if processor is None:
            span._state = ENDED
    span._end_time_ns = max(end_time_ns, span._start_time_ns)
    refused = False
    if processor is not None:
        _process(span, processor, "on_ending")
        span._state = ENDED
        refused = _process(span, processor, "on_end") is False
    if recorder.closed:
        recorder._drop("after_shutdown")
    elif not span._record_flags & RECORD_FLAG_SAMPLED and not recorder.record_unsampled:
        with recorder._lock:
            recorder._sampled_out += 1
    elif refused:
        recorder._drop("encode_error")
    else:
        try:
            record = encode(span)
        except Exception:
            recorder._drop("encode_error")
        else:
            recorder._queue(record)
    if recorder.observe and span._record_flags & RECORD_FLAG_LOCAL_ROOT:
        failed = span._record_flags & (RECORD_FLAG_ERROR | RECORD_FLAG_HTTP_5XX) != 0
        recorder._observed(span._end_time_ns - span._start_time_ns, failed)
    if processor is None:
        _release(span)
    else:
        span._recorder = span._view = None


def _process(span: Span, processor: Any, step: str) -> Any:
    """What one step of a processor answers; it reports its own troubles."""
    try:
        return getattr(processor, step)(span)
    except Exception:
        return None


def _end_light(span: Span) -> None:
    """The end of a local root that is not recorded."""
    recorder, span._light, span._recorder, span._view = span._recorder, False, None, None
    if recorder is not None and span._generation == ids.fork_generation():
        recorder._observed(time.monotonic_ns() - span._start_time_ns, span._status == _ERROR)
        # The thread that looks at the window runs while there is something to see.
        recorder._announce()


def _release(span: Span) -> None:
    """What an ended span lets go of: copied contexts may keep it for long."""
    span._recorder = span._view = None
    span._attributes = {}
    span._events = []
    span._links = []
