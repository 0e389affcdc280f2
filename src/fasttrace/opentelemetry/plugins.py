"""Plug-ins by name: those of others for our provider, and our sampler and id generator for the SDK's."""

from __future__ import annotations

import os

from opentelemetry.trace import TraceState

from fasttrace import _log
from fasttrace._core import ids
from fasttrace.opentelemetry import convert
from fasttrace.sampling import Sampler, names, parse
from fasttrace.sampling.base import LOCAL_SAMPLED, REMOTE_SAMPLED, ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def entry(group: str, name: str) -> Any:
    """The entry point of a name, or None."""
    from importlib.metadata import entry_points

    return next(iter(entry_points(group=group, name=name)), None)


def chosen_sampler() -> Any:
    """The sampler of another package that OTEL_TRACES_SAMPLER names; None for one of our own names, or none."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if not name or name.lower() in (*names.NAMES, *names.PRESETS) or os.environ.get("FASTTRACE_SAMPLER", "").strip():
        return None
    return _made("opentelemetry_traces_sampler", name, "OTEL_TRACES_SAMPLER", os.environ.get("OTEL_TRACES_SAMPLER_ARG"))


def chosen_id_generator() -> Any:
    """The id generator that OTEL_PYTHON_ID_GENERATOR names; None for the default."""
    name = os.environ.get("OTEL_PYTHON_ID_GENERATOR", "").strip()
    if name in ("", "random", "fasttrace"):
        return None
    return _made("opentelemetry_id_generator", name, "OTEL_PYTHON_ID_GENERATOR")


def _made(group: str, name: str, variable: str, *arguments: Any) -> Any:
    """What an entry point makes; None, and a line, when it can't be had."""
    found = entry(group, name)
    if found is None:
        if names._ratio(name) is None:
            _log.line("WARNING", "%s=%s: no installed package has it; the default is used", variable, name)
        return None
    try:
        return found.load()(*arguments)
    except Exception as error:
        _log.line("WARNING", "%s=%s can't be loaded: %s: %s", variable, name, type(error).__name__, error)
        return None


def sampler(argument: Any = None) -> Any:
    """Our sampler for the SDK, ``OTEL_TRACES_SAMPLER=fasttrace``; the argument is what ``sampler=`` takes as text."""
    return _for_stock(parse(argument or None))


def _for_stock(ours: Sampler) -> Any:
    """A sampler of ours in the shape of the SDK's, if that is installed."""
    try:
        from opentelemetry.sdk.trace import sampling as stock
    except ImportError:
        return ours
    decisions = (stock.Decision.DROP, stock.Decision.RECORD_ONLY, stock.Decision.RECORD_AND_SAMPLE)

    class FasttraceSampler(stock.Sampler):  # type: ignore[misc]
        """Decides as a sampler of fasttrace does."""

        fasttrace_sampler = ours

        def should_sample(
            self,
            parent_context: Any,
            trace_id: int,
            name: str,
            kind: Any = None,
            attributes: Any = None,
            links: Any = None,
            trace_state: Any = None,
        ) -> Any:
            from opentelemetry.context import get_current

            parent = convert.node_of(get_current() if parent_context is None else parent_context)
            rule = _rule(parent)
            decision, added, header = ours.judge(rule, parent, trace_id, name, kind, attributes, links)
            span_context = None if rule == ROOT else convert.api_span_context(parent)
            state = None if span_context is None else span_context.trace_state
            if header is not None:
                state = TraceState.from_header([header]) if header else TraceState()
            return stock.SamplingResult(decisions[decision], {**(attributes or {}), **(added or {})}, state)

        def get_description(self) -> str:
            return repr(ours)

    return FasttraceSampler()


def _rule(parent: Any) -> int:
    """Which of the five cases a parent, a node of the core, is."""
    trace_id, span_id, remote, flags, _ = parent._ids
    if not (trace_id and span_id):
        return ROOT
    rule = REMOTE_SAMPLED if remote else LOCAL_SAMPLED
    return rule if flags & 1 else rule + 1


def __getattr__(name: str) -> Any:
    # The SDK takes nothing but subclasses of its own class; it is there when it asks.
    if name != "IdGenerator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from opentelemetry.sdk.trace.id_generator import IdGenerator as Stock

    class IdGenerator(Stock):  # type: ignore[misc]
        """Ids that ``random.seed`` does not repeat, and no forked child does."""

        def generate_trace_id(self) -> int:
            return ids.generate_trace_id()

        def generate_span_id(self) -> int:
            return ids.generate_span_id()

        def is_trace_id_random(self) -> bool:
            return True

    globals()[name] = IdGenerator
    return IdGenerator
