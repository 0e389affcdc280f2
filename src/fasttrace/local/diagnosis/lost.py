"""Lost context: spans that should stand below another one, and do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from fasttrace._core.types import SpanKind
from fasttrace.local.diagnosis.calls import target
from fasttrace.local.diagnosis.finding import Diagnosis, quoted
from fasttrace.local.model import CYCLE, ORPHAN, Node, Trace
from fasttrace.local.text import clean, plural

# OTLP span flags, "span_flags": whether the parent is known to be of another process, and is.
_PARENT_KNOWN, _PARENT_REMOTE = 0x100, 0x200
# Clocks of one machine, read by two processes.
TOLERANCE_NS = 2_000_000


def lost_context(trace: Trace, called: str, neighbours: Iterable[Trace] = ()) -> Iterator[Diagnosis]:
    """Orphans, second roots, calls whose other side is missing; ``neighbours`` may hold that other side."""
    yield from _orphans(trace, called)
    yield from _second_roots(trace, called)
    parted = list(_parted(trace, neighbours))
    yield from parted
    if not parted:
        yield from _silent_calls(trace)


def _orphans(trace: Trace, called: str) -> Iterator[Diagnosis]:
    orphans = [node for node in trace.roots if ORPHAN in node.marks]
    if not orphans:
        return
    first = orphans[0]
    what = plural(len(orphans), "span")
    missing = len(trace.missing_parents)
    if all(_is_remote(node) for node in orphans):
        why = "the caller's spans were not received: it is not traced, samples by itself, or sends elsewhere"
    else:
        why = f"{'it was' if missing == 1 else 'they were'} dropped, sampled out, or still running"
    names = "names a parent" if len(orphans) == 1 else f"name {plural(missing, 'parent')}"
    verb = "was" if missing == 1 else "were"
    sentence = (
        f"Lost context: {what} of {called}, such as {quoted(first)} in {clean(first.service)}, {names} that {verb} "
        f"not received: {why}."
    )
    figures: dict[str, float] = {"orphans": len(orphans), "missing_parents": missing}
    yield Diagnosis("lost_context", first.service, sentence, first, figures)


def _is_remote(node: Node) -> bool:
    """Whether a span's parent is of another process: by its flags, else by its kind."""
    flags = node.span.flags
    if flags & _PARENT_KNOWN:
        return bool(flags & _PARENT_REMOTE)
    return node.span.kind in (SpanKind.SERVER, SpanKind.CONSUMER)


def _second_roots(trace: Trace, called: str) -> Iterator[Diagnosis]:
    others = [node for node in trace.roots if not node.marks & {ORPHAN, CYCLE} and node is not trace.root]
    if not others:
        return
    first = others[0]
    sentence = (
        f"Lost context: {quoted(first)} in {clean(first.service)} has no parent, although {called} begins with "
        f"{quoted(trace.root)}: what started it passed on the trace's id and not its own."
    )
    yield Diagnosis("lost_context", first.service, sentence, first, {"roots": len(others) + 1})


def is_answered(call: Node) -> bool:
    """Whether the called side of an outgoing call is there."""
    return any(child.service != call.service or child.span.kind in _CALLED for child in call.children)


def _parted(trace: Trace, neighbours: Iterable[Trace]) -> Iterator[Diagnosis]:
    """A call whose other side is a trace of its own: the same request at the same time."""
    for other in neighbours:
        if other.trace_id == trace.trace_id:
            continue
        for caller, callee in ((trace, other), (other, trace)):
            call = _calls(caller, callee.root)
            if call is None:
                continue
            root = callee.root
            sentence = (
                f"Lost context: {quoted(root)} in {clean(root.service)} begins trace {callee.trace_id[:8]} of its own, "
                f"although {quoted(call)} of {clean(call.service)} in trace {caller.trace_id[:8]} called it: "
                "the headers of the trace were not sent, or not read."
            )
            yield Diagnosis("lost_context", root.service, sentence, call if caller is trace else root, {"traces": 2})


def _calls(caller: Trace, root: Node) -> Node | None:
    """The call in a trace that a root is the other side of."""
    if root.marks & {ORPHAN, CYCLE} or root.span.kind != SpanKind.SERVER or root.start_ns > caller.end_ns:
        return None
    path, method = root.span.attributes.get("url.path"), root.span.attributes.get("http.request.method")
    for call in caller.nodes:
        if (
            call.span.kind == SpanKind.CLIENT
            and call.start_ns - TOLERANCE_NS <= root.start_ns
            and root.end_ns <= call.end_ns + TOLERANCE_NS
            and path is not None
            and path == path_of(call)
            and method == call.span.attributes.get("http.request.method")
            and not is_answered(call)
        ):
            return call
    return None


def path_of(call: Node) -> str:
    """The path that an outgoing HTTP request asked for, "" when its span does not say."""
    url = call.span.attributes.get("url.full")
    if not isinstance(url, str):
        return ""
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        return ""


def _silent_calls(trace: Trace) -> Iterator[Diagnosis]:
    """Calls without their other side, of a host that other calls of the trace have the other side of."""
    calls = [(target(node), node) for node in trace.nodes if node.span.kind == SpanKind.CLIENT]
    traced = {host for host, node in calls if host and is_answered(node)}
    silent = [node for host, node in calls if host in traced and not node.error and not is_answered(node)]
    if not silent:
        return
    first = silent[0]
    sentence = (
        f"Lost context: {plural(len(silent), 'call')} such as {quoted(first)} of {clean(first.service)} "
        f"{'has' if len(silent) == 1 else 'have'} no span of the called side, while other calls of "
        f"{clean(target(first))} do: headers not sent, or its spans were dropped."
    )
    yield Diagnosis("lost_context", first.service, sentence, first, {"calls": len(silent)})


_CALLED = (SpanKind.SERVER, SpanKind.CONSUMER)
