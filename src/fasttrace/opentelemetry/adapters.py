"""Samplers, id generators, resources and limits of the SDK and of others, as what a provider of fasttrace takes."""

from __future__ import annotations

import json
import os
import sys
from types import MappingProxyType

from opentelemetry.context import Context as ApiContext

from fasttrace._core import SpanLimits
from fasttrace.errors import ConfigurationError
from fasttrace.opentelemetry import convert
from fasttrace.sampling import AlwaysOff, AlwaysOn, ParentBased, Sampler, TraceIdRatio
from fasttrace.sampling.user import UserSampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SAMPLING = "opentelemetry.sdk.trace.sampling"
# The arguments of ParentBased, which are the names of its attributes, too.
_DELEGATES = (
    "remote_parent_sampled",
    "remote_parent_not_sampled",
    "local_parent_sampled",
    "local_parent_not_sampled",
)
_LIMITS = (
    "max_span_attributes",
    "max_events",
    "max_links",
    "max_event_attributes",
    "max_link_attributes",
    "max_attribute_length",
    "max_span_attribute_length",
)


class ApiSampler(UserSampler):
    """A sampler of OpenTelemetry's shape, which is shown the parent's whole context: its span, its baggage."""

    def _parent(self, parent: Any) -> tuple[Any, Any]:
        _, state = super()._parent(parent)
        if parent is None:
            return ApiContext(), state
        view = parent._view
        return (convert.view_of(parent) if view is None else view), state


def sampler(given: Any) -> Any:
    """A sampler of ours for one of anybody's. Stock ones become compares, so that no Python runs for them."""
    if given is None or isinstance(given, (Sampler, str, int, float)):
        return given
    known = getattr(given, "fasttrace_sampler", None) or _stock_sampler(given)
    if known is not None:
        return known
    if callable(getattr(given, "should_sample", None)) and not isinstance(given, type):
        return ApiSampler(given)
    raise ConfigurationError(
        f"sampler={given!r}: use a sampler of fasttrace.sampling or an object with should_sample(...), as "
        "OpenTelemetry has it"
    )


def _stock_sampler(given: Any) -> Sampler | None:
    """The sampler of ours that decides as an unchanged one of the SDK's does."""
    module = sys.modules.get(_SAMPLING)
    kind = type(given)
    if module is None or kind.__module__ != _SAMPLING or any(hasattr(kind, name) for name in vars(given)):
        return None
    name = kind.__name__
    try:
        if name in ("StaticSampler", "_AlwaysOn", "_AlwaysOff"):
            return {"DROP": AlwaysOff, "RECORD_AND_SAMPLE": AlwaysOn}[given._decision.name]()
        if name == "TraceIdRatioBased":
            ratio = TraceIdRatio(given._rate)
            return ratio if given._bound == kind.get_bound_for_rate(given._rate) else None
        if name in ("ParentBased", "ParentBasedTraceIdRatio", "_ParentBasedAlwaysOn", "_ParentBasedAlwaysOff"):
            return ParentBased(
                sampler(given._root), **{name: sampler(getattr(given, f"_{name}")) for name in _DELEGATES}
            )
    except (AttributeError, KeyError, ConfigurationError):
        return None  # another version than those known: it is asked
    return None


def id_generator(given: Any) -> Any:
    """An id generator for one of anybody's; None, ours, for the SDK's random one, which ``random.seed`` repeats."""
    if given is None or (
        type(given).__module__ == "opentelemetry.sdk.trace.id_generator"
        and type(given).__name__ == "RandomIdGenerator"
        and not vars(given)
    ):
        return None
    if not all(callable(getattr(given, name, None)) for name in ("generate_trace_id", "generate_span_id")):
        raise ConfigurationError(f"id_generator={given!r}: it needs generate_trace_id() and generate_span_id()")
    return given


def span_limits(given: Any) -> SpanLimits | None:
    """Our limits for those of the SDK's shape; what is None is unlimited in both."""
    if given is None or isinstance(given, SpanLimits):
        return given
    missing = [name for name in _LIMITS if not hasattr(given, name)]
    if missing:
        raise ConfigurationError(f"span_limits={given!r}: it has no {', '.join(missing)}")
    return SpanLimits(**{name: getattr(given, name) for name in _LIMITS})


class Resource:
    """What ``provider.resource`` gives: ``attributes`` and ``schema_url``, as the SDK's has them."""

    __slots__ = ("_text", "attributes", "schema_url")

    def __init__(self, attributes: Mapping[str, Any], schema_url: str = "") -> None:
        self.attributes: Mapping[str, Any] = MappingProxyType(dict(attributes))
        self.schema_url: str = schema_url
        self._text: str | None = None

    def merge(self, other: Any) -> Resource:
        """This one with the attributes of another, which win; of two schema URLs that differ none is left."""
        urls = {url for url in (self.schema_url, getattr(other, "schema_url", "")) if url}
        return Resource({**self.attributes, **other.attributes}, urls.pop() if len(urls) == 1 else "")

    def to_json(self, indent: int | None = 4) -> str:
        """As the SDK's ``to_json`` writes it."""
        found = {"attributes": dict(self.attributes), "schema_url": self.schema_url}
        return json.dumps(found, indent=indent, default=_plain)

    def _key(self) -> str:
        if self._text is None:
            self._text = json.dumps([dict(self.attributes), self.schema_url], sort_keys=True, default=_plain)
        return self._text

    def __eq__(self, other: object) -> bool:
        if not hasattr(other, "attributes") or not hasattr(other, "schema_url"):
            return NotImplemented
        return dict(self.attributes) == dict(other.attributes) and self.schema_url == other.schema_url

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Resource({dict(self.attributes)!r}, {self.schema_url!r})"


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, (bytes, bytearray)) else str(value)


def resource(given: Any) -> dict[str, Any] | None:
    """The attributes of a resource of anybody's, or of a mapping; those about the SDK that it is not made by go.

    With OTEL_EXPERIMENTAL_RESOURCE_DETECTORS and the SDK, what its detectors find comes first.
    """
    attributes = dict(detected())
    attributes.update(getattr(given, "attributes", given) or {})
    if attributes.get("telemetry.sdk.name") == "opentelemetry":
        for name in ("telemetry.sdk.name", "telemetry.sdk.version", "telemetry.sdk.language"):
            attributes.pop(name, None)
    return attributes or None


def detected() -> Mapping[str, Any]:
    """What the detectors of OTEL_EXPERIMENTAL_RESOURCE_DETECTORS find; nothing without the variable or the SDK."""
    names = [name.strip() for name in os.environ.get("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "").split(",")]
    names = [name for name in names if name and name != "otel"]
    if not names:
        return {}
    try:
        from opentelemetry.sdk.resources import Resource as Stock
        from opentelemetry.sdk.resources import get_aggregated_resources
        from opentelemetry.util._importlib_metadata import entry_points
    except ImportError:
        _missing("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS needs opentelemetry-sdk, which is not installed")
        return {}
    found = []
    available = entry_points(group="opentelemetry_resource_detector")
    for name in sorted({entry.name for entry in available}) if "*" in names else names:
        try:
            found.append(next(iter(entry_points(group="opentelemetry_resource_detector", name=name))).load()())
        except Exception as error:
            _missing(f"the resource detector {name!r} can't be loaded: {type(error).__name__}: {error}")
    attributes: Mapping[str, Any] = get_aggregated_resources(found, Stock({})).attributes
    return attributes


def _missing(text: str) -> None:
    from fasttrace import _log

    _log.line("WARNING", "%s", text)
