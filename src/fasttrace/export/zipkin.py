"""Zipkin v2 JSON over HTTP (openzipkin/zipkin-api, zipkin2-api.yaml; OpenTelemetry, "Zipkin Exporter").

Variables: ``OTEL_EXPORTER_ZIPKIN_ENDPOINT`` and ``OTEL_EXPORTER_ZIPKIN_TIMEOUT``.
"""

from __future__ import annotations

import os
import time
from math import isfinite

from fasttrace import config
from fasttrace._core import SpanKind, StatusCode
from fasttrace.export.base import masked
from fasttrace.export.http import Sender
from fasttrace.export.parts import Parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace._core import SpanData
    from fasttrace.export.base import Batch

DEFAULT_ENDPOINT = "http://localhost:9411/api/v2/spans"
DEFAULT_TIMEOUT_SECONDS = 10.0
TIMEOUT_VARIABLE = "OTEL_EXPORTER_ZIPKIN_TIMEOUT"
# Who was called: the first of these attributes of a client or producer span names the remote endpoint.
REMOTE_NAMES = ("peer.service", "server.address", "db.namespace", "messaging.destination.name")


class ZipkinExporter:
    """Posts batches to a Zipkin server or whatever takes its JSON.

    ``endpoint``: the full URL. ``timeout``: seconds for one batch, retries included. ``compression``: ``gzip`` or
    ``none``. Raises ConfigurationError for a value that can't be used. Links have no place in Zipkin and are left out.
    """

    def __init__(self, endpoint: str | None = None, *, timeout: float | None = None, compression: str = "none") -> None:
        chosen = endpoint or os.environ.get("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
        milliseconds = os.environ.get(TIMEOUT_VARIABLE, "").strip()
        self.timeout: float = config.timeout(timeout, TIMEOUT_VARIABLE, milliseconds, DEFAULT_TIMEOUT_SECONDS)
        self._sender = Sender(chosen, {"content-type": "application/json"}, compression, {})
        self.endpoint = chosen
        self._parts = Parts()

    @property
    def destination(self) -> str:
        """Endpoint and headers: what can't be delivered waits for an exporter with the same."""
        return self._sender.destination

    def __repr__(self) -> str:
        return f"ZipkinExporter({masked(self.endpoint)!r})"

    def prepare(self) -> None:
        """Import what a request needs."""
        import base64  # noqa: F401
        import json  # noqa: F401

        self._sender.prepare()

    def export(self, batch: Batch) -> int | None:
        """Send one request, or several smaller ones. Raises ExportError when not all of it was delivered."""
        deadline = time.monotonic() + self.timeout
        if batch.deadline is not None:
            deadline = min(deadline, batch.deadline)
        return self._parts.deliver(
            batch, lambda part: self._sender.post(_encode(part), part, deadline, lambda answer: 0)
        )

    def probe(self, timeout: float) -> None:
        """Send a list without spans, once. Raises ExportError unless it is accepted within so many seconds."""
        self._sender.probe(b"[]", timeout)

    def flush(self, timeout: float) -> bool:
        """Nothing is held back."""
        return True

    def shutdown(self, timeout: float) -> None:
        """End a wait between two tries and close the connection."""
        self._sender.close()


def _encode(batch: Batch) -> bytes:
    import json

    return json.dumps([to_zipkin(span) for span in batch], separators=(",", ":")).encode()


def to_zipkin(span: SpanData) -> dict[str, Any]:
    """A span as a Zipkin v2 object; times in microseconds."""
    found: dict[str, Any] = {
        "traceId": span.trace_id,
        "id": span.span_id,
        "name": span.name,
        "timestamp": (span.start_time_ns + 500) // 1000,
        # At least 1: Zipkin takes 0 for unknown.
        "duration": max(1, (span.duration_ns + 500) // 1000),
        "localEndpoint": {"serviceName": str(span.resource.get("service.name", "unknown_service"))},
        "tags": _tags(span),
    }
    if span.parent_span_id:
        found["parentId"] = span.parent_span_id
    if span.kind is not SpanKind.INTERNAL:
        found["kind"] = span.kind.name
    if span.kind in (SpanKind.CLIENT, SpanKind.PRODUCER):
        for name in REMOTE_NAMES:
            if span.attributes.get(name):
                found["remoteEndpoint"] = {"serviceName": _text(span.attributes[name])}
                break
    if span.events:
        found["annotations"] = [
            {"timestamp": (event.time_ns + 500) // 1000, "value": _annotation(event.name, event.attributes)}
            for event in span.events
        ]
    return found


def _tags(span: SpanData) -> dict[str, str]:
    tags = {key: _text(value) for key, value in {**span.attributes, **span.resource}.items()}
    tags.pop("service.name", None)
    tags["otel.scope.name"] = span.scope.name
    if span.scope.version:
        tags["otel.scope.version"] = span.scope.version
    if span.status.status_code is not StatusCode.UNSET:
        tags["otel.status_code"] = span.status.status_code.name
    if span.status.status_code is StatusCode.ERROR:
        tags["error"] = span.status.description or ""
    for what in ("attributes", "events", "links"):
        count = getattr(span, f"dropped_{what}_count")
        if count:
            tags[f"otel.dropped_{what}_count"] = str(count)
    return tags


def _text(value: Any) -> str:
    """A value as a tag (OpenTelemetry, "AnyValue representation for non-OTLP protocols"); Zipkin takes no null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    import json

    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value inside another as JSON has it: bytes as base64, infinity and what is no number by name."""
    if isinstance(value, bytes):
        from base64 import b64encode

        return b64encode(value).decode()
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _annotation(name: str, attributes: dict[str, Any]) -> str:
    """The event's name, with its attributes as JSON where it has any."""
    if not attributes:
        return name
    import json

    return json.dumps({name: _plain(attributes)}, sort_keys=True)
