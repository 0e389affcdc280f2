"""The binary header of OpenCensus and gRPC (``grpc-trace-bin``, OpenCensus BinaryEncoding): 29 bytes.

Bytes are taken as they are, as gRPC's metadata and Kafka's message headers have them; text as base64 with or
without padding, as it stands in HTTP/2. Several values of one field start a new trace.
"""

from __future__ import annotations

from fasttrace._core import headers
from fasttrace.context import Context, Span
from fasttrace.propagation.base import remote, to_inject
from fasttrace.propagation.carrier import put, raw_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace._core import SpanContext

encode: Callable[[Any], bytes] = headers.encode_binary
decode: Callable[[Any], SpanContext | None] = headers.decode_binary

__all__ = ["BinaryPropagator", "decode", "encode"]

NAME = "grpc-trace-bin"
# 29 bytes, fields of later versions behind them, in base64: more is not read.
MAX_TEXT_CHARACTERS = 1024


class BinaryPropagator:
    """Reads and writes ``grpc-trace-bin``; what it writes is bytes."""

    fields: tuple[str, ...] = (NAME,)

    def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
        """The remote context in the header; the context given when there is none, several or a malformed one."""
        try:
            (value,) = raw_values(carrier, NAME)
        except Exception:  # none, several, or a carrier that fails
            return context
        found = decode(_from_base64(value) if isinstance(value, str) else value)
        return context if found is None else remote(found.trace_id, found.span_id, context, flags=found.trace_flags)

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write the header's bytes; nothing for an invalid context."""
        node = to_inject(context)
        data = b"" if node is None else encode(node)
        if data:
            put(carrier, NAME, data)


def _from_base64(text: str) -> bytes:
    from base64 import b64decode

    text = text.strip(" \t").rstrip("=")
    if len(text) > MAX_TEXT_CHARACTERS or not text.isascii():
        return b""
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""
