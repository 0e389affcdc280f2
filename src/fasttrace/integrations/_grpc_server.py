"""What a gRPC server answers: a SERVER span for each call of a method that it has, from its metadata to its status."""

from __future__ import annotations

import inspect
from contextlib import aclosing
from functools import wraps

import grpc

from fasttrace.context import UNTRACED, Context, Span, attach, current_node, detach, use
from fasttrace.integrations._http import asks, error_type
from fasttrace.integrations._rpc import (
    CANCELLED,
    OK,
    SERVER_ERRORS,
    UNKNOWN,
    Calls,
    address_of,
    answered,
    attributes_of,
    captured,
    name_of,
    skipped_by_default,
    text_of,
    word_of,
)
from fasttrace.integrations._server import NO_PARENT, SERVER
from fasttrace.propagation import extract

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from typing import Any, Self

    from fasttrace._core import Tracer
    from fasttrace.integrations._patch import Patch
    from fasttrace.integrations._rpc import Skip

__all__ = ["AsyncServerInterceptor", "ServerInterceptor"]


class _Interceptor:
    """What both kinds of servers have in common."""

    def __init__(
        self, *, skip: Skip = None, capture_metadata: Iterable[str] = (), tracer: Tracer | None = None
    ) -> None:
        if skip is None:
            skip = skipped_by_default()
        self._calls = Calls("grpc", skip, capture_metadata, tracer)
        self._switch: Patch | None = None

    @classmethod
    def _of(cls, patch: Patch) -> Self:
        """The one of a server that is made while the process is instrumented."""
        made = cls.__new__(cls)
        made._calls = patch.options
        made._switch = patch
        return made

    def _traced(self, details: Any, handler: Any) -> Any:
        """The handler of a method, traced; None for a method that there is not."""
        if handler is None or (self._switch is not None and self._switch.options is None):
            return handler
        kind = f"{_SIDES[handler.request_streaming]}_{_SIDES[handler.response_streaming]}"
        behavior = getattr(handler, kind)
        if getattr(behavior, "experimental_non_blocking", False):
            return handler  # it answers by callbacks, whenever it likes
        path = details.method
        if isinstance(path, bytes):
            path = path.decode("utf-8", "replace")
        traced = wraps(behavior)(_wrapper(behavior, handler.response_streaming)(self._calls, path, behavior))
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(traced, handler.request_deserializer, handler.response_serializer)


# Who gives up when his time is over is heard of about when ours is, a little earlier or later.
_LATE_SECONDS = 0.05
_SIDES = {False: "unary", True: "stream"}


class ServerInterceptor(_Interceptor, grpc.ServerInterceptor):  # type: ignore[misc]
    """Traces what one server answers: ``grpc.server(pool, interceptors=[ServerInterceptor()])``.

    As the first interceptor, so that its spans last as long as the others. Options as for ``instrument``, and
    ``tracer``, by default the process's.
    """

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """As gRPC calls it: the handler of one method."""
        return self._traced(handler_call_details, continuation(handler_call_details))


class AsyncServerInterceptor(_Interceptor, grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Traces what one server of ``grpc.aio`` answers: ``server(interceptors=[AsyncServerInterceptor()])``.

    As the first interceptor, so that its spans last as long as the others. Options as for ``instrument``, and
    ``tracer``, by default the process's.
    """

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """As gRPC calls it: the handler of one method."""
        return self._traced(handler_call_details, await continuation(handler_call_details))


def _wrapper(behavior: Any, streams: bool) -> Any:
    """What is put around a function that answers; of the same kind, which servers of grpc.aio look at."""
    if inspect.isasyncgenfunction(behavior):
        return _stream_async
    if inspect.iscoroutinefunction(behavior):
        return _answer_async
    return _stream if streams else _answer


class _Call:
    """One call that is answered; ``node`` is what is current meanwhile, in its ``with`` block, with which it ends."""

    __slots__ = ("_token", "context", "node", "span")

    def __init__(self, calls: Calls, path: str, context: Any) -> None:
        self.context = context if hasattr(context, "code") else _Noted(context)
        self.span: Span | None = None
        self.node: Context | Span = UNTRACED
        outer = current_node()
        if outer is not None and _answers(outer, path):
            self.node = outer
            return
        if calls.skips(path):
            return
        metadata = context.invocation_metadata() or ()
        found = dict(metadata)
        # A dict can be read at once, but has no room for two values of one name.
        parent = extract(found if len(found) == len(metadata) else list(metadata), NO_PARENT)
        attributes = _described(calls, path, context, found) if asks(calls.tracer) else None
        self.node = self.span = span = calls.tracer.start_span(name_of(path), parent, SERVER, attributes)
        if attributes is None and span.is_recording():
            span.set_attributes(_described(calls, path, context, metadata))

    def __enter__(self) -> _Call:
        self._token = attach(self.node)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        detach(self.node, self._token)
        self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """The function has returned, or raised."""
        span = self.span
        if span is None:
            return
        try:
            self._describe(span, error)
        except Exception:  # a context that is not as gRPC's are
            pass
        span.end()

    def _describe(self, span: Span, error: BaseException | None) -> None:
        context = self.context
        code = word_of(context.code())
        aborted = isinstance(error, Exception) and _is_abort(error) and code not in ("", OK)
        # What reading the requests of a caller who has gone raises.
        left = type(error) is grpc.RpcError and not _is_active(context)
        if isinstance(error, Exception) and not aborted and not left:
            span._record(error)
            span.set_attribute("rpc.response.status_code", UNKNOWN if code in ("", OK) else code)
            span.set_attribute("error.type", error_type(error))
        elif aborted or (error is None and _is_active(context)):
            answered(span, code or OK, text_of(context.details()), SERVER_ERRORS.__contains__)
        else:
            # Nobody waits for the answer any more: its time was up, or the caller went away.
            remaining = context.time_remaining()
            late = remaining is not None and remaining <= _LATE_SECONDS
            answered(span, "DEADLINE_EXCEEDED" if late else CANCELLED, None, SERVER_ERRORS.__contains__)
            span.add_event("cancelled")


class _Noted:
    """The context of a function without asyncio under grpc.aio, which does not tell its status itself."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: Any = None
        self._details: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def abort(self, code: Any, details: str = "", *args: Any, **kwargs: Any) -> Any:
        self._code, self._details = code, details
        return self._context.abort(code, details, *args, **kwargs)

    def set_code(self, code: Any) -> None:
        self._code = code
        self._context.set_code(code)

    def set_details(self, details: str) -> None:
        self._details = details
        self._context.set_details(details)

    def code(self) -> Any:
        return self._code

    def details(self) -> Any:
        return self._details


def _is_active(context: Any) -> bool:
    """Whether the caller still waits; those of grpc.aio cancel the function if he does not."""
    active = getattr(context, "is_active", None)
    return active is None or active()


def _is_abort(error: Exception) -> bool:
    """Whether it is what ``context.abort()`` raises, which is an answer."""
    return isinstance(error, grpc.aio.AbortError) or (type(error) is Exception and not error.args)


def _described(calls: Calls, path: str, context: Any, metadata: Any) -> dict[str, Any]:
    attributes = attributes_of("grpc", path)
    try:
        address, port = address_of(context.peer())
        if address:  # a Unix socket may have none
            attributes["network.peer.address"] = address
        if port:
            attributes["network.peer.port"] = port
        if calls.request_metadata:
            attributes |= captured(metadata, calls.request_metadata)
    except Exception:  # a context that is not as gRPC's are
        pass
    return attributes


def _answers(node: Any, path: str) -> bool:
    """Whether a span is that of this call, by an interceptor further out."""
    return isinstance(node, Span) and node.kind is SERVER and node.name == name_of(path)


def _answer(calls: Calls, path: str, behavior: Any) -> Any:
    def answer(request: Any, context: Any) -> Any:
        with _Call(calls, path, context) as call:
            return behavior(request, call.context)

    return answer


def _stream(calls: Calls, path: str, behavior: Any) -> Any:
    def answer(request: Any, context: Any) -> Any:
        call = _Call(calls, path, context)
        try:
            with use(call.node):
                responses = behavior(request, call.context)
        except BaseException as error:
            call.end(error)
            raise
        return _responses(call, responses)

    return answer


def _responses(call: _Call, responses: Any) -> Iterator[Any]:
    with call:
        yield from responses


def _answer_async(calls: Calls, path: str, behavior: Any) -> Any:
    async def answer(request: Any, context: Any) -> Any:
        with _Call(calls, path, context):
            return await behavior(request, context)

    return answer


def _stream_async(calls: Calls, path: str, behavior: Any) -> Any:
    async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
        with _Call(calls, path, context):
            async with aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response

    return answer
