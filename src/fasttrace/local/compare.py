"""Two traces aligned: the same calls of the same services stand side by side, whatever their number and order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fasttrace.local.model import Node, Trace
from fasttrace.local.operation import operation


class _Side:
    """The spans of one trace at one path."""

    __slots__ = ("duration_ns", "errors", "path_ns", "self_ns", "spans")

    def __init__(self) -> None:
        self.spans = self.duration_ns = self.self_ns = self.path_ns = self.errors = 0

    def add(self, node: Node) -> None:
        self.spans += 1
        self.duration_ns += node.duration_ns
        self.self_ns += node.self_time_ns
        self.path_ns += node.path_time_ns
        self.errors += node.error

    def to_dict(self) -> dict[str, int]:
        return {
            "spans": self.spans,
            "duration": self.duration_ns,
            "self": self.self_ns,
            "path": self.path_ns,
            "errors": self.errors,
        }


def compare(a: Trace, b: Trace) -> dict[str, Any]:
    """Rows in tree order, each with ``service``, ``name``, ``depth``, what is at ``a`` and ``b`` (None: nothing).

    ``change`` is the difference of the self times, so that the changes of all rows add up to what the traces
    spend more or less; ``largest`` are the places of the rows that changed most.
    """
    top = _Path("", "", -1)
    for side, trace in (("a", a), ("b", b)):
        paths: dict[int, _Path] = {}
        for node in trace.nodes:
            above = top if node.parent is None else paths[id(node.parent)]
            path = paths[id(node)] = above.below(node.service, operation(node.span))
            path.sides.setdefault(side, _Side()).add(node)
    rows = [path.to_dict() for path in _walk(top)]
    largest = sorted(range(len(rows)), key=lambda place: -abs(rows[place]["change"]))
    return {
        "a": _head(a),
        "b": _head(b),
        "change": b.duration_ns - a.duration_ns,
        "rows": rows,
        "largest": [place for place in largest if rows[place]["change"]][:10],
    }


class _Path:
    """A place in both trees: the calls that lead to it are the same."""

    __slots__ = ("children", "depth", "name", "service", "sides")

    def __init__(self, service: str, name: str, depth: int) -> None:
        self.service = service
        self.name = name
        self.depth = depth
        self.children: dict[tuple[str, str], _Path] = {}
        self.sides: dict[str, _Side] = {}

    def below(self, service: str, name: str) -> _Path:
        found = self.children.get((service, name))
        if found is None:
            found = self.children[service, name] = _Path(service, name, self.depth + 1)
        return found

    def to_dict(self) -> dict[str, Any]:
        a, b = self.sides.get("a"), self.sides.get("b")
        return {
            "service": self.service,
            "name": self.name,
            "depth": self.depth,
            "a": a.to_dict() if a else None,
            "b": b.to_dict() if b else None,
            "change": (b.self_ns if b else 0) - (a.self_ns if a else 0),
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
