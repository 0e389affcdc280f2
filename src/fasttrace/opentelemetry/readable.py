"""What exporters and processors of OpenTelemetry's SDK read of a span (its ``ReadableSpan``), made when it is read."""

from __future__ import annotations

import json
import sys
from types import MappingProxyType

from opentelemetry.trace import Link as ApiLink
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from fasttrace import _log
from fasttrace._core import decode
from fasttrace._core.layout import SPAN_FLAG_IS_REMOTE
from fasttrace.errors import ReadOnlySpanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from fasttrace._core import InstrumentationScope


class Event:
    """An event of a span: ``name``, ``timestamp`` in nanoseconds since 1970, ``attributes``."""

    __slots__ = ("attributes", "dropped_attributes", "name", "timestamp")

    def __init__(self, name: str, timestamp: int, attributes: Mapping[str, Any], dropped_attributes: int) -> None:
        self.name: str = name
        self.timestamp: int = timestamp
        self.attributes: Mapping[str, Any] = attributes
        self.dropped_attributes: int = dropped_attributes

    def __repr__(self) -> str:
        return f"Event({self.name!r}, {self.timestamp}, {dict(self.attributes)!r})"


class Link(ApiLink):
    """A link of a span, which knows how many of its attributes were dropped."""

    def __init__(self, context: SpanContext, attributes: Mapping[str, Any], dropped_attributes: int) -> None:
        super().__init__(context, attributes)
        self._dropped_attributes = dropped_attributes

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were beyond the limits."""
        return self._dropped_attributes


class ReadableMixin:
    """The reads of the SDK's spans that OpenTelemetry's API has not; stands beside the core's ``Span``."""

    # Each provider has a subclass of its own, which knows it.
    _provider: Any = None
    # The span context of the parent, where a processor has seen the start.
    _parent_context: Any = None

    @property
    def parent(self) -> SpanContext | None:
        """The parent's span context; None on a root."""
        span: Any = self
        number = span.parent_span_id
        if not number:
            return None
        known = self._parent_context
        if known is not None and known.span_id == number:
            found: SpanContext = known
            return found
        mine = span.get_span_context()
        return SpanContext(mine.trace_id, number, False, mine.trace_flags, mine.trace_state)

    @property
    def start_time(self) -> int:
        """The start, in nanoseconds since 1970."""
        found: int = self.start_time_ns  # type: ignore[attr-defined]
        return found

    @property
    def end_time(self) -> int | None:
        """The end, in nanoseconds since 1970; None until then."""
        found: int | None = self.end_time_ns  # type: ignore[attr-defined]
        return found

    @property
    def events(self) -> Sequence[Event]:
        """The events, in order."""
        return _decoded(self)[0]

    @property
    def links(self) -> Sequence[Link]:
        """The links, in order."""
        return _decoded(self)[1]

    @property
    def resource(self) -> Any:
        """The provider's resource."""
        provider = self._provider
        return None if provider is None else provider.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """Whose tracer made this span."""
        found: InstrumentationScope = self.scope  # type: ignore[attr-defined]
        return found

    @property
    def instrumentation_info(self) -> InstrumentationScope:
        """The old name of ``instrumentation_scope``."""
        return self.instrumentation_scope

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were beyond the limits."""
        found: int = self._encoded_parts[1]  # type: ignore[attr-defined]
        return found

    @property
    def dropped_events(self) -> int:
        """How many events were beyond the limits."""
        found: int = self._encoded_parts[2]  # type: ignore[attr-defined]
        return found

    @property
    def dropped_links(self) -> int:
        """How many links were beyond the limits."""
        found: int = self._encoded_parts[3]  # type: ignore[attr-defined]
        return found

    def to_json(self, indent: int | None = 4) -> str:
        """The span as the SDK's ``to_json`` writes it."""
        return to_json(self, indent)


# What the SDK's spans keep their fields in; who writes there wants to change what is exported.
FIELDS = frozenset(
    (
        "_attributes",
        "_context",
        "_end_time",
        "_events",
        "_instrumentation_info",
        "_instrumentation_scope",
        "_kind",
        "_links",
        "_name",
        "_parent",
        "_resource",
        "_start_time",
        "_status",
    )
)


# In the dict of a ReadableSpan that somebody tried to change, whatever he made of the error.
REFUSED = "_refused"


class ReadableSpan:
    """A span that has ended, as processors and exporters get it: everything can be read, nothing changed.

    Whoever writes to a field of it gets a ReadOnlySpanError, and a line is logged.
    """

    def __init__(self, span: Any) -> None:
        self.__dict__["_span"] = span

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS:
            value = getattr(self, name[1:])
            return ReadOnlyAttributes(value, self) if name == "_attributes" else value
        return getattr(self.__dict__["_span"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIELDS:
            refuse(self, name)
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        if name in FIELDS:
            refuse(self, name)
        del self.__dict__[name]

    @property
    def name(self) -> str:
        """The name."""
        found: str = self.__dict__["_span"].name
        return found

    @property
    def context(self) -> SpanContext:
        """The part of the span that travels."""
        return self._once("context", lambda span: span.get_span_context())  # type: ignore[no-any-return]

    def get_span_context(self) -> SpanContext:
        """The part of the span that travels."""
        return self.context

    def is_recording(self) -> bool:
        """No: it has ended."""
        return False

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes, to read."""
        return self._once("attributes", lambda span: span.attributes)  # type: ignore[no-any-return]

    @property
    def events(self) -> Sequence[Event]:
        """The events, in order."""
        return self._once("decoded", _decoded)[0]  # type: ignore[no-any-return]

    @property
    def links(self) -> Sequence[Link]:
        """The links, in order."""
        return self._once("decoded", _decoded)[1]  # type: ignore[no-any-return]

    def _once(self, name: str, read: Any) -> Any:
        known = self.__dict__
        key = f"_read_{name}"
        if key not in known:
            known[key] = read(known["_span"])
        return known[key]

    def to_json(self, indent: int | None = 4) -> str:
        """The span as the SDK's ``to_json`` writes it."""
        return to_json(self, indent)

    def __repr__(self) -> str:
        return f"ReadableSpan({self.__dict__['_span']!r})"


def _delegate(name: str, text: str) -> property:
    return property(lambda self: getattr(self.__dict__["_span"], name), doc=text)


# Properties rather than __getattr__, since the SDK's own class may stand behind and has them, too.
for _name in (
    "kind",
    "parent",
    "start_time",
    "end_time",
    "status",
    "resource",
    "instrumentation_scope",
    "instrumentation_info",
    "dropped_attributes",
    "dropped_events",
    "dropped_links",
):
    setattr(ReadableSpan, _name, _delegate(_name, f"The span's ``{_name}``."))

_stock_types: dict[type, type[ReadableSpan]] = {}
# The fields about which a line was written: once is enough.
refused: set[str] = set()


def view_type() -> type[ReadableSpan]:
    """``ReadableSpan``, as a subclass of the SDK's one if that is loaded: some exporters ask for it."""
    module = sys.modules.get("opentelemetry.sdk.trace")
    stock = getattr(module, "ReadableSpan", None)
    if not isinstance(stock, type):
        return ReadableSpan
    if stock not in _stock_types:
        _stock_types[stock] = type("ReadableSpan", (ReadableSpan, stock), {"__doc__": ReadableSpan.__doc__})
    return _stock_types[stock]


def pass_for_stock(span_type: type) -> None:
    """Have ``isinstance(span, opentelemetry.sdk.trace.Span)`` say yes, where the SDK is loaded: some code asks that."""
    register = getattr(getattr(sys.modules.get("opentelemetry.sdk.trace"), "Span", None), "register", None)
    if register is not None:
        register(span_type)


def refuse(span: ReadableSpan, name: str) -> NoReturn:
    """Say, loudly, that a span that has ended can't be changed, and where it can."""
    span.__dict__[REFUSED] = True
    text = (
        f"span.{name} was written after the end of the span, when it can't be changed any more: such a span is dropped "
        "(encode_error). Do it in the processor's _on_ending(span), where span.set_attribute(key, value) still works"
    )
    if name not in refused:
        refused.add(name)
        _log.line("ERROR", "%s", text)
    raise ReadOnlySpanError(text)


class ReadOnlyAttributes(dict[str, "Any"]):
    """The attributes of a span that has ended, where the SDK's users expect a dict that they can write to."""

    __slots__ = ("_owner",)

    def __init__(self, attributes: Mapping[str, Any], owner: ReadableSpan) -> None:
        super().__init__(attributes)
        self._owner = owner

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        refuse(self._owner, "_attributes")

    __setitem__: Any = _refuse
    __delitem__: Any = _refuse
    clear: Any = _refuse
    pop: Any = _refuse
    popitem: Any = _refuse
    setdefault: Any = _refuse
    update: Any = _refuse
    __ior__: Any = _refuse


def _decoded(span: Any) -> tuple[tuple[Event, ...], tuple[Link, ...]]:
    """The events and links of a span of the core, read from its bytes."""
    data = span._encoded_parts[0]
    if not data:
        return (), ()
    found = decode.decode_span(data)
    events = tuple(
        Event(event.name, event.time_ns, _mapping(event.attributes), event.dropped_attributes_count)
        for event in found.events
    )
    links = tuple(
        Link(
            SpanContext(
                int(link.trace_id or "0", 16),
                int(link.span_id or "0", 16),
                bool(link.flags & SPAN_FLAG_IS_REMOTE),
                TraceFlags(link.flags & 0xFF),
                TraceState.from_header([link.trace_state]) if link.trace_state else TraceState(),
            ),
            _mapping(link.attributes),
            link.dropped_attributes_count,
        )
        for link in found.links
    )
    return events, links


def _mapping(attributes: dict[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType({key: _frozen(value) for key, value in attributes.items()})


def _frozen(value: Any) -> Any:
    """Sequences as tuples, as the SDK has them."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value


def to_json(span: Any, indent: int | None = 4) -> str:
    """A span as the SDK's ``to_json`` writes it."""
    status = {"status_code": span.status.status_code.name}
    if span.status.description:
        status["description"] = span.status.description
    parent = span.parent
    found = {
        "name": span.name,
        "context": _context(span.get_span_context()),
        "kind": str(span.kind),
        "parent_id": None if parent is None else f"0x{parent.span_id:016x}",
        "start_time": _time(span.start_time),
        "end_time": _time(span.end_time),
        "status": status,
        "attributes": dict(span.attributes),
        "events": [
            {"name": event.name, "timestamp": _time(event.timestamp), "attributes": dict(event.attributes)}
            for event in span.events
        ],
        "links": [{"context": _context(link.context), "attributes": dict(link.attributes)} for link in span.links],
        "resource": None if span.resource is None else json.loads(span.resource.to_json()),
    }
    return json.dumps(found, indent=indent)


def _context(context: SpanContext) -> dict[str, str]:
    return {
        "trace_id": f"0x{context.trace_id:032x}",
        "span_id": f"0x{context.span_id:016x}",
        "trace_state": repr(context.trace_state),
    }


def _time(nanoseconds: int | None) -> str | None:
    if not nanoseconds:
        return None
    from datetime import UTC, datetime

    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
