"""From a trace to rows: the order, the indentation and the folding that every front end shows."""

from __future__ import annotations

from fasttrace.local.model import ORPHAN, Node, Trace

# Two alike are easier to read than a row that says "twice".
MIN_FOLD = 3


class Row:
    """One line of a waterfall: a span, several like siblings, or a parent that was not received.

    ``nodes`` are the spans it stands for, in order of start; none for a missing parent, whose span
    id is then in ``missing_parent``. ``count`` is the number of spans that it folds.
    """

    __slots__ = ("depth", "is_last", "missing_parent", "nodes", "parent")

    def __init__(self, nodes: list[Node], parent: Row | None, is_last: bool, missing_parent: str = "") -> None:
        self.nodes: list[Node] = nodes
        self.parent: Row | None = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.is_last: bool = is_last
        self.missing_parent: str = missing_parent

    @property
    def first(self) -> Node:
        """The earliest of its spans; IndexError for a missing parent."""
        return self.nodes[0]

    @property
    def count(self) -> int:
        """How many spans the row stands for."""
        return len(self.nodes)

    @property
    def error(self) -> bool:
        """Whether any of its spans failed; folded spans agree on it."""
        return any(node.error for node in self.nodes)

    @property
    def self_time_ns(self) -> int:
        """The sum of the self times of its spans."""
        return sum(node.self_time_ns for node in self.nodes)

    @property
    def path_time_ns(self) -> int:
        """How much of the critical path is its spans' own."""
        return sum(node.path_time_ns for node in self.nodes)

    def __repr__(self) -> str:
        name = self.nodes[0].name if self.nodes else f"? {self.missing_parent}"
        return f"Row({name!r}, count={self.count}, depth={self.depth})"


def layout(trace: Trace, min_fold: int = MIN_FOLD) -> list[Row]:
    """The rows of a trace, top to bottom. Every span stands in exactly one row.

    ``min_fold`` siblings in a row that are alike, with all that is below them, become one row: same
    service, name and outcome, throughout. Below a folded row the children of all of its spans are
    folded likewise. A large ``min_fold`` folds nothing.
    """
    shapes = _shapes(trace)
    orphans: dict[str, list[list[Node]]] = {}
    for node in trace.roots:
        if ORPHAN in node.marks:
            orphans.setdefault(node.span.parent_span_id, []).append([node])
    tops = [Row([node], None, True) for node in trace.roots if ORPHAN not in node.marks]
    tops += [Row([], None, True, span_id) for span_id in orphans]

    rows: list[Row] = []
    stack = list(reversed(tops))
    while stack:
        row = stack.pop()
        rows.append(row)
        if row.missing_parent:
            groups = orphans[row.missing_parent]
        elif row.count == 1:
            groups = _runs(row.first.children, shapes, min_fold)
        else:
            groups = _merged([_runs(node.children, shapes, 1) for node in row.nodes])
        children = [Row(group, row, index == len(groups) - 1) for index, group in enumerate(groups)]
        stack.extend(reversed(children))
    return rows


def _shapes(trace: Trace) -> list[int]:
    """For each span (by index) a number that is equal for subtrees that look alike, whatever their repetitions."""
    numbers: dict[tuple[object, ...], int] = {}
    shapes = [0] * len(trace.nodes)
    for node in reversed(trace.nodes):
        below: list[int] = []
        for child in node.children:
            if not below or below[-1] != shapes[child.index]:
                below.append(shapes[child.index])
        key = (node.service, node.name, node.error, frozenset(node.marks), *below)
        shapes[node.index] = numbers.setdefault(key, len(numbers))
    return shapes


def _runs(nodes: list[Node], shapes: list[int], min_fold: int) -> list[list[Node]]:
    """Neighbours of equal shape together, where there are at least ``min_fold`` of them."""
    runs: list[list[Node]] = []
    for node in nodes:
        if runs and shapes[runs[-1][0].index] == shapes[node.index]:
            runs[-1].append(node)
        else:
            runs.append([node])
    return [group for run in runs for group in ([run] if len(run) >= min_fold else [[node] for node in run])]


def _merged(runs_of_each: list[list[list[Node]]]) -> list[list[Node]]:
    """The first runs of all together, then the second ones: like subtrees have the same runs."""
    return [
        sorted((node for run in runs for node in run), key=lambda node: (node.start_ns, node.index))
        for runs in zip(*runs_of_each, strict=True)
    ]
