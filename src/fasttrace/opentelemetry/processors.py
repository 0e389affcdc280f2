"""Span processors of OpenTelemetry's shape on our spans: called in order, never in the application's way.

Without one of them nothing here runs: a recorder has a ``processor`` from the first ``add`` on.
"""

from __future__ import annotations

import time
from typing import cast

from fasttrace import _log, _threads
from fasttrace.errors import ConfigurationError, ReadOnlySpanError
from fasttrace.opentelemetry import convert, readable, redaction, stock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Step = Callable[..., Any]

# What OpenTelemetry's specification gives a flush or shutdown that was given no time.
DEFAULT_SECONDS = 30.0
# What the end of the process may take for processors, which have no disk to leave anything on.
EXIT_SECONDS = 5.0
_METHODS = ("on_start", "on_end")
# Methods of the SDK's that do nothing.
_EMPTY = frozenset(
    f"{owner}.{method}"
    for owner, methods in {
        "SpanProcessor": ("on_start", "_on_ending", "on_end"),
        "BatchSpanProcessor": ("on_start", "_on_ending"),
        "SimpleSpanProcessor": ("on_start", "_on_ending"),
    }.items()
    for method in methods
)


class Processors:
    """A recorder's ``processor``: those of one provider, in the order in which they were added.

    What one of them raises is logged, a line a minute for each method of each class, and the next one is called.
    """

    def __init__(self) -> None:
        # Appended to, never changed otherwise: whoever goes through them needs no lock.
        self.members: list[Any] = []
        self._starts: list[tuple[Any, Step]] = []
        self._endings: list[tuple[Any, Step]] = []
        self._ends: list[tuple[Any, Step]] = []
        self._view: type[readable.ReadableSpan] = readable.ReadableSpan

    def append(self, processor: Any) -> None:
        """Call this one, too, after the others."""
        self._view = readable.view_type()
        for steps, names in (
            (self._starts, ("on_start",)),
            (self._endings, ("_on_ending", "on_ending")),
            (self._ends, ("on_end",)),
        ):
            step = next((found for name in names if callable(found := getattr(processor, name, None))), None)
            if step is not None and not _does_nothing(step):
                steps.append((processor, step))
        self.members.append(processor)

    def on_start(self, span: Any, parent: Any) -> None:
        """A span has started, below a node of the core or None."""
        span._parent_context = None if parent is None else _ids(parent)
        if not self._starts:
            return
        context = None if parent is None else _api_context(parent)
        for processor, step in self._starts:
            try:
                step(span, parent_context=context)
            except Exception as error:
                _tell(processor, "on_start", error)

    def on_ending(self, span: Any) -> None:
        """A span is about to end and can still be changed."""
        for processor, step in self._endings:
            try:
                step(span)
            except Exception as error:
                _tell(processor, "_on_ending", error)

    def on_end(self, span: Any) -> bool:
        """A span has ended. One that a processor tried to change goes no further: to no other one, and on no wire.

        What it would have removed must not leave, nor may anything rely on the change. False for such a span.
        """
        if not self._ends:
            return True
        view: Any = self._view(span)
        for processor, step in self._ends:
            try:
                step(view)
            except ReadOnlySpanError:
                pass  # a line was written
            except Exception as error:
                _tell(processor, "on_end", error)
            if view.__dict__.get(readable.REFUSED):
                return False
        return True

    def force_flush(self, deadline: float) -> bool:
        """Flush one after the other; True when all of them said so by the deadline on the monotonic clock."""
        done = True
        for processor in self.members:
            done = _bounded(processor, "force_flush", deadline, True) and done
        return done

    def shutdown(self, deadline: float) -> bool:
        """Shut down one after the other; True when all of them were done by the deadline."""
        done = True
        for processor in self.members:
            done = _bounded(processor, "shutdown", deadline, False) and done
        return done


def add(provider: Any, processor: Any) -> None:
    """Have a processor see every span that a provider records from now on.

    A stock processor with a stock exporter, neither changed, becomes the native pipeline's exporter instead, if that
    has none yet that was asked for. The exporter that a provider has by default is switched off. Raises
    ConfigurationError for what is no processor, and for one that rewrites spans in its ``on_end``.
    """
    missing = [name for name in _METHODS if not callable(getattr(processor, name, None))]
    if missing or isinstance(processor, type):
        raise ConfigurationError(
            f"{processor!r} is no span processor: it needs on_start(span, parent_context), on_end(span), shutdown() "
            "and force_flush(timeout_millis), as OpenTelemetry has them"
        )
    field = redaction.rewritten_field(processor.on_end, readable.FIELDS)
    if field is not None:
        raise ConfigurationError(
            f"{type(processor).__name__}.on_end writes to span.{field}, when the span's bytes are already on their "
            "way: move that to _on_ending(span), where span.set_attribute(key, value) still changes what is exported"
        )
    if stock.take_over(provider, processor):
        return
    stock.switch_off_default(provider)
    chain = of(provider)
    if chain is None:
        chain = provider._processors = Processors()
        if getattr(provider, "shutdown_on_exit", True):
            _at_exit(provider)
    chain.append(processor)
    bind(provider)


def of(provider: Any) -> Processors | None:
    """The processors of a provider; None when it has none."""
    return cast("Processors | None", getattr(provider, "_processors", None))


def bind(provider: Any) -> None:
    """Have the recorder behind a provider call its processors; again when the provider gets another one."""
    chain = of(provider)
    if chain is not None:
        place(provider.native.recorder, chain)


def place(recorder: Any, chain: Processors | None) -> None:
    """Have a recorder call these processors, behind whoever listens to it (``fasttrace.testing``) and calls on."""
    if hasattr(recorder.processor, "others"):
        recorder.processor.others = chain
    else:
        recorder.processor = chain


def _placed(recorder: Any) -> Any:
    return getattr(recorder.processor, "others", recorder.processor)


def force_flush(provider: Any, timeout: float = DEFAULT_SECONDS) -> bool:
    """Flush the processors, then what is queued natively, all within ``timeout`` seconds."""
    deadline = time.monotonic() + max(0.0, timeout)
    chain = of(provider)
    done = chain is None or chain.force_flush(deadline)
    return bool(provider.native.flush(max(0.0, deadline - time.monotonic()))) and done


def shutdown(provider: Any, timeout: float = DEFAULT_SECONDS) -> bool:
    """Shut down the processors, within ``timeout`` seconds; spans that end later are not theirs any more."""
    chain = of(provider)
    if chain is None:
        return True
    provider._processors = None
    done = chain.shutdown(time.monotonic() + max(0.0, timeout))
    if _placed(provider.native.recorder) is chain:
        place(provider.native.recorder, None)
    return done


def _at_exit(provider: Any) -> None:
    import atexit
    from weakref import ref

    known = ref(provider)

    def last() -> None:
        found = known()
        if found is not None:
            shutdown(found, EXIT_SECONDS)

    atexit.register(last)


def _bounded(processor: Any, name: str, deadline: float, timed: bool) -> bool:
    """A flush or shutdown, which may hang: it costs nobody more than the time that is left."""
    step = getattr(processor, name, None)
    if not callable(step):
        return True
    finished: list[bool] = []

    def work() -> None:
        try:
            left = max(0, round((deadline - time.monotonic()) * 1000))
            finished.append((step(left) if timed else step()) is not False)
        except Exception as error:
            _tell(processor, name, error)

    in_time = _threads.call(work, deadline)
    if not in_time:
        _log.warning(
            f"{name} {_name(processor)}",
            "%s.%s took longer than it was given; it is not waited for",
            _name(processor),
            name,
        )
    return in_time and bool(finished and finished[0])


def _does_nothing(step: Step) -> bool:
    function = getattr(step, "__func__", None)
    return (
        getattr(function, "__module__", "").startswith("opentelemetry.sdk.trace")
        and getattr(function, "__qualname__", "") in _EMPTY
    )


def _name(processor: Any) -> str:
    return type(processor).__name__


def _tell(processor: Any, method: str, error: Exception) -> None:
    _log.warning(
        f"{method} {id(type(processor))}",
        "the span processor %s failed in %s: %s: %s",
        _name(processor),
        method,
        type(error).__name__,
        error,
    )


def _ids(parent: Any) -> Any:
    """The span context of a node, as OpenTelemetry's; not the node, which would keep its own parents in memory."""
    found = convert.api_span_context(parent)
    return found if found.is_valid else None


def _api_context(parent: Any) -> Any:
    """A node as OpenTelemetry's context."""
    view = parent._view
    return convert.view_of(parent) if view is None else view
