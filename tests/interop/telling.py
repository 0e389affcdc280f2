"""Spans with every kind of value that OTLP has: what they say, and a program that records them.

``python telling.py``: the exporter is configured by the environment; prints the ids in the order of SPANS, the
resource and the accounts as JSON, once all is sent.
"""

from __future__ import annotations

import json
from typing import Any

import fasttrace
from fasttrace import SpanKind, StatusCode

BEGAN_NS = 1_700_000_000_123_456_789
SCOPE = ("interop.telling", "1.2.3", "https://opentelemetry.io/schemas/1.27.0", {"team": "tracing", "n": 1})

ATTRIBUTES: dict[str, Any] = {
    "text": "plain",
    "text.empty": "",
    "text.beyond ASCII": "naïve – 追跡 🛰",
    "text.control": 'tab\tline\nnull\0 quote"backslash\\',
    "text.long": "0123456789" * 1000,
    "whole": 42,
    "whole.least": -(2**63),
    "whole.most": 2**63 - 1,
    "fraction": 0.1,
    "fraction.tiny": 5e-324,
    "fraction.huge": -1.7976931348623157e308,
    "fraction.whole": 3.0,
    "yes": True,
    "no": False,
    "bytes": bytes(range(256)),
    "texts": ["a", "", "ü"],
    "numbers": [1, -1, 2**53 + 1],
    "fractions": [0.5, -0.25],
    "booleans": [True, False],
    "nothing in it": [],
    "map": {"inner": {"deep": [1, "two", 3.5, False]}},
}

SPANS: list[dict[str, Any]] = [
    {"name": "root", "kind": SpanKind.SERVER, "attributes": ATTRIBUTES, "status": (StatusCode.OK, "")},
    {
        "name": "child: 子",
        "kind": SpanKind.CLIENT,
        "parent": 0,
        "events": [
            ("first", 10, {"attempt": 1, "why": "🐢"}),
            ("without attributes", 20, {}),
            ("exception", 30, {"exception.type": "ValueError", "exception.message": "no", "exception.escaped": True}),
        ],
        "status": (StatusCode.ERROR, "refused: ✗"),
    },
    {"name": "producer", "kind": SpanKind.PRODUCER, "parent": 1},
    {"name": "consumer", "kind": SpanKind.CONSUMER, "links": [(2, {"queue": "orders", "offset": 2**40}), (0, {})]},
    {"name": "internal, without length", "kind": SpanKind.INTERNAL, "parent": 0, "length": 0},
    {"name": "below a remote parent", "kind": SpanKind.SERVER, "remote": True},
]
REMOTE = {"traceparent": f"00-{'4b' * 16}-{'a7' * 8}-01", "tracestate": "vendor=value,other=1"}


def start_ns(index: int) -> int:
    return BEGAN_NS + index * 1_000_001


def end_ns(index: int) -> int:
    return start_ns(index) + SPANS[index].get("length", 999_999)


def record(tracer: Any) -> list[Any]:
    """Start and end all of them; the spans in order."""
    made: list[Any] = []
    for index, said in enumerate(SPANS):
        context = made[said["parent"]] if "parent" in said else fasttrace.extract(REMOTE if "remote" in said else {})
        span = tracer.start_span(
            said["name"],
            context=context,
            kind=said["kind"],
            attributes=said.get("attributes"),
            links=[fasttrace.Link(made[to].get_span_context(), attributes) for to, attributes in said.get("links", ())],
            start_time=start_ns(index),
        )
        for name, offset, attributes in said.get("events", ()):
            span.add_event(name, attributes, timestamp=start_ns(index) + offset)
        if "status" in said:
            span.set_status(*said["status"])
        made.append(span)
    for index, span in reversed(list(enumerate(made))):
        span.end(end_ns(index))
    return made


def main() -> None:
    provider = fasttrace.configure(service_name="telling", resource={"deployment.environment.name": "テスト", "n": 7})
    tracer = fasttrace.get_tracer(*SCOPE)
    made = record(tracer)
    resource = dict(provider.resource)
    delivered = fasttrace.shutdown(timeout=30)
    told = {
        "implementation": fasttrace.implementation()[0],
        "ids": [(span.trace_id_hex, span.span_id_hex) for span in made],
        "resource": resource,
        "delivered": delivered,
        "stats": fasttrace.stats(),
    }
    print(json.dumps(told, default=repr))


if __name__ == "__main__":
    main()
