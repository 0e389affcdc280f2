"""What a failed question says: what was asked for, what there was, and what was perhaps meant."""

from __future__ import annotations

from fasttrace.testing.tree import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from fasttrace._core import SpanData, SpanKind

MAX_LINES = 40
_STATEMENTS = ("db.query.text", "db.statement")


def same(wanted: Any, found: Any) -> bool:
    """Whether a value is the one asked for; tuples are lists in a span."""
    return bool((list(wanted) if isinstance(wanted, tuple) else wanted) == found)


def not_one(
    name: str | None,
    wanted: Mapping[str, Any],
    kind: SpanKind | None,
    error: bool | None,
    found: Sequence[SpanData],
    candidates: Sequence[SpanData],
    spans: Sequence[SpanData],
    tree: str,
) -> str:
    """Why there is not one span."""
    asked = _asked(name, wanted, kind, error)
    lines = [f"{len(found)} spans {asked}: one was expected" if found else f"no span {asked}"]
    if not found and not candidates and name is not None:
        near = _near(name, sorted({span.name for span in spans}))
        if near:
            lines[0] += f"; did you mean {' or '.join(map(repr, near))}?"
    if not found:
        lines += [f"  {clean(span.name)} has {_differs(span, wanted, kind)}" for span in candidates[:10]]
    lines += _there_was(tree, spans)
    return "\n".join(lines)


def too_many(
    name: str | None,
    wanted: Mapping[str, Any],
    kind: SpanKind | None,
    count: int,
    found: Sequence[SpanData],
    spans: Sequence[SpanData],
) -> str:
    """What repeats, below which parents."""
    lines = [f"{len(found)} spans {_asked(name, wanted, kind, None)}: at most {count} were expected"]
    names = {span.span_id: span.name for span in spans}
    parents: dict[str, dict[str, int]] = {}
    for span in found:
        statements = parents.setdefault(span.parent_span_id, {})
        statement = _statement(span)
        statements[statement] = statements.get(statement, 0) + 1
    for parent, statements in sorted(parents.items(), key=lambda item: -sum(item[1].values())):
        lines.append(f"  below {clean(names[parent])!r}:" if parent in names else "  below no captured span:")
        width = len(str(max(statements.values())))
        lines += [
            f"    {times:{width}} x {clean(text)}"
            for text, times in sorted(statements.items(), key=lambda item: (-item[1], item[0]))
        ]
    return "\n".join(_cut(lines))


def _asked(name: str | None, wanted: Mapping[str, Any], kind: SpanKind | None, error: bool | None) -> str:
    parts = [] if name is None else [f"named {name!r}"]
    parts += [f"with {key}={value!r}" for key, value in wanted.items()]
    if kind is not None:
        parts.append(f"of kind {kind.name}")
    if error is not None:
        parts.append("that failed" if error else "that did not fail")
    return " ".join(parts) or "at all"


def _differs(span: SpanData, wanted: Mapping[str, Any], kind: SpanKind | None) -> str:
    """What a span of the right name has that was not asked for."""
    parts = []
    for key, value in wanted.items():
        if key not in span.attributes:
            near = _near(key, list(span.attributes))
            parts.append(f"no {key}" + (f" (but {near[0]}={span.attributes[near[0]]!r})" if near else ""))
        elif not same(value, span.attributes[key]):
            parts.append(f"{key}={span.attributes[key]!r}")
    if kind is not None and span.kind != kind:
        parts.append(f"kind {span.kind.name}")
    return ", ".join(parts) or f"status {span.status.status_code.name}"


def _there_was(tree: str, spans: Sequence[SpanData]) -> list[str]:
    if not tree:
        return ["no spans were captured"]
    return [f"{len(spans)} spans were captured:", *_cut([f"  {line}" for line in tree.splitlines()])]


def _cut(lines: list[str]) -> list[str]:
    left_out = len(lines) - MAX_LINES
    return lines if left_out <= 0 else [*lines[:MAX_LINES], f"  and {left_out} more"]


def _near(name: str, names: list[str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(name, names, 2, 0.6)


def _statement(span: SpanData) -> str:
    for key in _STATEMENTS:
        text = span.attributes.get(key)
        if text:
            return str(text)
    return span.name
