"""Calls of other services: one after the other that could run together, and again after each failure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

from fasttrace._core.types import SpanKind
from fasttrace.local.diagnosis.finding import Diagnosis, quoted
from fasttrace.local.diagnosis.queries import is_query
from fasttrace.local.model import CLOCK_TOLERANCE_NS, Node, Trace
from fasttrace.local.operation import VARIABLE, http_path
from fasttrace.local.text import clean, format_duration, format_percent
from fasttrace.local.waits import is_pool_wait

MIN_CALLS = 3
MIN_SAVED_SHARE = 0.1
# More time than this share between the calls means that something is done with their answers.
MAX_GAP_SHARE = 0.25
MIN_TRIES = 3
# Tries at several levels multiply: from here on they are a storm although each level is modest.
MIN_TRIES_IN_ALL = 4

_READS = ("GET", "HEAD", "OPTIONS")
_WRAPPERS = 3

Key = tuple[str, ...]


def target(node: Node) -> str:
    """Host and port that a call goes to, "" when the span does not say."""
    attributes = node.span.attributes
    url = attributes.get("url.full") or attributes.get("http.url")
    if isinstance(url, str):
        try:
            return urlsplit(url).netloc.rpartition("@")[2]
        except ValueError:
            return ""
    host = attributes.get("server.address") or attributes.get("net.peer.name") or ""
    port = attributes.get("server.port") or attributes.get("net.peer.port")
    return f"{host}:{port}" if host and port else str(host)


def sequential_calls(trace: Trace, called: str) -> Iterator[Diagnosis]:
    """Like calls under one span, each begun when the one before has ended."""
    for parent in trace.nodes:
        if len(parent.children) < MIN_CALLS:
            continue
        runs: dict[Key, list[Node]] = {}
        for child in parent.children:
            call = _call(child)
            if call is not None:
                runs.setdefault(_alike(call), []).append(child)
        for run in runs.values():
            if len(run) < MIN_CALLS or not _one_after_the_other(run):
                continue
            times = [trace.path_below_ns[node.index] for node in run]
            saved_ns, total_ns = sum(times) - max(times), trace.duration_ns
            if saved_ns < MIN_SAVED_SHARE * total_ns or saved_ns == 0:
                continue
            first = _call(run[0]) or run[0]
            sentence = (
                f"{clean(parent.service)} makes {len(run):,} calls like {quoted(first)} one after the other: run "
                f"together, {called} would take up to {format_duration(saved_ns)} "
                f"({format_percent(saved_ns, total_ns)}) less, if none needs the answer of another."
            )
            figures = {
                "calls": len(run),
                "spent_ns": sum(times),
                "saved_ns": saved_ns,
                "duration_ns": total_ns,
                "share": saved_ns / total_ns,
            }
            yield Diagnosis("sequential_calls", parent.service, sentence, run[0], figures, saved_ns)


def _call(node: Node) -> Node | None:
    """The call that a span is or, through a function or two around it, stands for; None if it is none, or failed."""
    for _ in range(_WRAPPERS):
        if node.error or is_query(node.span) or is_pool_wait(node.span):
            return None
        if node.span.kind == SpanKind.CLIENT or (node.parent is not None and node.service != node.parent.service):
            return node
        if len(node.children) != 1:
            return None
        node = node.children[0]
    return None


def _alike(call: Node) -> Key:
    """Reads of one host are alike whatever they read; anything else where only its ids differ."""
    method = call.span.attributes.get("http.request.method") or call.name.partition(" ")[0]
    if method in _READS:
        return (call.service, str(method), target(call))
    return _same(call)


def _same(node: Node) -> Key:
    """Equal for tries of the same thing."""
    return (node.service, VARIABLE.sub("?", node.name), VARIABLE.sub("?", http_path(node.span)), target(node))


def _one_after_the_other(run: list[Node]) -> bool:
    gaps = 0
    for before, after in pairwise(run):
        gap = after.start_ns - before.end_ns
        if gap < -CLOCK_TOLERANCE_NS:
            return False
        gaps += max(0, gap)
    return gaps <= MAX_GAP_SHARE * sum(node.duration_ns for node in run)


def retry_storm(trace: Trace, called: str) -> Iterator[Diagnosis]:
    """The same thing tried again and again after failures, perhaps by callers of callers, too."""
    below_retry = [False] * len(trace.nodes)
    groups: dict[Key, list[list[Node]]] = {}
    nested: set[Key] = set()
    for parent in trace.nodes:
        if parent.parent is not None and below_retry[parent.parent.index]:
            below_retry[parent.index] = True
        for key, tries in _tries(parent):
            groups.setdefault(key, []).append(tries)
            if below_retry[parent.index]:
                nested.add(key)
            for node in tries:
                below_retry[node.index] = True
    for key, found in groups.items():
        count = sum(map(_count, found))
        most = max(found, key=_count)
        if _count(most) >= MIN_TRIES or (key in nested and count >= MIN_TRIES_IN_ALL):
            yield _storm(trace, called, found, most, count, key in nested)


def _tries(parent: Node) -> Iterator[tuple[Key, list[Node]]]:
    """The runs of tries among a span's children: all but the last failed."""
    failed = {_same(child) for child in parent.children if child.error}
    if not failed:
        return
    alike: dict[Key, list[Node]] = {}
    for child in parent.children:
        key = _same(child)
        if key in failed:
            alike.setdefault(key, []).append(child)
    for key, nodes in alike.items():
        tries: list[Node] = []
        for node in nodes:
            if tries and node.start_ns < tries[-1].end_ns - CLOCK_TOLERANCE_NS:
                tries = []  # at the same time: no second try
                break
            tries.append(node)
            if not node.error:
                break
        if len(tries) > 1 or (tries and _resends(tries[0]) > 1):
            yield key, tries


def _resends(node: Node) -> int:
    count = node.span.attributes.get("http.request.resend_count", 0)
    return count if isinstance(count, int) and node.error else 0


def _count(tries: list[Node]) -> int:
    return max(len(tries), _resends(tries[-1]) + 1)


def _storm(trace: Trace, called: str, found: list[list[Node]], most: list[Node], count: int, nested: bool) -> Diagnosis:
    cost_ns = min(trace.duration_ns, sum(_lost_ns(trace, tries) for tries in found))
    total_ns = trace.duration_ns
    evidence = most[0]
    ended = "the last one succeeds" if not most[-1].error else "and fails each time"
    times = f"{_count(most):,} times" + (f" in a row, {count:,} times in all" if count > _count(most) else "")
    sentence = (
        f"Retry storm: {clean(evidence.service)} tries {quoted(evidence)} {times}, {ended}"
        + (", since its callers try again, too" if nested else "")
        + f": {format_percent(cost_ns, total_ns)} of {called} ({format_duration(cost_ns)})."
    )
    figures = {
        "tries": _count(most),
        "tries_in_all": count,
        "lost_ns": cost_ns,
        "duration_ns": total_ns,
        "share": cost_ns / total_ns if total_ns else 0.0,
    }
    return Diagnosis("retry_storm", evidence.service, sentence, evidence, figures, cost_ns)


def _lost_ns(trace: Trace, tries: list[Node]) -> int:
    """The critical path's share of the failed tries and of the pauses between them."""
    lost = sum(trace.path_below_ns[node.index] for node in tries if node.error)
    parent = tries[0].parent
    low, high = tries[0].start_ns, tries[-1].start_ns
    pieces = parent.path if parent is not None else []
    return lost + sum(max(0, min(end, high) - max(start, low)) for start, end in pieces)
