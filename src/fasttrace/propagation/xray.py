"""AWS X-Ray (AWS documentation, "X-Ray concepts", tracing header): ``X-Amzn-Trace-Id``.

``Root=1-8hex-24hex;Parent=16hex;Sampled=1``, in any order. ``Sampled=?`` and no ``Sampled`` leave the decision to
us. A root without a parent, as a load balancer sends it, starts a new trace: there is no span to be a child of.
"""

from __future__ import annotations

from fasttrace.context import Context, Span
from fasttrace.propagation.base import remote, to_inject
from fasttrace.propagation.carrier import first, put
from fasttrace.propagation.strict import lower_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SAMPLED = {"1": True, "0": False, "?": None, "": None}
MAX_CHARACTERS = 1024


class XRayPropagator:
    """Reads and writes ``X-Amzn-Trace-Id``; fields that are not ours are not kept."""

    fields: tuple[str, ...] = ("x-amzn-trace-id",)

    def extract(self, carrier: Any, context: Context | Span | None = None) -> Any:
        """The remote context in the header; the context given when there is none or a malformed one."""
        text = first(carrier, "x-amzn-trace-id")
        if text is None or len(text) > MAX_CHARACTERS:
            return context
        parts: dict[str, str] = {}
        for part in text.split(";"):
            key, _, value = part.strip(" \t").partition("=")
            parts.setdefault(key.lower(), value)
        root = parts.get("root", "")
        trace_id = lower_hex(root[2:10] + root[11:], 32) if root[:2] == "1-" and root[10:11] == "-" else 0
        span_id = lower_hex(parts.get("parent", ""), 16)
        sampled = parts.get("sampled", "")
        if not trace_id or not span_id or sampled not in _SAMPLED:
            return context
        return remote(trace_id, span_id, context, sampled=_SAMPLED[sampled])

    def inject(self, carrier: Any, context: Context | Span | None = None) -> None:
        """Write the header; nothing for an invalid context."""
        node = to_inject(context)
        ids = None if node is None else node.span_context
        if node is None or ids is None:
            return
        trace = ids.trace_id_hex
        state = "" if node.sampled is None else ";Sampled=1" if node.sampled else ";Sampled=0"
        # In this case: there are readers that compare it.
        put(carrier, "X-Amzn-Trace-Id", f"Root=1-{trace[:8]}-{trace[8:]};Parent={ids.span_id_hex}{state}")
