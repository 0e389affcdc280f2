"""A page in one file, for a bug report or a colleague: the waterfall, what was found, and every span's details.

HTML and a style sheet, no script: nothing of a trace can run, nothing is fetched, and it reads in any browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from fasttrace._core.types import SpanData
from fasttrace.local.diagnosis import findings
from fasttrace.local.exchange.page_style import STYLE
from fasttrace.local.facts import to_text
from fasttrace.local.layout import Row, layout
from fasttrace.local.model import BACKWARDS, CYCLE, DUPLICATE, EARLY, LATE, Node, Trace, group_traces
from fasttrace.local.operation import http_path, is_outgoing_http
from fasttrace.local.text import clean, format_duration, format_percent, plural
from fasttrace.local.waits import is_pool_wait

NAME = "html"
TITLE = "a page (written only)"
SUFFIXES = (".html", ".htm")

MAX_ROWS = 5_000
# Of like spans in one row, so many are written out.
MAX_DETAILS = 20
HUES = 12

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MARKS = {
    CYCLE: "its parent is below it: the circle is cut here",
    DUPLICATE: "another span has the same id",
    EARLY: "starts before its parent: clocks differ",
    LATE: "starts after its parent has ended: left running, or clocks differ",
    BACKWARDS: "ends before it starts: shown with no duration",
}


def write(traces: Iterable[list[SpanData]]) -> Iterator[bytes]:
    """The page, a trace behind the other; a trace is in memory while it is written."""
    yield (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="robots" content="noindex"><title>fasttrace</title>\n<style>{STYLE}</style></head><body><main>\n'
    ).encode()
    for batch in traces:
        for spans in group_traces(batch).values():
            yield from (f"{line}\n".encode() for line in _trace(Trace(spans)))
    yield b"</main></body></html>\n"


def _text(text: object) -> str:
    """Foreign text, inert: no markup, no control or direction-changing characters."""
    return escape(clean(text if isinstance(text, str) else to_text(text)))


def _block(text: object) -> str:
    """The same, with its lines."""
    lines = (text if isinstance(text, str) else to_text(text)).splitlines()
    return "\n".join(escape(clean(line)) for line in lines)


def _trace(trace: Trace) -> Iterator[str]:
    hues = {service: number % HUES for number, service in enumerate(trace.services)}
    began = datetime.fromtimestamp(trace.start_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    errors = f' · <b class="bad">{plural(len(trace.errors), "error")}</b>' if trace.errors else ""
    failed = " bad" if trace.root.error else ""
    yield f'<article><h1>{_text(trace.name)} <span class="figure{failed}">{_text(trace.status_text)}</span> '
    yield f'<span class="figure">{format_duration(trace.duration_ns)}</span></h1>'
    counts = f"{plural(len(trace.nodes), 'span')} · {plural(len(trace.services), 'service')}"
    yield f"<p>{counts}{errors} · began {began} · trace <code>{_text(trace.trace_id)}</code></p>"
    yield "<ul>"
    for found in findings(trace):
        evidence = f'<a href="#{found.evidence.span.trace_id}-{found.evidence.index}">see span</a>'
        yield f"<li>{_text(found.sentence)} {evidence}</li>"
    yield "</ul>"
    yield from _by_service(trace, hues)
    rows = layout(trace)
    yield from _scale(trace)
    for row in rows[:MAX_ROWS]:
        yield from _row(row, trace, hues)
    if len(rows) > MAX_ROWS:
        yield f"<p>{plural(len(rows) - MAX_ROWS, 'more row')} not shown.</p>"
    yield (
        '<p class="quiet">Thick: the critical path, what the end waited for. Thin: beside it. Striped: waiting for a '
        "pool. Self: the duration without that of what is below. A row opens.</p>"
    )
    yield "</article>"


def _by_service(trace: Trace, hues: dict[str, int]) -> Iterator[str]:
    total = trace.duration_ns
    yield '<div class="shares">'
    for service, time_ns in trace.path_time_by_service().items():
        hue, width = f"h{hues[service]}", 100 * time_ns / max(1, total)
        yield (
            f'<div><span class="{hue}">{_text(service)}</span> {format_percent(time_ns, total)} of the critical path, '
            f'{format_duration(time_ns)}<i class="{hue}" style="width:{width:.2f}%"></i></div>'
        )
    yield "</div>"


def _scale(trace: Trace) -> Iterator[str]:
    whole = trace.end_ns - trace.start_ns
    marks = "".join(f"<span>{format_duration(whole * quarter // 4) if quarter else 0}</span>" for quarter in range(5))
    yield f'<div class="head"><span>service</span><span>span</span><span class="scale">{marks}</span>'
    yield '<span class="self">self</span></div>'


def _row(row: Row, trace: Trace, hues: dict[str, int]) -> Iterator[str]:
    indent = f'style="--depth:{min(row.depth, 40)}"'
    if row.missing_parent:
        yield f'<p class="missing" {indent}>? parent <code>{_text(row.missing_parent)}</code> was not received</p>'
        return
    first = row.first
    hue = hues[first.service]
    names = "".join(f'<a id="{first.span.trace_id}-{node.index}"></a>' for node in row.nodes)
    arrow = "→ " if is_outgoing_http(first.span) else ""
    detail = f" {http_path(first.span)}" if row.count == 1 else ""
    count = f" <b>×{row.count}</b>" if row.count > 1 else ""
    failed = f'<b class="bad">✖ {_text(first.status_text)}</b> ' if row.error else ""
    odd = ' <b title="see below">!</b>' if any(node.marks & _MARKS.keys() for node in row.nodes) else ""
    share = row.path_time_ns / trace.duration_ns if trace.duration_ns else 0
    most = f" <b>{format_percent(row.path_time_ns, trace.duration_ns)}</b>" if share >= 0.25 else ""
    yield (
        f"<details><summary {indent}>"
        f'<span class="hue h{hue}">{_text(first.service)}</span>'
        f'<span class="name">{names}{failed}{arrow}{_text(first.name or "(no name)")}{_text(detail)}{count}{odd}</span>'
        f'<span class="bar h{hue}{" wait" if is_pool_wait(first.span) else ""}">{_bars(row.nodes, trace)}</span>'
        f'<span class="self">{format_duration(row.self_time_ns)}{most}</span></summary>'
    )
    for node in row.nodes[:MAX_DETAILS]:
        yield from _details(node, trace)
    if row.count > MAX_DETAILS:
        yield f"<p>{plural(row.count - MAX_DETAILS, 'more like span')} not written out.</p>"
    yield "</details>"


def _bars(nodes: Sequence[Node], trace: Trace) -> str:
    """A thin bar for each span, a thick one where it is on the critical path."""
    whole = max(1, trace.end_ns - trace.start_ns)

    def bar(tag: str, start: int, end: int) -> str:
        left, width = 100 * (start - trace.start_ns) / whole, 100 * (end - start) / whole
        return f'<{tag} style="left:{left:.3f}%;width:{width:.3f}%"></{tag}>'

    return "".join(
        bar("i", node.start_ns, node.end_ns) + "".join(bar("u", start, end) for start, end in node.path)
        for node in nodes
    )


def _details(node: Node, trace: Trace) -> Iterator[str]:
    span = node.span
    facts: list[tuple[str, object]] = [
        ("span id", span.span_id),
        ("parent id", span.parent_span_id or "none"),
        ("kind", span.kind.name.lower()),
        ("starts at", format_duration(node.start_ns - trace.start_ns)),
        ("duration", format_duration(node.duration_ns)),
        ("self", format_duration(node.self_time_ns)),
        ("on the critical path", format_duration(node.path_time_ns)),
    ]
    facts += [("note", text) for mark, text in _MARKS.items() if mark in node.marks]
    if span.status.description:
        facts.append(("message", span.status.description))
    yield '<div class="details"><table>'
    yield "".join(_fact(name, value) for name, value in facts)
    yield "".join(_fact(name, value) for name, value in span.attributes.items())
    yield "</table>"
    if span.events:
        yield "<table><caption>events</caption>"
        for event in span.events:
            at = format_duration(event.time_ns - node.start_ns)
            rest = "\n".join(f"{key} = {to_text(value)}" for key, value in event.attributes.items())
            yield _fact(f"+{at} {event.name}", rest)
        yield "</table>"
    if span.links:
        yield "<table><caption>links</caption>"
        yield "".join(_fact(link.trace_id, link.span_id) for link in span.links) + "</table>"
    yield "<table><caption>resource</caption>"
    yield "".join(_fact(name, value) for name, value in span.resource.items())
    yield "</table></div>"


def _fact(name: str, value: object) -> str:
    return f"<tr><th>{_text(name)}</th><td>{_block(value)}</td></tr>"
