"""Plain values that both implementations share: kinds, statuses, links, limits, decoded spans."""

from __future__ import annotations

from enum import IntEnum

from fasttrace._core.tracestate import TraceState as TraceState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


# Where a context keeps its baggage among the values that it carries.
BAGGAGE_KEY = "fasttrace.baggage"
# Among what a node carries: nothing below it is recorded, whatever samplers and tail rules would say.
UNTRACED_KEY = "fasttrace.untraced"
# What B3 and Jaeger call debug: the trace is wanted, whatever the samplers on its way would say.
DEBUG_VALUES = {"debug": True}


class SpanKind(IntEnum):
    """The role of a span (OpenTelemetry Trace API, "SpanKind"); on the wire each is one more."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


class StatusCode(IntEnum):
    """The outcome of a span (OpenTelemetry Trace API, "Set Status")."""

    UNSET = 0
    OK = 1
    ERROR = 2


class Status:
    """A status code with a description, which only ERROR may have."""

    __slots__ = ("description", "status_code")

    def __init__(self, status_code: StatusCode = StatusCode.UNSET, description: str | None = None) -> None:
        self.status_code: StatusCode = status_code
        self.description: str | None = description if status_code == StatusCode.ERROR else None

    @property
    def is_ok(self) -> bool:
        """True unless the status is ERROR."""
        return self.status_code != StatusCode.ERROR

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Status):
            return NotImplemented
        return self.status_code == other.status_code and self.description == other.description

    def __hash__(self) -> int:
        return hash((self.status_code, self.description))

    def __repr__(self) -> str:
        return f"Status({self.status_code.name}, {self.description!r})"


class Link:
    """A reference from a span to another span, with attributes (OpenTelemetry Trace API, "Link")."""

    __slots__ = ("attributes", "context")

    def __init__(self, context: Any, attributes: Mapping[str, Any] | None = None) -> None:
        self.context: Any = context
        self.attributes: Mapping[str, Any] | None = attributes

    def __repr__(self) -> str:
        return f"Link({self.context!r}, {self.attributes!r})"


class SpanLimits:
    """How much one span may hold; None is unlimited (OpenTelemetry Trace SDK, "Span Limits").

    Counts are of attributes, events and links. Lengths are characters of a string, or bytes of a
    ``bytes`` value, and hold inside sequences and mappings too. What exceeds a count is dropped and
    counted on the span; what exceeds a length is cut. ``max_attribute_length`` holds for events and
    links, and for the span itself unless ``max_span_attribute_length`` is given.

    Raises ValueError for a negative limit.
    """

    __slots__ = (
        "max_attribute_length",
        "max_event_attributes",
        "max_events",
        "max_link_attributes",
        "max_links",
        "max_span_attribute_length",
        "max_span_attributes",
    )

    def __init__(
        self,
        *,
        max_span_attributes: int | None = 128,
        max_events: int | None = 128,
        max_links: int | None = 128,
        max_event_attributes: int | None = 128,
        max_link_attributes: int | None = 128,
        max_attribute_length: int | None = None,
        max_span_attribute_length: int | None = None,
    ) -> None:
        self.max_span_attributes: int | None = _limit("max_span_attributes", max_span_attributes)
        self.max_events: int | None = _limit("max_events", max_events)
        self.max_links: int | None = _limit("max_links", max_links)
        self.max_event_attributes: int | None = _limit("max_event_attributes", max_event_attributes)
        self.max_link_attributes: int | None = _limit("max_link_attributes", max_link_attributes)
        self.max_attribute_length: int | None = _limit("max_attribute_length", max_attribute_length)
        self.max_span_attribute_length: int | None = (
            self.max_attribute_length
            if max_span_attribute_length is None
            else _limit("max_span_attribute_length", max_span_attribute_length)
        )

    def __repr__(self) -> str:
        return "SpanLimits(" + ", ".join(f"{name}={getattr(self, name)}" for name in self.__slots__) + ")"


def _limit(name: str, value: int | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}={value!r}: a limit is a whole number of 0 or more, or None for unlimited")
    return value


class InstrumentationScope:
    """Who made a span: the library's name and version (OTLP ``InstrumentationScope`` and its schema URL)."""

    __slots__ = ("attributes", "name", "schema_url", "version")

    def __init__(
        self, name: str, version: str = "", schema_url: str = "", attributes: Mapping[str, Any] | None = None
    ) -> None:
        self.name: str = name
        self.version: str = version
        self.schema_url: str = schema_url
        self.attributes: dict[str, Any] = dict(attributes) if attributes else {}

    def _key(self) -> tuple[Any, ...]:
        return (self.name, self.version, self.schema_url, tuple(self.attributes.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InstrumentationScope) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.schema_url))

    def __repr__(self) -> str:
        return f"InstrumentationScope({self.name!r}, {self.version!r})"


class Event:
    """Something that happened during a span, as decoded."""

    __slots__ = ("attributes", "dropped_attributes_count", "name", "time_ns")

    def __init__(self, name: str, time_ns: int, attributes: dict[str, Any], dropped_attributes_count: int = 0) -> None:
        self.name = name
        self.time_ns = time_ns
        self.attributes = attributes
        self.dropped_attributes_count = dropped_attributes_count

    def __repr__(self) -> str:
        return f"Event({self.name!r}, {self.time_ns}, {self.attributes!r})"


class SpanLink:
    """A link of a finished span, as decoded; ids are lower-case hex."""

    __slots__ = ("attributes", "dropped_attributes_count", "flags", "span_id", "trace_id", "trace_state")

    def __init__(
        self,
        trace_id: str,
        span_id: str,
        attributes: dict[str, Any],
        trace_state: str = "",
        flags: int = 0,
        dropped_attributes_count: int = 0,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.attributes = attributes
        self.trace_state = trace_state
        self.flags = flags
        self.dropped_attributes_count = dropped_attributes_count

    def __repr__(self) -> str:
        return f"SpanLink({self.trace_id}, {self.span_id}, {self.attributes!r})"


class SpanData:
    """A finished span, decoded from its exported bytes: what exporters, memory and console see.

    Ids are lower-case hex (32 and 16 digits; ``parent_span_id`` is "" on a root), times are
    nanoseconds since the Unix epoch, ``flags`` is the OTLP field. ``resource`` is a dict of
    attributes, ``scope`` an ``InstrumentationScope``.
    """

    __slots__ = (
        "attributes",
        "dropped_attributes_count",
        "dropped_events_count",
        "dropped_links_count",
        "end_time_ns",
        "events",
        "flags",
        "kind",
        "links",
        "name",
        "parent_span_id",
        "resource",
        "scope",
        "span_id",
        "start_time_ns",
        "status",
        "trace_id",
        "trace_state",
    )

    def __init__(self) -> None:
        self.name: str = ""
        self.kind: SpanKind = SpanKind.INTERNAL
        self.trace_id: str = ""
        self.span_id: str = ""
        self.parent_span_id: str = ""
        self.trace_state: str = ""
        self.flags: int = 0
        self.start_time_ns: int = 0
        self.end_time_ns: int = 0
        self.attributes: dict[str, Any] = {}
        self.events: list[Event] = []
        self.links: list[SpanLink] = []
        self.status: Status = Status()
        self.resource: dict[str, Any] = {}
        self.scope: InstrumentationScope = InstrumentationScope("")
        self.dropped_attributes_count: int = 0
        self.dropped_events_count: int = 0
        self.dropped_links_count: int = 0

    @property
    def duration_ns(self) -> int:
        """End minus start, in nanoseconds."""
        return self.end_time_ns - self.start_time_ns

    def __repr__(self) -> str:
        return f"SpanData({self.name!r}, trace_id={self.trace_id}, span_id={self.span_id})"


class DecodeError(ValueError):
    """Bytes that are not the OTLP message they should be; the text says what and at which offset."""
