"""What a receiver of OTLP says of a request, and in which words (opentelemetry-proto, docs/specification.md)."""

from __future__ import annotations

import json

from fasttrace._core import decode
from fasttrace.local.otlp_json import request_from_json
from fasttrace.local.wire import fields, part, varint

PROTOBUF, JSON = "application/x-protobuf", "application/json"
# google.rpc.Code
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAUTHENTICATED, UNAVAILABLE = 3, 8, 12, 16, 14
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class Malformed(ValueError):
    """A request that can't be read; the text says where and why."""


def admit(body: bytes, content_type: str) -> tuple[bytes, int, int]:
    """The request as protobuf without the spans that have no valid ids: it, its spans, and how many were rejected.

    Raises Malformed for what is no ``ExportTraceServiceRequest``.
    """
    try:
        request = request_from_json(body) if content_type == JSON else body
        spans = decode.decode_request(request)
    except ValueError as error:
        raise Malformed(f"not an OTLP trace request: {error}") from None
    bad = {at for at, span in enumerate(spans) if span.trace_id in ("", _NO_TRACE) or span.span_id in ("", _NO_SPAN)}
    if bad:
        request = _without(request, bad)
    return request, len(spans) - len(bad), len(bad)


def _without(request: bytes, bad: set[int]) -> bytes:
    """The request without these spans, counted in the order of the bytes. The request must be sound."""
    at = iter(range(1 << 62))

    def keep(message: bytes, level: int) -> bytes:
        # Level 0: the request, whose field 1 are resource spans; 1 and 2: scope spans and spans are field 2.
        parts = []
        for number, start, begin, end in fields(message):
            if number != (1 if level == 0 else 2) or begin < 0:
                parts.append(message[start:end])
            elif level < 2:
                parts.append(part(number, keep(message[begin:end], level + 1)))
            elif next(at) not in bad:
                parts.append(message[start:end])
        return b"".join(parts)

    return keep(request, 0)


def accepted(content_type: str, rejected: int) -> bytes:
    """The body of an ``ExportTraceServiceResponse``: empty, or a partial success."""
    text = f"{rejected} without a valid trace id and span id" if rejected else ""
    if content_type == JSON:
        partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": text}} if rejected else {}
        return json.dumps(partial).encode()
    if not rejected:
        return b""
    return part(1, varint(1 << 3) + varint(rejected) + part(2, text.encode()))


def status(content_type: str, code: int, text: str) -> bytes:
    """The body of a failure: a ``google.rpc.Status``."""
    if content_type == JSON:
        return json.dumps({"code": code, "message": text}).encode()
    return varint(1 << 3) + varint(code) + part(2, text.encode())
