"""Two traces, or two groups of them, aligned: the same calls of the same services stand side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fasttrace.local.model import Node, Trace
from fasttrace.local.operation import VARIABLE, is_outgoing, operation


class _Side:
    """The spans of one trace at one path."""

    __slots__ = ("duration_ns", "errors", "path_ns", "self_ns", "spans", "traces")

    def __init__(self) -> None:
        self.spans = self.duration_ns = self.self_ns = self.path_ns = self.errors = 0
        self.traces: set[int] = set()

    def add(self, node: Node, trace: int) -> None:
        self.traces.add(trace)
        self.spans += 1
        self.duration_ns += node.duration_ns
        self.self_ns += node.self_time_ns
        self.path_ns += node.path_time_ns
        self.errors += node.error

    def to_dict(self, of: int) -> dict[str, int]:
        return {
            "traces": len(self.traces),
            "spans": self.spans,
            "duration": self.duration_ns // of,
            "self": self.self_ns // of,
            "path": self.path_ns // of,
            "errors": self.errors,
        }


def compare(a: Trace, b: Trace) -> dict[str, Any]:
    """Rows in tree order, each with ``service``, ``name``, ``depth``, what is at ``a`` and ``b`` (None: nothing).

    ``change`` is the difference of the self times, so that the changes of all rows add up to what the traces
    spend more or less; ``largest`` are the places of the rows that changed most.
    """
    return {"a": _head(a), "b": _head(b), "change": b.duration_ns - a.duration_ns, **_aligned([a], [b])}


def compare_groups(a: Sequence[Trace], b: Sequence[Trace]) -> dict[str, Any]:
    """The same for two groups of traces.

    ``duration``, ``self`` and ``path`` of a row are means over all traces of a group, ``spans`` and ``errors`` sums;
    ``traces`` is how many of them have such a span. A side's ``duration_ns`` is a mean, too, ``errors`` the number of
    its traces with one. Raises ValueError for a group of none.
    """
    if not a or not b:
        raise ValueError("nothing to compare: one of the groups has no traces")
    heads = [_group_head(group) for group in (a, b)]
    return {"a": heads[0], "b": heads[1], "change": heads[1]["duration_ns"] - heads[0]["duration_ns"], **_aligned(a, b)}


def _aligned(a: Sequence[Trace], b: Sequence[Trace]) -> dict[str, Any]:
    top = _Path("", "", -1)
    for side, group in (("a", a), ("b", b)):
        for number, trace in enumerate(group):
            paths: dict[int, _Path] = {}
            for node in trace.nodes:
                above = top if node.parent is None else paths[id(node.parent)]
                path = paths[id(node)] = above.below(node.service, _name(node))
                path.outgoing = path.outgoing or is_outgoing(node.span)
                path.sides.setdefault(side, _Side()).add(node, number)
    rows = [path.to_dict(len(a), len(b)) for path in _walk(top)]
    largest = sorted(range(len(rows)), key=lambda place: -abs(rows[place]["change"]))
    return {"rows": rows, "largest": [place for place in largest if rows[place]["change"]][:10]}


def _name(node: Node) -> str:
    """The operation, without what differs from one to the next: ``GET /orders/?``."""
    return VARIABLE.sub("?", operation(node.span))


class _Path:
    """A place in both trees: the calls that lead to it are the same."""

    __slots__ = ("children", "depth", "name", "outgoing", "service", "sides")

    def __init__(self, service: str, name: str, depth: int) -> None:
        self.service = service
        self.name = name
        self.depth = depth
        self.children: dict[tuple[str, str], _Path] = {}
        self.sides: dict[str, _Side] = {}
        self.outgoing = False

    def below(self, service: str, name: str) -> _Path:
        found = self.children.get((service, name))
        if found is None:
            found = self.children[service, name] = _Path(service, name, self.depth + 1)
        return found

    def to_dict(self, of_a: int, of_b: int) -> dict[str, Any]:
        found_a, found_b = self.sides.get("a"), self.sides.get("b")
        a, b = found_a and found_a.to_dict(of_a), found_b and found_b.to_dict(of_b)
        return {
            "service": self.service,
            "name": self.name,
            "depth": self.depth,
            "outgoing": self.outgoing,
            "a": a,
            "b": b,
            "change": (b["self"] if b else 0) - (a["self"] if a else 0),
        }


def _walk(top: _Path) -> Iterator[_Path]:
    """Every path behind the one above it; siblings in order of first appearance."""
    stack = list(reversed(top.children.values()))
    while stack:
        path = stack.pop()
        yield path
        stack.extend(reversed(path.children.values()))


def _head(trace: Trace) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "name": trace.name,
        "duration_ns": trace.duration_ns,
        "spans": len(trace.nodes),
        "errors": len(trace.errors),
    }


def _group_head(group: Sequence[Trace]) -> dict[str, Any]:
    durations = sorted(trace.duration_ns for trace in group)
    return {
        "name": "",
        "traces": len(group),
        "spans": sum(len(trace.nodes) for trace in group) // len(group),
        "errors": sum(bool(trace.errors) for trace in group),
        "duration_ns": sum(durations) // len(group),
        "p50": durations[(len(group) - 1) // 2],
        "p95": durations[-(-95 * len(group) // 100) - 1],
    }
