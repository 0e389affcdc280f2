"""Spans as a tree of text."""

from __future__ import annotations

from fasttrace._core import StatusCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from fasttrace.testing.spans import Begun


class _Node:
    __slots__ = ("children", "label", "text")

    def __init__(self, label: str) -> None:
        self.label = label
        self.children: list[_Node] = []
        self.text = ""  # its own and that of all below it, where they are sorted


def draw(spans: Iterable[Begun], attributes: Iterable[str], ordered: bool) -> str:
    """One line for each span, below the line of its parent; "" for no spans."""
    chosen = tuple(attributes)
    begun = [span for span in spans if span.data is not None or span.running]
    nodes = {span.ids[1]: _Node(_label(span, chosen)) for span in begun}
    roots: list[_Node] = []
    for span in begun:
        parent = nodes.get(span.parent_span_id)
        (roots if parent is None else parent.children).append(nodes[span.ids[1]])
    if not ordered:
        # A parent has begun before its children: from the last to the first, each finds its children sorted.
        for span in reversed(begun):
            node = nodes[span.ids[1]]
            node.children.sort(key=_text)
            node.text = "\n".join([node.label, *map(_text, node.children)])
        roots.sort(key=_text)
    lines = []
    stack = [(root, "", "") for root in reversed(roots)]
    while stack:
        node, first, rest = stack.pop()
        lines.append(first + node.label)
        for child in reversed(node.children):
            branch, below = ("└─ ", "   ") if child is node.children[-1] else ("├─ ", "│  ")
            stack.append((child, rest + branch, rest + below))
    return "\n".join(lines)


def _text(node: _Node) -> str:
    return node.text


def _label(begun: Begun, attributes: tuple[str, ...]) -> str:
    data = begun.data
    if data is None:
        return f"{clean(begun.name)} [running]"
    parts = [clean(data.name)]
    parts += [f"{key}={clean(str(data.attributes[key]))}" for key in attributes if key in data.attributes]
    if data.status.status_code == StatusCode.ERROR:
        parts.append("[error]")
    return " ".join(parts)


def clean(text: str) -> str:
    """Text that stays on its line."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
