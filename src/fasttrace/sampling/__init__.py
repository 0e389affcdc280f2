"""Sampling: which traces are recorded.

Head samplers decide where a trace begins. One that depends on the trace id alone is a threshold, compared in the core,
so that no Python runs and every service decides alike; the others are asked. docs/sampling.md has them all.
"""

from __future__ import annotations

from fasttrace.sampling.base import Sampler
from fasttrace.sampling.binding import bind
from fasttrace.sampling.names import from_settings, parse, preset
from fasttrace.sampling.probability import AlwaysOff, AlwaysOn, ParentBased, Probability, TraceIdRatio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from fasttrace.sampling import tail as tail
    from fasttrace.sampling.adaptive import Adaptive as Adaptive
    from fasttrace.sampling.incident import Incident as Incident
    from fasttrace.sampling.ratelimit import RateLimited as RateLimited
    from fasttrace.sampling.remote import JaegerRemote as JaegerRemote
    from fasttrace.sampling.rules import Rule as Rule
    from fasttrace.sampling.rules import Rules as Rules
    from fasttrace.sampling.user import UserSampler as UserSampler

__all__ = [
    "Adaptive",
    "AlwaysOff",
    "AlwaysOn",
    "Incident",
    "JaegerRemote",
    "ParentBased",
    "Probability",
    "RateLimited",
    "Rule",
    "Rules",
    "Sampler",
    "TraceIdRatio",
    "UserSampler",
    "bind",
    "from_settings",
    "parse",
    "preset",
    "tail",
]

# Loaded when asked for.
_LATER = {
    "Adaptive": "adaptive",
    "Incident": "incident",
    "JaegerRemote": "remote",
    "RateLimited": "ratelimit",
    "Rule": "rules",
    "Rules": "rules",
    "UserSampler": "user",
}


def __getattr__(name: str) -> Any:
    if name == "tail":
        return __import__("fasttrace.sampling.tail", fromlist=("tail",))
    if name in _LATER:
        return getattr(__import__(f"fasttrace.sampling.{_LATER[name]}", fromlist=(name,)), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
