"""Distributed tracing that costs so little that it stays on for every request.

PYTEST_DONT_REWRITE: it may be there before pytest is (``fasttrace run -- pytest``), which would complain of that.
"""

from fasttrace import baggage
from fasttrace._core import InstrumentationScope, Link, SpanData, SpanKind, SpanLimits, Status, StatusCode
from fasttrace._version import __version__
from fasttrace.context import Context, Span, SpanContext, TraceState, current_span, use
from fasttrace.errors import ConfigurationError, ExportError, FasttraceError
from fasttrace.integrations import instrument, uninstrument
from fasttrace.process import (
    active_spans,
    aflush,
    configure,
    flush,
    get_tracer,
    implementation,
    keep_trace,
    recall,
    shutdown,
    stats,
)
from fasttrace.propagation import extract, inject
from fasttrace.provider import TracerProvider
from fasttrace.tracer import Tracer

__all__ = [
    "ConfigurationError",
    "Context",
    "ExportError",
    "FasttraceError",
    "InstrumentationScope",
    "Link",
    "Span",
    "SpanContext",
    "SpanData",
    "SpanKind",
    "SpanLimits",
    "Status",
    "StatusCode",
    "TraceState",
    "Tracer",
    "TracerProvider",
    "__version__",
    "active_spans",
    "aflush",
    "baggage",
    "configure",
    "current_span",
    "extract",
    "flush",
    "get_tracer",
    "implementation",
    "inject",
    "instrument",
    "keep_trace",
    "recall",
    "shutdown",
    "stats",
    "uninstrument",
    "use",
]
