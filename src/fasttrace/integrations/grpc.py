"""gRPC: a CLIENT span for every call that is made, a SERVER span for every one that is answered.

OpenTelemetry semantic conventions, "gRPC"; ``grpc`` and ``grpc.aio``, unary and streaming. The context travels in the
metadata, in the formats that ``configure(propagators=...)`` chose: ``traceparent`` or, with ``binary``,
``grpc-trace-bin``.

``instrument()`` traces every channel and server that is made from then on, ``instrument(channel)`` one channel;
``ServerInterceptor`` and ``AsyncServerInterceptor`` are for one server: ``grpc.server(pool,
interceptors=[ServerInterceptor()])``.
"""

from __future__ import annotations

import grpc

from fasttrace.integrations._grpc_client import trace_channel, untrace_channel
from fasttrace.integrations._grpc_server import AsyncServerInterceptor, ServerInterceptor
from fasttrace.integrations._layers import untraced
from fasttrace.integrations._patch import Patch, replace, restore
from fasttrace.integrations._rpc import Calls, skipped_by_default

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fasttrace.integrations._rpc import Skip

__all__ = ["AsyncServerInterceptor", "ServerInterceptor", "instrument", "uninstrument"]


def instrument(channel: Any = None, *, skip: Skip = None, capture_metadata: Iterable[str] = ()) -> Any:
    """Trace every channel and server that is made from now on, or one channel, which it gives back.

    Calling it again changes nothing. ``skip``: paths of methods of which nothing is recorded, ``*`` for anything
    (``["/grpc.health.v1.Health/*"]``), or a function of the path that returns True for those; servers otherwise leave
    out what FASTTRACE_SKIP_PATHS says. ``capture_metadata``: the names of metadata to be recorded.
    """
    calls = Calls("grpc", skip, capture_metadata)
    if channel is not None:
        trace_channel(channel, calls)
        return channel
    answers = calls if skip is not None else Calls("grpc", skipped_by_default(), capture_metadata)
    for owner in (grpc, grpc.aio):
        for name in ("insecure_channel", "secure_channel"):
            replace(owner, name, _channel_maker, calls)
    replace(grpc, "server", _server_maker(ServerInterceptor), answers)
    replace(grpc.aio, "server", _server_maker(AsyncServerInterceptor), answers)
    return None


def uninstrument(channel: Any = None) -> Any:
    """Undo ``instrument`` for one channel, or the process-wide one, also for what has been made since.

    Calling it again changes nothing.
    """
    if channel is not None:
        untrace_channel(channel)
        return channel
    for owner in (grpc, grpc.aio):
        for name in ("insecure_channel", "secure_channel", "server"):
            restore(owner, name)
    return None


def _channel_maker(original: Any, patch: Patch) -> Any:
    def make(target: Any, *args: Any, **kwargs: Any) -> Any:
        channel = original(target, *args, **kwargs)
        if patch.options is not None and not untraced():
            trace_channel(channel, patch.options, target, patch)
        return channel

    return make


def _server_maker(interceptor: Any) -> Any:
    def maker(original: Any, patch: Patch) -> Any:
        def server(*args: Any, **kwargs: Any) -> Any:
            if patch.options is None:
                return original(*args, **kwargs)
            # pool, handlers, interceptors: before all others, so that the span lasts as long as they do.
            given = (args[2] if len(args) > 2 else kwargs.pop("interceptors", None)) or ()
            ours = (interceptor._of(patch), *given)
            if len(args) > 2:
                return original(*args[:2], ours, *args[3:], **kwargs)
            return original(*args, interceptors=ours, **kwargs)

        return server

    return maker
