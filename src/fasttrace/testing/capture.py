"""Which spans belong to which test, and how they get there: a processor on the recorder that makes them.

A capture is known by a context variable, which asyncio's tasks, anyio's portals and ``asyncio.to_thread`` take along. A
span that begins without one, in a thread of its own, belongs to the only capture that is open, if there is just one.
The recorder is that of the application's provider, with all of its settings but the sampler; where there is none, or
where it is disabled, one of the capture's.
"""

from __future__ import annotations

import os
from _thread import RLock
from contextlib import contextmanager
from contextvars import ContextVar

from fasttrace import _log, process, resource, sampling
from fasttrace._core import Recorder, Ring
from fasttrace.testing.spans import Spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from fasttrace.provider import TracerProvider

_current: ContextVar[Spans | None] = ContextVar("fasttrace.testing", default=None)
# Guards the open captures and the recorders that they listen to; re-entrant, for `configure` may be called inside.
_lock = RLock()
_open: tuple[Spans, ...] = ()  # replaced, never changed: whoever looks needs no lock
_taps: list[_Tap] = []
_following = False


@contextmanager
def capture_spans() -> Iterator[Spans]:
    """The spans that begin within the block, all of them, whatever the sampler would say.

    With or without ``fasttrace.configure``, before or within the block; what was there is there again afterwards.
    Blocks may be nested, the outer one gets the spans of the inner one as well, and may be open in several threads
    or tasks, each with its own spans.
    """
    global _open
    captured = Spans(_enclosing())
    with _lock:
        _follow()
        _open = (*_open, captured)
        _listen()
    token = _current.set(captured)
    try:
        yield captured
    finally:
        try:
            _current.reset(token)
        except ValueError:
            pass  # an asynchronous fixture that ends in another context than it began in
        with _lock:
            _open = tuple(found for found in _open if found is not captured)
            if not _open:
                _stop_listening()


def _enclosing() -> Spans | None:
    """The innermost open capture of this context; a task may outlive the block that it was started in."""
    captured = _current.get()
    while captured is not None and captured not in _open:
        captured = captured.outer
    return captured


def _owner() -> Spans | None:
    """The capture that a span which begins here and now belongs to."""
    captured, found = _enclosing(), _open
    if captured is None and found:
        outer = [capture.outer for capture in found]
        innermost = [capture for capture in found if capture not in outer]
        captured = innermost[0] if len(innermost) == 1 else None
    return captured


class _Tap:
    """The processor of one recorder while captures are open; one that was there before goes on."""

    def __init__(self, recorder: Recorder, provider: TracerProvider | None) -> None:
        self.recorder = recorder
        self.provider = provider
        self._resource: dict[str, Any] | None = None
        self.others: Any = None
        self.listen()
        if provider is not None:
            sampling.bind(sampling.AlwaysOn(), recorder)

    def listen(self) -> None:
        """Put it in place; again where somebody has replaced the processor since."""
        if self.recorder.processor is not self:
            self.others = self.recorder.processor
            self.recorder.processor = self

    def remove(self) -> None:
        """Put back what was there."""
        if self.recorder.processor is self:
            self.recorder.processor = self.others
        if self.provider is not None:
            sampling.bind(self.provider.sampler, self.recorder)
        elif process._tracers._recorder is self.recorder:
            process._tracers.bind(None)

    @property
    def resource(self) -> dict[str, Any]:
        """The attributes of the process, as the provider has them."""
        if self._resource is None:
            self._resource = {}  # a detector of the user's may trace
            self._resource = resource.build(None, {}, os.environ) if self.provider is None else self.provider.resource
        return self._resource

    def on_start(self, span: Any, parent: Any) -> None:
        """A span has begun, in the context of whoever began it."""
        try:
            if self.others is not None:
                self.others.on_start(span, parent)
        finally:
            _told(_begin, span, self)

    def on_ending(self, span: Any) -> None:
        """Nothing for us."""
        if self.others is not None:
            self.others.on_ending(span)

    def on_end(self, span: Any) -> Any:
        """A span has ended, in whatever context; whether it may be exported is the others' to say."""
        try:
            return None if self.others is None else self.others.on_end(span)
        finally:
            _told(_end, span, self)


def _begin(span: Any, tap: _Tap) -> None:
    captured = _owner()
    while captured is not None:
        captured._begin(span, tap.recorder)
        captured = captured.outer


def _end(span: Any, tap: _Tap) -> None:
    for captured in _open:
        captured._end(span, tap.resource)


def _told(step: Callable[[Any, _Tap], None], span: Any, tap: _Tap) -> None:
    """The core keeps to itself what a processor raises; that a span is missing must be heard of."""
    try:
        step(span, tap)
    except Exception as error:
        _log.warning("testing", "a span was not captured: %s: %s", type(error).__name__, error)


def _follow() -> None:
    """Hear of providers that ``configure`` makes within a block."""
    global _following
    if not _following:
        _following = True
        process.follow(_configured)


def _configured(provider: TracerProvider) -> None:
    with _lock:
        if _open:
            _listen()


def _listen() -> None:
    """Listen to the recorder that the process's tracers use."""
    provider = process._provider
    if provider is not None and provider.settings.disabled:
        provider = None
    if provider is None:
        if not any(tap.provider is None and tap.recorder is process._tracers._recorder for tap in _taps):
            # Nobody empties its queue, which need not hold anything.
            recorder = Recorder(Ring(1))
            process._tracers.bind(recorder)
            _taps.append(_Tap(recorder, None))
    elif not any(tap.recorder is provider.recorder for tap in _taps):
        _taps.append(_Tap(provider.recorder, provider))
    for tap in _taps:
        tap.listen()


def _stop_listening() -> None:
    while _taps:
        _taps.pop().remove()
