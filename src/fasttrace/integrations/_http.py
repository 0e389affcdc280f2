"""What HTTP servers and clients have in common (OpenTelemetry semantic conventions, "HTTP spans")."""

from __future__ import annotations

from functools import lru_cache

from fasttrace._core import headers
from fasttrace._core.layout import TAIL_CALLEE, THRESHOLD_ASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace._core import Span, Tracer

_METHODS = frozenset(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"))
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def known_method(method: str) -> str:
    """The method if it is one of RFC 9110, RFC 5789 or the QUERY method, else "" (names stay few)."""
    return method if method in _METHODS else ""


def asks(tracer: Tracer) -> bool:
    """Whether a sampler wants to see a span's attributes before it begins; they cost nothing before they are needed."""
    recorder = tracer.recorder
    return recorder is not None and THRESHOLD_ASK in recorder.thresholds


def heed_trace_response(span: Span, value: str | None) -> None:
    """Keep the trace here if a callee says in its ``traceresponse`` that it is kept there.

    W3C Trace Context, "Trace Context HTTP Response Headers Format" (draft).
    """
    if value is None or not span.is_recording():
        return
    context = headers.parse_traceparent(value)
    answer = None if context is None else context.span_context
    if answer is not None and answer.sampled and answer.trace_id == span.trace_id:
        span._keep(TAIL_CALLEE)


def error_type(error: BaseException) -> str:
    """The value of ``error.type`` for an exception: its class with its module, built-ins without."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def split_host(host: bytes, scheme: str) -> tuple[str, int | None]:
    """Address and port of a ``Host`` header, the port by the scheme if it has none; IPv6 without brackets."""
    return split_authority(host.decode("latin-1"), scheme)


@lru_cache(maxsize=256)
def split_authority(authority: str, scheme: str) -> tuple[str, int | None]:
    """Address and port of a URL's authority without user; otherwise as ``split_host``."""
    address, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        address, port = authority, ""
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if port.isascii() and port.isdigit() and len(port) <= 5:
        return address, int(port)
    return address, _PORTS.get(scheme)


def note_exception(span: Span, error: BaseException, answered: bool = False) -> None:
    """Put on a span what its own exit does not: the type of an exception, or that it was cancelled.

    ``answered`` says that ``error.type`` is the status code already.
    """
    if isinstance(error, Exception):
        if not answered:
            span.set_attribute("error.type", error_type(error))
    elif type(error).__name__ in ("CancelledError", "Cancelled"):  # asyncio's and trio's
        # Not an error: whoever cancelled had a reason; but it explains a span without an answer.
        span.add_event("cancelled")
