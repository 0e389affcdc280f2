"""The trace as a tree: what belongs to what, what is missing, and where the time went.

Every front end draws this model; none computes times of its own. No timestamp is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from fasttrace._core.types import SpanData, SpanKind, StatusCode
from fasttrace.local.facts import service_of, status_of
from fasttrace.local.timing import Segment, critical_path, self_time_ns

ORPHAN = "orphan"  # names a parent that is not among the spans
DUPLICATE = "duplicate"  # a second, different span with the id of another
CYCLE = "cycle"  # would be its own ancestor; stands where the cycle was cut
EARLY = "early"  # starts before its parent: clocks differ
LATE = "late"  # starts after its parent has ended: left running, or clocks differ
BACKWARDS = "backwards"  # ends before it starts

# Two processes of one machine compute their clock offsets this far apart without anything being wrong.
CLOCK_TOLERANCE_NS = 10_000


class Node:
    """One span in its trace: its place in the tree, its marks and its share of the time.

    ``service`` is its resource's ``service.name``, ``error`` says whether its status is ERROR. ``end_ns`` is never
    before ``start_ns``: a span that ends before it starts is marked and lasts 0 ns.
    ``path`` holds the intervals (start, end) of the critical path that belong to this span itself.
    """

    __slots__ = ("children", "depth", "duration_ns", "end_ns", "error", "index", "marks", "name", "parent", "path",
                 "self_time_ns", "service", "span", "start_ns")  # fmt: skip

    def __init__(self, span: SpanData, index: int) -> None:
        self.span: SpanData = span
        self.index: int = index
        self.name: str = span.name
        self.service: str = service_of(span.resource)
        self.error: bool = span.status.status_code == StatusCode.ERROR
        self.start_ns: int = span.start_time_ns
        self.end_ns: int = max(span.start_time_ns, span.end_time_ns)
        self.duration_ns: int = self.end_ns - self.start_ns
        self.parent: Node | None = None
        self.children: list[Node] = []
        self.depth: int = 0
        self.marks: set[str] = {BACKWARDS} if span.end_time_ns < span.start_time_ns else set()
        self.path: list[tuple[int, int]] = []
        self.self_time_ns: int = 0

    @property
    def path_time_ns(self) -> int:
        """How much of the critical path belongs to this span itself."""
        return sum(end - start for start, end in self.path)

    @property
    def status_text(self) -> str:
        """The HTTP status code if there is one, else ``error`` or ""."""
        return status_of(self.span)

    def __repr__(self) -> str:
        return f"Node({self.span.name!r}, {self.span.span_id}, marks={sorted(self.marks)})"


class Trace:
    """All spans received of one trace, as one or several trees.

    ``roots`` are what stands at the top, in order of start: spans without a parent, orphans, and
    spans at which a cycle was cut. ``root`` is the one that the trace's name, status, duration and
    critical path are taken from: the first span without a parent, else the earliest top span.
    ``nodes`` are all spans, depth first. A span delivered twice (same id, times and name) counts
    once and is counted in ``redelivered``.

    Raises ValueError for no spans, or spans of more than one trace id.
    """

    def __init__(self, spans: Iterable[SpanData]) -> None:
        self.redelivered: int = 0
        nodes = self._distinct(spans)
        if not nodes:
            raise ValueError("a trace needs at least one span")
        self.trace_id: str = nodes[0].span.trace_id
        for node in nodes:
            if node.span.trace_id != self.trace_id:
                raise ValueError(
                    f"spans of two traces, {self.trace_id} and {node.span.trace_id}: use group_traces() to part them"
                )
        self.roots: list[Node] = _link(nodes)
        self.root: Node = next((node for node in self.roots if not node.marks & {ORPHAN, CYCLE}), self.roots[0])
        self.nodes: list[Node] = list(_walk(self.roots))
        self.start_ns: int = min(node.start_ns for node in nodes)
        self.end_ns: int = max(node.end_ns for node in nodes)
        self._measure()

    def _distinct(self, spans: Iterable[SpanData]) -> list[Node]:
        first: dict[str, SpanData] = {}
        again: set[tuple[object, ...]] = set()
        nodes: list[Node] = []
        for span in spans:
            if span.span_id in first:
                key = _identity(span)
                if key in again or key == _identity(first[span.span_id]):
                    self.redelivered += 1
                    continue
                again.add(key)
            else:
                first[span.span_id] = span
            nodes.append(Node(span, len(nodes)))
        return nodes

    def _measure(self) -> None:
        for node in self.nodes:
            node.self_time_ns = self_time_ns(node)
        self.critical_path: list[Segment] = critical_path(self.root)
        for segment in self.critical_path:
            segment.node.path.append((segment.start_ns, segment.end_ns))

    @property
    def name(self) -> str:
        """The name of the root span."""
        return self.root.name

    @property
    def duration_ns(self) -> int:
        """The duration of the root span."""
        return self.root.duration_ns

    @cached_property
    def services(self) -> list[str]:
        """The services in the order in which they first appear, depth first."""
        return list(dict.fromkeys(node.service for node in self.nodes))

    @cached_property
    def errors(self) -> list[Node]:
        """The spans whose status is ERROR, depth first."""
        return [node for node in self.nodes if node.error]

    @cached_property
    def missing_parents(self) -> list[str]:
        """The span ids that are named as a parent and were not received, in order of first mention."""
        return list(dict.fromkeys(node.span.parent_span_id for node in self.roots if ORPHAN in node.marks))

    @cached_property
    def path_below_ns(self) -> list[int]:
        """For each span, by its index, how much of the critical path lies in it and below it."""
        times = [0] * len(self.nodes)
        for node in reversed(self.nodes):  # children before their parents
            times[node.index] += node.path_time_ns
            if node.parent is not None:
                times[node.parent.index] += times[node.index]
        return times

    @property
    def status_text(self) -> str:
        """The HTTP status of the root, else ``error`` when the root failed, else ``ok``."""
        return self.root.status_text or "ok"

    def path_time_by_service(self) -> dict[str, int]:
        """Nanoseconds of the critical path by service, largest first; the sum is the root's duration."""
        times: dict[str, int] = {}
        for segment in self.critical_path:
            service = segment.node.service
            times[service] = times.get(service, 0) + segment.end_ns - segment.start_ns
        return dict(sorted(times.items(), key=lambda item: -item[1]))

    def __repr__(self) -> str:
        return f"Trace({self.trace_id}, {len(self.nodes)} spans)"


def _identity(span: SpanData) -> tuple[object, ...]:
    return span.trace_id, span.span_id, span.parent_span_id, span.name, span.start_time_ns, span.end_time_ns


def group_traces(spans: Iterable[SpanData]) -> dict[str, list[SpanData]]:
    """Spans by trace id, in order of first appearance."""
    groups: dict[str, list[SpanData]] = {}
    for span in spans:
        groups.setdefault(span.trace_id, []).append(span)
    return groups


def _order(node: Node) -> tuple[int, int, int]:
    return (node.start_ns, -node.end_ns, node.index)


def _link(nodes: list[Node]) -> list[Node]:
    """Give every node its parent, children and marks; returns the tops in order of start."""
    by_id: dict[str, Node] = {}
    for node in nodes:
        if by_id.setdefault(node.span.span_id, node) is not node:
            node.marks.add(DUPLICATE)
    for node in nodes:
        parent_id = node.span.parent_span_id
        if parent_id:
            node.parent = by_id.get(parent_id)
            if node.parent is None:
                node.marks.add(ORPHAN)
    _cut_cycles(nodes)
    roots = []
    for node in nodes:
        if node.parent is None:
            roots.append(node)
        else:
            node.parent.children.append(node)
            if node.start_ns < node.parent.start_ns - CLOCK_TOLERANCE_NS:
                node.marks.add(EARLY)
            elif node.start_ns > node.parent.end_ns + CLOCK_TOLERANCE_NS and not _is_message(node):
                node.marks.add(LATE)
    for node in nodes:
        node.children.sort(key=_order)
    return sorted(roots, key=_order)


def _is_message(node: Node) -> bool:
    """Whether a span is a message's processing, which has no reason to begin before its sending has ended."""
    return node.span.kind == SpanKind.CONSUMER


def _cut_cycles(nodes: list[Node]) -> None:
    """Make the earliest span of every cycle a top; each node is visited a constant number of times."""
    finished: set[int] = set()
    for start in nodes:
        trail: list[Node] = []
        on_trail: set[int] = set()
        node: Node | None = start
        while node is not None and node.index not in finished and node.index not in on_trail:
            trail.append(node)
            on_trail.add(node.index)
            node = node.parent
        if node is not None and node.index in on_trail:
            cycle = trail[trail.index(node) :]
            first = min(cycle, key=_order)
            first.parent = None
            first.marks.add(CYCLE)
        finished.update(on_trail)


def _walk(roots: list[Node]) -> Iterator[Node]:
    """Depth first, children in order of start, without recursion: traces may be thousands deep."""
    stack = list(reversed(roots))
    while stack:
        node = stack.pop()
        yield node
        for child in reversed(node.children):
            child.depth = node.depth + 1
            stack.append(child)
