"""Samplers, id generators, resources and limits of others as what a provider of fasttrace takes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def sampler(given: Any) -> Any:
    """A sampler of fasttrace's, or what stands for one."""
    return given


def resource(given: Any) -> Any:
    """The attributes of a resource."""
    return getattr(given, "attributes", given)


def id_generator(given: Any) -> Any:
    """An id generator."""
    return given


def span_limits(given: Any) -> Any:
    """Span limits."""
    return given
