"""The calls of a gRPC channel: a CLIENT span for each, from the call to its status.

A channel's methods that make multi-callables are replaced by ones whose multi-callables trace. What a call gives is
gRPC's own, so that streams, futures, cancellation and metadata are what they were.
"""

from __future__ import annotations

from functools import partial

import grpc

from fasttrace._core import SpanKind
from fasttrace.context import use
from fasttrace.integrations._http import asks, note_exception
from fasttrace.integrations._layers import untraced
from fasttrace.integrations._patch import replace, restore
from fasttrace.integrations._rpc import (
    CANCELLED,
    OK,
    UNKNOWN,
    address_of,
    answered,
    attributes_of,
    captured,
    name_of,
    text_of,
    word_of,
)
from fasttrace.propagation import inject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace._core import Span
    from fasttrace.integrations._patch import Patch
    from fasttrace.integrations._rpc import Calls

__all__ = ["trace_channel", "untrace_channel"]

CLIENT = SpanKind.CLIENT
_NEVER = frozenset[str]().__contains__
_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class _Channel:
    """A channel as its calls' spans know it; ``switch`` is what turns it off, if its own patches do not."""

    __slots__ = ("address", "calls", "switch")

    def __init__(self, calls: Calls, target: Any, switch: Patch | None) -> None:
        self.calls = calls
        self.switch = switch
        if isinstance(target, bytes):
            target = target.decode("utf-8", "replace")
        address, port = address_of(target) if isinstance(target, str) else ("", None)
        known = {"server.address": address, "server.port": port}
        self.address: dict[str, Any] = {key: value for key, value in known.items() if value}


def trace_channel(channel: Any, calls: Calls, target: Any = None, switch: Patch | None = None) -> None:
    """Trace the calls of a channel, of ``grpc`` or ``grpc.aio``; nothing happens if they are traced already."""
    kinds = _ASYNC if isinstance(channel, grpc.aio.Channel) else _SYNC
    if target is None:
        try:
            target = channel._channel.target()
        except Exception:  # a channel of another make: its spans have no address
            pass
    options = _Channel(calls, target, switch)
    for name in _KINDS:
        replace(channel, name, partial(_maker, kinds[name]), options)


def untrace_channel(channel: Any) -> None:
    """Undo ``trace_channel``, also for the multi-callables that were made since."""
    for name in _KINDS:
        restore(channel, name)


def _maker(kind: type[_Traced], original: Any, patch: Patch) -> Any:
    def make(self: Any, method: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(self, method, *args, **kwargs)
        return made if patch.options is None else kind(made, method, patch)

    return make


class _Traced:
    """A multi-callable whose calls are traced; in all else it is the original."""

    _packed: Callable[[list[Any]], Any] = staticmethod(tuple)

    def __init__(self, call: Any, method: Any, patch: Patch) -> None:
        self._call = call
        self._path = method.decode("utf-8", "replace") if isinstance(method, bytes) else method
        self._patch = patch
        self._channel: _Channel = patch.options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def _begin(self) -> Span | None:
        """The span of a call; None when it is not traced."""
        channel = self._channel
        if self._patch.options is None or (channel.switch is not None and channel.switch.options is None):
            return None
        if untraced() or channel.calls.skips(self._path):
            return None
        tracer = channel.calls.tracer
        attributes = self._attributes() if asks(tracer) else None
        span = tracer.start_span(name_of(self._path), None, CLIENT, attributes)
        if attributes is None and span.is_recording():
            span.set_attributes(self._attributes())
        return span

    def _attributes(self) -> dict[str, Any]:
        return {**attributes_of("grpc", self._path), **self._channel.address}

    def _made(self, span: Span, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What a call gives, its span being current meanwhile; one that fails at once ends the span."""
        args, kwargs = self._sent(span, args, kwargs)
        with use(span):
            try:
                return call(*args, **kwargs)
            except grpc.RpcError as error:
                self._end(span, *_status(error))
                raise
            except BaseException as error:  # it could not be made, or the thread that waits for it was interrupted
                note_exception(span, error)
                span.__exit__(type(error), error, error.__traceback__)
                raise

    def _sent(self, span: Span, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments of a call (request, timeout, metadata, ...) with the context in the third."""
        if len(args) > 2:
            return (*args[:2], self._metadata(args[2], span), *args[3:]), kwargs
        return args, {**kwargs, "metadata": self._metadata(kwargs.get("metadata"), span)}

    def _metadata(self, given: Any, span: Span) -> Any:
        try:
            headers: dict[str, Any] = inject({}, span)
            ours = {name.lower(): value for name, value in headers.items()}
            pairs = [(name, value) for name, value in given or () if name not in ours]
            names = self._channel.calls.request_metadata
            if names:
                span.set_attributes(captured(pairs, names))
            return self._packed([*pairs, *ours.items()])
        except Exception:  # metadata that is none: gRPC says what is wrong with it
            return given

    def _end(self, span: Span, code: str, details: str | None, cancelled: bool, trailing: Any) -> None:
        """A call has ended with this status."""
        # Who cancels has a reason: that is no error.
        answered(span, code, details, _NEVER if cancelled else OK.__ne__)
        if cancelled:
            span.add_event("cancelled")
        names = self._channel.calls.response_metadata
        if names:
            span.set_attributes(captured(trailing, names))
        span.end()


class _UnaryResponse(_Traced):
    """Calls that a thread waits for, or not."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.with_call(*args, **kwargs)[0]

    def with_call(self, *args: Any, **kwargs: Any) -> Any:
        span = self._begin()
        if span is None:
            return self._call.with_call(*args, **kwargs)
        answer = self._made(span, self._call.with_call, args, kwargs)
        self._end(span, *_status(answer[1]))
        return answer

    def future(self, *args: Any, **kwargs: Any) -> Any:
        return _start(self, self._call.future, args, kwargs)


class _StreamResponse(_Traced):
    """Calls whose answers are iterated."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _start(self, self._call, args, kwargs)


def _start(traced: _Traced, call: Any, args: Any, kwargs: Any) -> Any:
    """Begin a call that goes on; its span ends when the status is there."""
    span = traced._begin()
    if span is None:
        return call(*args, **kwargs)
    begun = traced._made(span, call, args, kwargs)
    # A call that nobody holds any more is cancelled: its end is told by its state, which does not hold it.
    state = getattr(begun, "_state", None)
    if state is None or not hasattr(begun, "add_callback"):
        begun.add_done_callback(lambda done: traced._end(span, *_status(done)))
    elif not begun.add_callback(lambda: traced._end(span, *_state_of(state))):
        traced._end(span, *_state_of(state))
    return begun


def _status(call: Any) -> tuple[str, str | None, bool, Any]:
    """Code, details, whether it was cancelled here, and trailing metadata of a call that has ended, or its error."""
    try:
        cancelled = getattr(call, "cancelled", bool)()
        return word_of(call.code()), text_of(call.details()), cancelled, call.trailing_metadata()
    except Exception:  # an error that somebody else has raised in gRPC's place
        return UNKNOWN, None, False, None


def _state_of(state: Any) -> tuple[str, str | None, bool, Any]:
    return word_of(state.code), text_of(state.details), bool(state.cancelled), state.trailing_metadata


class _Async(_Traced):
    """Calls of ``grpc.aio``, which begin at once and whose answers are awaited or iterated."""

    @staticmethod
    def _packed(pairs: list[Any]) -> Any:
        return grpc.aio.Metadata(*pairs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        span = self._begin()
        if span is None:
            return self._call(*args, **kwargs)
        begun = self._made(span, self._call, args, kwargs)
        begun.add_done_callback(lambda done: self._end(span, *_async_status(done)))
        return begun


def _async_status(call: Any) -> tuple[str, str | None, bool, Any]:
    """What ``_status`` gives, of a call that has coroutines for it."""
    try:
        code, details, trailing = _now(call.code()), _now(call.details()), _now(call.trailing_metadata())
        return word_of(code), details, call.cancelled(), trailing
    except BaseException as error:  # interceptors of the user's have failed, or were cancelled
        cancelled = not isinstance(error, Exception)
        return CANCELLED if cancelled else UNKNOWN, None, cancelled, None


def _now(coroutine: Any) -> Any:
    """The result of a coroutine that has nothing left to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("the call has not ended")


def _kinds(library: Any, unary: type[_Traced], stream: type[_Traced]) -> dict[str, type[_Traced]]:
    """The classes for the four shapes of a call, by the answers that they give.

    What a call looks like to `isinstance` stays: gRPC's interceptors and applications may ask.
    """
    kinds = {}
    for name in _KINDS:
        shape = name.title().replace("_", "")
        kind = stream if name.endswith("stream") else unary
        kinds[name] = type(shape, (kind, getattr(library, f"{shape}MultiCallable")), {})
    return kinds


_SYNC = _kinds(grpc, _UnaryResponse, _StreamResponse)
_ASYNC = _kinds(grpc.aio, _Async, _Async)
