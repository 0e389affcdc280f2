"""The waterfall in the terminal: a header, one line per row, then the critical path by service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from textwrap import wrap

from fasttrace._core.storing import KEEP_REASON
from fasttrace._core.types import Event
from fasttrace.local import bars
from fasttrace.local.diagnosis import Diagnosis
from fasttrace.local.layout import Row, layout
from fasttrace.local.model import BACKWARDS, CYCLE, DUPLICATE, EARLY, LATE, Node, Trace
from fasttrace.local.operation import http_path, is_outgoing
from fasttrace.local.terminal import ERROR, QUIET, Pen, Text
from fasttrace.local.text import clean, format_duration, format_percent, plural
from fasttrace.local.waits import is_pool_wait

MAX_ROWS = 400

PLACE_KEYS = (
    "service.version", "deployment.environment.name", "deployment.environment", "k8s.pod.name", "cloud.region",
)  # fmt: skip
MAX_EVENTS = 3
SELF_WIDTH = 8
SHARE_WIDTH = 8
# The row with the most of the critical path is pointed at from here on.
MIN_SHARE = 0.25


def render_trace(trace: Trace, pen: Pen, max_rows: int = MAX_ROWS, *, fold: bool = True) -> list[Text]:
    """A trace as lines for a terminal: at most ``max_rows`` rows, and what was left out said."""
    return _Waterfall(trace, pen, max_rows, fold).lines()


class _Waterfall:
    def __init__(self, trace: Trace, pen: Pen, max_rows: int, fold: bool) -> None:
        self.trace = trace
        self.pen = pen
        rows = layout(trace) if fold else layout(trace, min_fold=len(trace.nodes) + 1)
        self.hidden_rows = max(0, len(rows) - max_rows)
        self.rows = rows[:max_rows]
        self.busiest = max((row for row in rows if row.nodes), key=lambda row: row.path_time_ns)
        pen.learn(trace.services)
        share = SHARE_WIDTH if pen.width >= 80 else 0
        longest_service = max(pen.cells(service) for service in trace.services)
        self.service_width = min(longest_service, 10 if pen.width < 80 else 16)
        longest_name = max(2 * row.depth + pen.cells(_label(row)) for row in self.rows)
        self.name_width = max(16, min(longest_name, int(pen.width * 0.36)))
        bar_width = pen.width - self.service_width - 1 - self.name_width - 1 - SELF_WIDTH - share
        self.axis = bars.Axis(trace.start_ns, trace.end_ns, bar_width)
        self.owners = bars.path_owners(self.rows, self.axis)

    def lines(self) -> list[Text]:
        lines = [*self.header(), Text("", end=""), self.scale()]
        for index, row in enumerate(self.rows):
            deeper = index + 1 < len(self.rows) and self.rows[index + 1].depth > row.depth
            lines.append(self.row(row))
            lines.extend(self.notes(row, deeper))
        if self.hidden_rows:
            lines.append(self.pen.line((f"{plural(self.hidden_rows, 'more row')} not shown", QUIET)))
        lines += [Text("", end=""), self.legend(), Text("", end=""), *self.by_service()]
        return lines

    def header(self) -> Iterator[Text]:
        trace, pen = self.trace, self.pen
        parts = [plural(len(trace.nodes), "span"), plural(len(trace.services), "service")]
        if trace.missing_parents:
            parts.append(f"{plural(len(trace.missing_parents), 'parent')} not received")
        elif len(trace.roots) > 1:
            parts.append(plural(len(trace.roots), "tree"))
        if trace.redelivered:
            parts.append(f"{trace.redelivered:,} received twice")
        summary = " · ".join(parts)
        failed = f" · {plural(len(trace.errors), 'error')}" if trace.errors else ""
        figures = f"  {trace.status_text}  {format_duration(trace.duration_ns)}"
        one_line = pen.cells(trace.name) + len(figures + summary + failed) + 2 <= pen.width
        name = pen.fit(trace.name, pen.width - len(figures))
        title = ((name, "bold"), (figures, ERROR if trace.root.error else "bold"))
        if one_line:
            yield pen.line(*title, (f"  {summary}", QUIET), (failed, ERROR))
        else:
            yield pen.line(*title)
            yield pen.line((pen.fit(summary, pen.width - len(failed)), QUIET), (failed, ERROR))
        started = datetime.fromtimestamp(trace.start_ns / 1e9).strftime("%Y-%m-%d %H:%M:%S")
        told = f"trace {trace.trace_id}  {started}"
        for fact in _facts(trace):
            if pen.cells(f"{told} · {fact}") <= pen.width:
                told += f" · {pen.text(fact)}"
        yield pen.line((told, QUIET))

    def scale(self) -> Text:
        pen = self.pen
        labels = f"{pen.pad('service', self.service_width)} {pen.pad('span', self.name_width)} "
        return pen.line((f"{labels}{self.axis.scale()}{'self':>{SELF_WIDTH}}", QUIET))

    def row(self, row: Row) -> Text:
        pen = self.pen
        if row.missing_parent:
            text = f"? parent {row.missing_parent} not received"
            why = " (dropped, sampled out or still running)"
            if pen.cells(text + why) <= self._rest():
                text += why
            return pen.line((pen.pad("?", self.service_width), QUIET), (" ", ""), (pen.fit(text, self._rest()), QUIET))
        hue = pen.hue(row.first.service)
        parts = [(pen.pad(row.first.service, self.service_width), hue), (" ", ""), *self.name(row), (" ", "")]
        parts += self.bar(row)
        pointed = row is self.busiest and row.path_time_ns >= MIN_SHARE * self.trace.duration_ns > 0
        parts.append((f"{format_duration(row.self_time_ns):>{SELF_WIDTH}}", "bold" if pointed else ""))
        if pointed and pen.width >= 80:
            sign = "◀" if pen.unicode else "<"
            parts.append((f" {sign} {format_percent(row.path_time_ns, self.trace.duration_ns)}", "bold"))
        return pen.line(*parts)

    def bar(self, row: Row) -> list[tuple[str, str]]:
        """The bar's cells; neighbours of one style together."""
        hue = self.pen.hue(row.first.service)
        cells = bars.draw(row, self.axis, self.owners, self.pen.unicode)
        return [
            ("".join(char for char, _ in run), f"bold {hue}" if on_path else hue)
            for on_path, run in groupby(cells, key=lambda cell: cell[1])
        ]

    def name(self, row: Row) -> list[tuple[str, str]]:
        """Tree, name, and what must never be cut: the count and the error."""
        pen = self.pen
        tree = self.tree(row)
        tail = (f" ×{row.count}" if row.count > 1 else "", f" {_failure(row)}" if row.error else "")
        room = self.name_width - len(tree) - len(tail[0]) - len(tail[1])
        name = pen.fit(_title(row), room)
        detail = pen.fit(_detail(row), room - pen.cells(name))
        used = self.name_width - room + pen.cells(name) + pen.cells(detail)
        style = "red" if row.error else ""
        return [
            (tree, QUIET), (name, style), (detail, QUIET), (tail[0], "bold"), (tail[1], ERROR),
            (" " * (self.name_width - used), ""),
        ]  # fmt: skip

    def tree(self, row: Row, below: bool = False, deeper: bool = False) -> str:
        """The lines from a row to its ancestors, or those beside what stands ``below`` it."""
        unicode = self.pen.unicode
        pipe, tee, elbow = ("│ ", "├ ", "└ ") if unicode else ("| ", "|-", "`-")
        levels = [pipe if deeper else "  "] if below else []
        current = row
        most = max(2, self.name_width // 4) + below
        while current.parent is not None and len(levels) < most:
            if current is row and not below:
                levels.append(elbow if row.is_last else tee)
            else:
                levels.append("  " if current.is_last else pipe)
            current = current.parent
        if current.parent is not None:
            levels[-1] = "… " if unicode else "~ "
        return "".join(reversed(levels))

    def notes(self, row: Row, deeper: bool) -> Iterator[Text]:
        """What happened during a row's spans, and what is odd about them."""
        tree = self.tree(row, below=True, deeper=deeper)
        blank = " " * (self.service_width + 1)
        for text, style in _notes(row):
            yield self.pen.line((blank, ""), (tree, QUIET), (self.pen.fit(text, self._rest() - len(tree)), style))

    def legend(self) -> Text:
        on_path, off_path, waiting = bars.glyphs(self.pen.unicode)
        text = f"{on_path * 2} critical path   {off_path * 2} beside it"
        if any(is_pool_wait(node.span) for node in self.trace.nodes):
            text += f"   {waiting * 2} waiting for a pool"
        return self.pen.line((text, QUIET))

    def by_service(self) -> Iterator[Text]:
        pen, total = self.pen, self.trace.duration_ns
        times = self.trace.path_time_by_service()
        if not times:
            return
        yield pen.line(("critical path by service", QUIET))
        width = max(10, min(40, pen.width - self.service_width - 20))
        for service, time_ns in times.items():
            bar = bars.share_bar(time_ns, total, width, pen.unicode)
            yield pen.line(
                (pen.pad(service, self.service_width), pen.hue(service)),
                (f" {format_percent(time_ns, total):>5}  {format_duration(time_ns):>7}  ", ""),
                (bar, pen.hue(service)),
            )

    def _rest(self) -> int:
        return self.pen.width - self.service_width - 1


def _facts(trace: Trace) -> Iterator[str]:
    """Why the trace was kept, and where its root ran."""
    reasons = dict.fromkeys(str(node.span.attributes.get(KEEP_REASON, "")) for node in trace.nodes)
    if any(reasons):
        yield f"kept: {', '.join(reason for reason in reasons if reason)}"
    resource = trace.root.span.resource
    yield from (str(resource[key]) for key in PLACE_KEYS if resource.get(key))


def _failure(row: Row) -> str:
    codes = {node.status_text for node in row.nodes} - {"error"}
    return f"✖ {codes.pop()}" if len(codes) == 1 else "✖"


def _title(row: Row) -> str:
    """The span's name; an arrow before outgoing requests tells them from the request they become."""
    span = row.first.span
    arrow = "→ " if is_outgoing(span) else ""
    return arrow + (span.name or "(no name)")


def _detail(row: Row) -> str:
    """For an outgoing HTTP request, whose name is its method only, the path that was asked for."""
    paths = {http_path(node.span) for node in row.nodes}
    path = paths.pop() if len(paths) == 1 else ""
    return f" {path}" if path else ""


def _label(row: Row) -> str:
    """All that a row's name column would show if there were room."""
    if not row.nodes:
        return ""
    count = f" ×{row.count}" if row.count > 1 else ""
    return clean(_title(row)) + _detail(row) + count + (f" {_failure(row)}" if row.error else "")


def _notes(row: Row) -> Iterator[tuple[str, str]]:
    for node in row.nodes[:1]:
        yield from _oddities(node, row.count)
    events = [(node, event) for node in row.nodes for event in node.span.events]
    for node, event in events[:MAX_EVENTS]:
        yield _event(node, event)
    if len(events) > MAX_EVENTS:
        yield f"· {plural(len(events) - MAX_EVENTS, 'more event')}", QUIET
    failed = row.nodes[0] if row.nodes and row.error else None
    if failed and failed.span.status.description and not any(event.name == "exception" for _, event in events):
        yield f"· {failed.span.status.description}", ERROR


def _oddities(node: Node, count: int) -> Iterator[tuple[str, str]]:
    if CYCLE in node.marks:
        yield f"! its parent {node.span.parent_span_id} is below it: the cycle is cut here", QUIET
    if DUPLICATE in node.marks:
        yield f"! another span has the same id {node.span.span_id}", QUIET
    if LATE in node.marks and node.parent is not None and count == 1:
        late = format_duration(node.start_ns - node.parent.end_ns)
        yield f"! starts {late} after its parent has ended (left running, or clocks differ)", QUIET
    if EARLY in node.marks and node.parent is not None and count == 1:
        early = format_duration(node.parent.start_ns - node.start_ns)
        yield f"! starts {early} before its parent (clocks differ)", QUIET
    if BACKWARDS in node.marks:
        backwards = format_duration(node.span.start_time_ns - node.span.end_time_ns)
        yield f"! ends {backwards} before it starts (shown with no duration)", QUIET


def _event(node: Node, event: Event) -> tuple[str, str]:
    offset = format_duration(event.time_ns - node.start_ns)
    if event.name == "exception":
        kind = str(event.attributes.get("exception.type", "exception"))
        message = str(event.attributes.get("exception.message", ""))
        return f"· +{offset} {kind}: {message}" if message else f"· +{offset} {kind}", ERROR
    attributes = "  ".join(f"{key}={value}" for key, value in event.attributes.items())
    return f"· +{offset} {event.name}  {attributes}".rstrip(), QUIET


def render_diagnosis(diagnosis: Diagnosis, pen: Pen) -> list[Text]:
    """The sentence, wrapped to the pen's width, and the span it rests on."""
    evidence = diagnosis.evidence
    lines = wrap(pen.text(f"Diagnosis: {diagnosis.sentence}"), pen.width)
    return [
        *(pen.line((line, "bold")) for line in lines),
        pen.line((f"evidence: span {evidence.span.span_id} in trace {evidence.span.trace_id}"[: pen.width], QUIET)),
    ]


def render_findings(found: Sequence[Diagnosis], pen: Pen) -> list[Text]:
    """All that was found, the first one in bold, each with the span that it rests on."""
    lines: list[Text] = []
    for place, diagnosis in enumerate(found):
        sentence = wrap(
            pen.text(f"{'Diagnosis' if place == 0 else 'Also'}: {diagnosis.sentence}"),
            pen.width,
            subsequent_indent="  ",
        )
        lines += [pen.line((line, "bold" if place == 0 else "")) for line in sentence]
        lines.append(pen.line((f"  see span {diagnosis.evidence.span.span_id}", QUIET)))
    return lines
