"""What is measured, the same for every subject: our two implementations, the C floor, the OpenTelemetry SDK, the peers.

A subject says in its own words how a span begins, gets an attribute and so on (``Dialect``). Each case is written
once, as source with those words in it, with the loop and the clock around it: nothing wraps a subject's own calls.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from http_request import REQUEST_HEADERS

# Runs the case for each of a range, and gives the nanoseconds of the calling thread's CPU time.
Loop = Callable[[range], int]

# In which a span begins and ends.
SPAN_CASES = (
    "span",
    "span, 4 attributes",
    "span, 4 attributes at start",
    "span, 16 attributes",
    "span, 16 attributes at start",
    "span, 4 attributes and an event",
    "span with an exception",
    "child",
    "request of 6 spans",
    "unsampled root",
    "unsampled child",
)
CASES = (*SPAN_CASES, "current span", "set_attribute", "ids", "extract", "inject", "encode 4 attributes")
UNSAMPLED = ("unsampled root", "unsampled child")

FOUR: dict[str, Any] = {
    "http.request.method": "POST",
    "http.route": "/orders/{id}",
    "http.response.status_code": 200,
    "retried": False,
}
SIXTEEN: dict[str, Any] = {
    **FOUR,
    "url.path": "/orders/7",
    "url.scheme": "https",
    "server.address": "checkout.example",
    "server.port": 443,
    "client.address": "10.0.0.7",
    "network.protocol.version": "1.1",
    "user_agent.original": "client/1.0",
    "http.request.body.size": 512,
    "enduser.id": "7c9e6679",
    "customer.kind": "returning",
    "cart.total": 99.5,
    "cart.items": 3,
}


def calls(case: str) -> int:
    """How many make a sample.

    It stays below every queue's depth, and is so long that what the subject before has left in the caches is a small
    part of it.
    """
    return 320 if case == "request of 6 spans" else 1920 if case in SPAN_CASES else 2400


@dataclass(frozen=True)
class Dialect:
    """How a subject says things. ``{name}``, ``{key}`` and ``{value}`` are literals, ``{body}`` is what is inside.

    Those that open a block name its span ``span``. None is what a subject can't say: it lacks those cases.
    """

    root: str = "with start({name}) as span:\n{body}"
    child: str = "with start({name}) as span:\n{body}"
    given: str | None = "with start({name}, attributes={attributes}) as span:\n{body}"
    set: str | None = "span.set_attribute({key}, {value})"
    set_child: str | None = None  # where it is another one
    event: str | None = "span.add_event('cache miss')"
    current: str | None = None
    ids: str | None = None
    extract: str | None = None
    inject: str | None = None
    encode: str | None = None


@dataclass(frozen=True)
class Subject:
    """One thing that is measured: its cases, and its way to the bytes.

    ``drain()`` turns what is queued into encoded requests and gives the thread CPU nanoseconds that it took.
    """

    name: str
    loops: Mapping[str, Loop]
    drain: Callable[[], int] = field(default=lambda: 0)


def build(say: Dialect, names: Mapping[str, Any], unsampled: Mapping[str, Any] | None = None) -> dict[str, Loop]:
    """The cases that a subject can say.

    ``names`` is what its words stand for; ``unsampled`` what stands in its place where nothing is recorded.
    """
    loops = {}
    for case, (around, operation) in _sources(say).items():
        known = names if case not in UNSAMPLED else {**names, **unsampled} if unsampled is not None else None
        if known is not None:
            loops[case] = _loop(around, operation, known)
    return loops


def _sources(say: Dialect) -> dict[str, tuple[str, str]]:
    """By case: the block around the loop, with ``{body}`` in it, and what is repeated."""
    alone, in_root = "{body}", _put(say.root, name="root")
    found = {"span": (alone, _block(say.root, "operation")), "child": (in_root, _block(say.child, "operation"))}
    found["unsampled root"], found["unsampled child"] = found["span"], found["child"]
    # The library's own way to notice: an exception that leaves the block.
    raised = _block(say.root, "operation", "raise ValueError('out of stock')")
    found["span with an exception"] = alone, f"try:\n{_indent(raised)}\nexcept ValueError:\n    pass"
    if say.set is not None:
        four = _attributes(say.set, FOUR)
        found["span, 4 attributes"] = alone, _block(say.root, "operation", *four)
        found["span, 16 attributes"] = alone, _block(say.root, "operation", *_attributes(say.set, SIXTEEN))
        found["request of 6 spans"] = alone, _request(say)
        found["set_attribute"] = in_root, _put(say.set, key="cart.items", value=3)
        if say.event is not None:
            found["span, 4 attributes and an event"] = alone, _block(say.root, "operation", *four, say.event)
    if say.given is not None:
        for case, attributes in ("4", "FOUR"), ("16", "SIXTEEN"):
            start = say.given.replace("{attributes}", attributes)
            found[f"span, {case} attributes at start"] = alone, _block(start, "operation")
    for case, source in ("current span", say.current), ("inject", say.inject):
        if source is not None:
            found[case] = in_root, source
    for case, source in ("ids", say.ids), ("extract", say.extract), ("encode 4 attributes", say.encode):
        if source is not None:
            found[case] = alone, source
    return {case: found[case] for case in CASES if case in found}


def _request(say: Dialect) -> str:
    """A handler, two statements below a step of it, two calls: 6 spans of 2 attributes each."""
    assert say.set is not None
    setter = say.set_child or say.set

    def step(name: str, attributes: dict[str, Any], *inside: str) -> str:
        return _block(say.child, name, *_attributes(setter, attributes), *inside)

    order = step(
        "create order",
        {"order.items": 3, "customer.kind": "returning"},
        step("SELECT stock", {"db.system.name": "postgresql", "db.rows": 3}),
        step("INSERT order", {"db.system.name": "postgresql", "db.rows": 1}),
    )
    charge = step("charge", {"payment.method": "credit_card", "payment.amount": 12.5})
    publish = step("publish", {"messaging.system": "kafka", "messaging.batch.message_count": 1})
    own = _attributes(say.set, {"http.request.method": "POST", "http.response.status_code": 200})
    return _block(say.root, "POST /checkout", *own, order, charge, publish)


def _attributes(setter: str, attributes: dict[str, Any]) -> list[str]:
    return [_put(setter, key=key, value=value) for key, value in attributes.items()]


def _put(source: str, **literals: Any) -> str:
    for name, value in literals.items():
        source = source.replace("{" + name + "}", repr(value))
    return source


def _block(start: str, name: str, *body: str) -> str:
    return _put(start, name=name).replace("{body}", _indent("\n".join(body) or "pass"))


def _indent(source: str) -> str:
    return textwrap.indent(source, "    ")


def _loop(around: str, operation: str, names: Mapping[str, Any]) -> Loop:
    timed = f"begin = clock()\nfor _ in repeat:\n{_indent(operation)}\nspent = clock() - begin"
    inside = around.replace("{body}", _indent(timed) if around != "{body}" else timed)
    source = f"def loop(repeat):\n{_indent(inside)}\n    return spent"
    known = {**names, "clock": time.thread_time_ns, "FOUR": FOUR, "SIXTEEN": SIXTEEN, "HEADERS": REQUEST_HEADERS}
    exec(source, known)
    return known["loop"]  # type: ignore[no-any-return]
