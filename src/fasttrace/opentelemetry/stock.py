"""Stock span processors with stock exporters as what they are natively: an exporter of ours with their settings.

Recognised are the very classes, without anything of theirs replaced; whatever else stays a processor. Nothing of the
SDK is imported: a processor of its classes is there only if they are.
"""

from __future__ import annotations

import os
import sys

from fasttrace import _log
from fasttrace.errors import FasttraceError
from fasttrace.export.base import address
from fasttrace.export.null import NullExporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.export.base import Exporter

_EXPORT = "opentelemetry.sdk.trace.export"
# What SimpleSpanProcessor's exporters wait: as good as nothing, and on the background thread.
SIMPLE_DELAY_SECONDS = 0.01
STOP_SECONDS = 5.0


class Recognised:
    """A stock pair as the native pipeline has it; times in seconds."""

    __slots__ = ("exporter", "max_batch_spans", "max_queue_spans", "schedule_delay")

    def __init__(
        self,
        exporter: Exporter,
        schedule_delay: float,
        max_batch_spans: int | None = None,
        max_queue_spans: int | None = None,
    ) -> None:
        self.exporter: Exporter = exporter
        self.schedule_delay: float = schedule_delay
        self.max_batch_spans: int | None = max_batch_spans
        self.max_queue_spans: int | None = max_queue_spans


def take_over(provider: Any, processor: Any) -> bool:
    """Let the native pipeline do what a stock pair does, if it is one and nobody asked for another exporter."""
    found = recognise(processor)
    if found is None:
        return False
    native = provider.native
    destination = getattr(found.exporter, "destination", None)
    same = destination is not None and getattr(native.exporter, "destination", None) == destination
    if not (provider.default_exporter or same or type(native.exporter) is NullExporter):
        return False
    native.redirect(found.exporter, schedule_delay=found.schedule_delay, max_batch_spans=found.max_batch_spans)
    provider.default_exporter = False
    _stop(processor, native)
    room = native.recorder.ring.max_spans
    _log.line(
        "INFO",
        "%s runs natively: %s to %s, batches of at most %d spans after at most %g s, a queue of %d spans",
        type(processor).__name__,
        type(found.exporter).__name__,
        address(found.exporter),
        native.pipeline.batches.max_spans,
        found.schedule_delay,
        room,
    )
    if found.max_queue_spans is not None and found.max_queue_spans > room:
        _log.line(
            "WARNING",
            "the queue has room for %d spans, not the %d that %s asked for: set OTEL_BSP_MAX_QUEUE_SIZE or give the "
            "provider max_queue_spans",
            room,
            found.max_queue_spans,
            type(processor).__name__,
        )
    return True


def switch_off_default(provider: Any) -> None:
    """An exporter that nobody asked for gives way to processors."""
    if provider.default_exporter:
        provider.default_exporter = False
        provider.native.redirect(NullExporter())


def recognise(processor: Any) -> Recognised | None:
    """What a stock pair is natively; None for what is none, was changed, or can't be done natively."""
    try:
        return _recognise(processor)
    except (AttributeError, TypeError, ValueError, KeyError, ImportError, FasttraceError):
        return None  # another version than those known, or a setting that we have not: it goes on as a processor


def _recognise(processor: Any) -> Recognised | None:
    if _is(processor, _EXPORT, "BatchSpanProcessor"):
        batch = processor._batch_processor
        if not _unchanged(batch) or batch._shutdown or batch._queue:
            return None
        exporter = _exporter(batch._exporter)
        if exporter is None:
            return None
        return Recognised(
            exporter, float(batch._schedule_delay), int(batch._max_export_batch_size), int(batch._max_queue_size)
        )
    if _is(processor, _EXPORT, "SimpleSpanProcessor"):
        exporter = _exporter(processor.span_exporter)
        return None if exporter is None else Recognised(exporter, SIMPLE_DELAY_SECONDS)
    return None


def _exporter(stock: Any) -> Exporter | None:
    """Our exporter for one of the stock ones. The console's stays: its text is the SDK's own, span by span."""
    if _is(stock, "opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"):
        return _otlp_http(stock)
    if _is(stock, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "OTLPSpanExporter"):
        return _otlp_grpc(stock)
    if _is(stock, "opentelemetry.exporter.zipkin.json", "ZipkinExporter"):
        return _zipkin(stock)
    return None


def _is(value: Any, module: str, name: str) -> bool:
    """Whether this is an object of the very class, and nothing of the class was replaced on it."""
    known = getattr(sys.modules.get(module), name, None)
    return known is not None and type(value) is known and _unchanged(value)


def _unchanged(value: Any) -> bool:
    return not any(hasattr(type(value), name) for name in vars(value))


def _otlp_http(stock: Any) -> Exporter | None:
    from fasttrace.export.otlp_http import OTLPExporter

    client = vars(stock).get("_client")
    if client is not None:
        if not (_unchanged(client) and type(client._transport).__name__ == "RequestsHTTPTransport"):
            return None
        session, headers, timeout = client._transport._session, client._headers, client._timeout
        verify, cert = session.verify, session.cert
    else:
        session, headers, timeout = stock._session, stock._headers, stock._timeout
        verify, cert = stock._certificate_file, stock._client_cert
    if not _plain_session(session) or verify is False:
        return None
    compression = stock._compression.value
    if compression not in ("none", "gzip"):
        return None
    client_certificate, client_key = cert if isinstance(cert, tuple) else (cert, None)
    return OTLPExporter(
        stock._endpoint,
        headers=_own_headers(headers),
        timeout=float(timeout),
        compression=compression,
        certificate=_certificate(verify),
        client_certificate=client_certificate,
        client_key=client_key,
    )


def _certificate(verify: Any) -> str | None:
    """What requests would trust: the file that was given, else that of its variables."""
    if isinstance(verify, str):
        return verify
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or None


def _own_headers(headers: Any) -> dict[str, str]:
    """The headers that a user has set, without those of the transport."""
    ours = ("content-type", "content-encoding", "user-agent")
    return {str(name): str(value) for name, value in dict(headers or {}).items() if name.lower() not in ours}


def _plain_session(session: Any) -> bool:
    """Whether a session of requests is as it was made: no authentication, adapters, proxies or hooks of the user's."""
    import requests

    if type(session) is not requests.Session or not _unchanged(session):
        return False
    adapters = list(session.adapters.values())
    return (
        session.auth is None
        and session.trust_env
        and not session.proxies
        and not session.params
        and not len(session.cookies)
        and not any(session.hooks.values())
        and all(
            type(adapter) is requests.adapters.HTTPAdapter and adapter.max_retries.total == 0 for adapter in adapters
        )
        and not _foreign_headers(session.headers)
    )


def _foreign_headers(headers: Any) -> bool:
    """Whether a session has more headers than requests and the exporters give it."""
    import requests

    usual = {*requests.utils.default_headers(), "content-type", "content-encoding", "user-agent"}
    return not {name.lower() for name in headers} <= {name.lower() for name in usual}


def _otlp_grpc(stock: Any) -> Exporter | None:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc import exporter as module

    from fasttrace.export.otlp_grpc import OTLPGrpcExporter

    usual = tuple(getattr(module, "_OTLP_GRPC_CHANNEL_OPTIONS", ()))
    retried = getattr(module, "_RETRYABLE_ERROR_CODES", None)
    compressions = {grpc.Compression.NoCompression: "none", grpc.Compression.Gzip: "gzip"}
    if (
        tuple(getattr(stock, "_channel_options", usual)) != usual
        or getattr(stock, "_retryable_error_codes", retried) != retried
        or stock._compression not in compressions
    ):
        return None
    return OTLPGrpcExporter(
        f"http{'' if stock._insecure else 's'}://{stock._endpoint}",
        insecure=stock._insecure,
        credentials=None if stock._insecure else stock._credentials,
        headers=_own_headers(stock._headers),
        timeout=float(stock._timeout),
        compression=compressions[stock._compression],
    )


def _zipkin(stock: Any) -> Exporter | None:
    from fasttrace.export.zipkin import ZipkinExporter

    node = stock.local_node
    if (
        type(stock.encoder).__name__ != "JsonV2Encoder"
        or stock.encoder.max_tag_value_length
        or (node.ipv4, node.ipv6, node.port) != (None, None, None)
        or not _plain_session(stock.session)
    ):
        return None
    return ZipkinExporter(stock.endpoint, timeout=float(stock.timeout))


def _stop(processor: Any, native: Any) -> None:
    """End the stock processor's thread; who still has the processor in hand flushes what does its work."""
    batch = getattr(processor, "_batch_processor", None)
    if batch is not None:
        batch._shutdown = True
        batch._worker_awaken.set()
        batch._worker_thread.join(STOP_SECONDS)

    def force_flush(timeout_millis: float | None = 30_000) -> bool:
        flushed: bool = native.flush(30.0 if timeout_millis is None else timeout_millis / 1000)
        return flushed

    def shutdown() -> None:
        native.flush(native.settings.exit_timeout)

    processor.force_flush, processor.shutdown = force_flush, shutdown
