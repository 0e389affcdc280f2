"""Self time and the critical path: the two answers to "where did the time go", defined once."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fasttrace.local.model import Node


class Segment:
    """A stretch of the critical path, in nanoseconds since the Unix epoch, and the span it belongs to."""

    __slots__ = ("end_ns", "node", "start_ns")

    def __init__(self, node: Node, start_ns: int, end_ns: int) -> None:
        self.node: Node = node
        self.start_ns: int = start_ns
        self.end_ns: int = end_ns

    @property
    def duration_ns(self) -> int:
        """End minus start, always above 0."""
        return self.end_ns - self.start_ns

    def __repr__(self) -> str:
        return f"Segment({self.node.name!r}, {self.start_ns}, {self.end_ns})"


def self_time_ns(node: Node) -> int:
    """The span's duration minus the union of its children's intervals, clipped to the span; never negative."""
    covered = 0
    reached = node.start_ns
    for child in node.children:  # in order of start
        start = max(child.start_ns, reached)
        end = min(child.end_ns, node.end_ns)
        if end > start:
            covered += end - start
            reached = end
    return node.duration_ns - covered


def critical_path(root: Node) -> list[Segment]:
    """The spans that the root's end waited for, from start to end; durations sum to the root's.

    Read backwards from the root's end: what a span waited for last is the child that ended last;
    before that child started, the one that had ended last by then, and so on; what lies between
    is the span's own. Children are clipped to their parent, so each instant of the root belongs to
    exactly one span, and what outlives its parent extends nothing.
    """
    segments: list[Segment] = []
    # A task is a stretch of a span, to be explained by its children or known to be its own.
    stack: list[tuple[Node, int, int, bool]] = [(root, root.start_ns, root.end_ns, True)]
    while stack:
        node, low, high, explain = stack.pop()
        if high <= low:
            continue
        if not explain or not node.children:
            segments.append(Segment(node, low, high))
            continue
        upto = high
        parts: list[tuple[Node, int, int, bool]] = []
        # Of those that end together, the one that started first explains most.
        for child in sorted(node.children, key=lambda child: (-min(child.end_ns, high), child.start_ns, child.index)):
            start, end = max(child.start_ns, low), min(child.end_ns, high)
            if end > upto or end <= start:
                continue
            parts.append((node, end, upto, False))
            parts.append((child, start, end, True))
            upto = start
        parts.append((node, low, upto, False))
        stack.extend(reversed(parts))
    segments.reverse()
    return segments
