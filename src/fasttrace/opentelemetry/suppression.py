"""What keeps instrumented HTTP clients from tracing our exporters."""

from __future__ import annotations

from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.context.context import Context as ApiContext

from fasttrace.opentelemetry.convert import view_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace._core._python.context import Node


def suppressed(node: Node) -> ApiContext:
    """What a node looks like to OpenTelemetry's instrumentations when they are to do nothing below it."""
    keys = (_SUPPRESS_INSTRUMENTATION_KEY, _SUPPRESS_HTTP_INSTRUMENTATION_KEY)
    return ApiContext({**view_of(node), **dict.fromkeys(keys, True)})
