"""The OTLP/HTTP receiver: what it accepts is appended to the spool, like every process's own spans."""

from __future__ import annotations

import asyncio
import time
import zlib

from starlette.requests import Request
from starlette.responses import Response

from fasttrace.errors import SpoolError
from fasttrace.export.segments import MAX_REQUEST_BYTES
from fasttrace.local.server import otlp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from fasttrace.export.spool import SpoolExporter

MAX_BODY_BYTES = 16 * 1024 * 1024
# Bodies take memory as they come, decoded ones many times that: so many are read and decoded at once, the others wait.
READ_AT_ONCE, DECODED_AT_ONCE = 16, 2
MAX_MEMBERS = 16
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
READ_SECONDS = 30.0
BYTES_PER_SECOND = 64 * 1024 * 1024


class Refused(Exception):
    """An answer other than 200: HTTP's status, google.rpc's code, the text."""

    def __init__(self, status: int, code: int, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class Receiver:
    """Answers ``POST /v1/traces``.

    ``max_body_bytes`` is of the body as sent, four times as much is taken of what it unpacks to, and never more than a
    frame of the spool holds; ``bytes_per_second`` of unpacked bytes, with a burst of a second or one largest request.
    """

    def __init__(
        self,
        spool: SpoolExporter,
        on_spans: Callable[[], None] = lambda: None,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        bytes_per_second: int = BYTES_PER_SECOND,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._spool = spool
        self._on_spans = on_spans
        self._max_body = max_body_bytes
        self._max_bytes = min(4 * max_body_bytes, MAX_REQUEST_BYTES)
        self._rate = bytes_per_second
        self._allowance = self._burst = float(max(bytes_per_second, self._max_bytes))
        self._since = time.monotonic()
        self._read_seconds = read_seconds
        self._reading = asyncio.Semaphore(READ_AT_ONCE)
        self._decoding = asyncio.Semaphore(DECODED_AT_ONCE)
        self._appending = asyncio.Lock()
        self.accepted: int = 0
        self.rejected: int = 0
        self.requests: int = 0
        self.refused: int = 0

    def to_dict(self) -> dict[str, int]:
        """The counts since the start, for the health page."""
        return {
            "requests": self.requests,
            "refused_requests": self.refused,
            "accepted_spans": self.accepted,
            "rejected_spans": self.rejected,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        answer = await self.answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """One request, one answer, in the encoding of the request."""
        self.requests += 1
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        spoken = otlp.PROTOBUF if content_type == otlp.PROTOBUF else otlp.JSON
        try:
            rejected = await self._take(request, content_type)
        except Refused as refusal:
            self.refused += 1
            headers = {"content-type": spoken}
            if refusal.status == 405:
                headers["allow"] = "POST"
            if refusal.retry_after is not None:
                headers["retry-after"] = str(refusal.retry_after)
            if refusal.status in (408, 413):
                headers["connection"] = "close"
            return Response(otlp.status(spoken, refusal.code, str(refusal)), refusal.status, headers)
        return Response(otlp.accepted(content_type, rejected), headers={"content-type": content_type})

    async def _take(self, request: Request, content_type: str) -> int:
        """Read, check and keep a request; how many spans were rejected. Raises Refused."""
        if request.method != "POST":
            raise Refused(405, otlp.UNIMPLEMENTED, "send traces with POST")
        if content_type not in (otlp.PROTOBUF, otlp.JSON):
            raise Refused(
                415, otlp.INVALID_ARGUMENT, f"Content-Type {content_type!r}: use {otlp.PROTOBUF} or {otlp.JSON}"
            )
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", *_WINDOW_BITS):
            raise Refused(415, otlp.INVALID_ARGUMENT, f"Content-Encoding {encoding!r}: use gzip, deflate or none")
        async with self._reading:
            try:
                body = await asyncio.wait_for(self._body(request), self._read_seconds)
            except TimeoutError:
                raise Refused(408, otlp.UNAVAILABLE, "the body did not arrive in time") from None
        async with self._decoding:
            if encoding in _WINDOW_BITS:
                body = await asyncio.to_thread(_unpack, body, encoding, self._max_bytes)
            self._charge(len(body))
            try:
                data, spans, rejected = await asyncio.to_thread(otlp.admit, body, content_type)
            except otlp.Malformed as error:
                raise Refused(400, otlp.INVALID_ARGUMENT, str(error)) from None
            if spans:
                await self._append(data)
        self.accepted += spans
        self.rejected += rejected
        if spans:
            self._on_spans()
        return rejected

    async def _body(self, request: Request) -> bytes:
        declared = request.headers.get("content-length", "0")
        parts, size = [], 0
        if declared.isdigit() and int(declared) > self._max_body:
            raise self._too_large()
        async for part in request.stream():
            size += len(part)
            if size > self._max_body:
                raise self._too_large()
            parts.append(part)
        return b"".join(parts)

    def _too_large(self) -> Refused:
        return Refused(413, otlp.INVALID_ARGUMENT, f"more than {self._max_body:,} bytes: send smaller batches")

    def _charge(self, count: int) -> None:
        now = time.monotonic()
        self._allowance = min(self._burst, self._allowance + (now - self._since) * self._rate)
        self._since = now
        if count > self._allowance:
            wait = 1 + int((count - self._allowance) / self._rate)
            raise Refused(429, otlp.RESOURCE_EXHAUSTED, "too much at once", retry_after=wait)
        self._allowance -= count

    async def _append(self, data: bytes) -> None:
        async with self._appending:  # one segment, one writer
            try:
                await asyncio.to_thread(self._spool.append, data)
            except SpoolError as error:
                raise Refused(503, otlp.UNAVAILABLE, str(error), retry_after=5) from None


def _unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """What a body in gzip (of one or a few members) or zlib holds, at most ``limit`` bytes. Raises Refused."""
    out, size = [], 0
    for _ in range(MAX_MEMBERS):
        member = zlib.decompressobj(_WINDOW_BITS[encoding])
        try:
            part = member.decompress(body, limit - size + 1)
        except zlib.error:
            raise Refused(400, otlp.INVALID_ARGUMENT, f"the body is not {encoding}") from None
        size += len(part)
        if size > limit:
            raise Refused(413, otlp.INVALID_ARGUMENT, f"it unpacks to more than {limit:,} bytes: send smaller batches")
        if not member.eof:
            raise Refused(400, otlp.INVALID_ARGUMENT, f"the {encoding} body is cut short")
        out.append(part)
        body = member.unused_data
        if not body:
            return b"".join(out)
    raise Refused(400, otlp.INVALID_ARGUMENT, f"more than {MAX_MEMBERS} members in one body")
