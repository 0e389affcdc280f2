"""The screen of ``fasttrace top``: routes in a chosen order, and the slowest trace of the one that is pointed at."""

from __future__ import annotations

import time

from fasttrace.local import api
from fasttrace.local.diagnosis import findings
from fasttrace.local.index import Index
from fasttrace.local.model import Trace
from fasttrace.local.neighbours import neighbours
from fasttrace.local.render import render_findings, render_trace
from fasttrace.local.routes import Route, in_order, render_routes, routes_title
from fasttrace.local.screen import DOWN, END, ENTER, ESCAPE, HOME, PAGE_DOWN, PAGE_UP, UP, Screen
from fasttrace.local.search import quoted
from fasttrace.local.terminal import QUIET, Pen, Text

_ORDER_KEYS = {"p": "p95", "e": "errors", "s": "self", "t": "time", "c": "calls"}
_WINDOWS = (None, 60, 600, 3600)
_KEYS = (
    "q quit · by s self  p p95  e errors  t time  c calls · w time range · j k enter its slowest trace · space pause",
    "q quit · by s self  p p95  e errors  t time  c calls · w range · j k enter trace · space pause",
    "q quit · s p e t c order · w range · j k enter trace",
)  # fmt: skip
_TRACE_KEYS = "q back   j k space b scroll"


class Top:
    """Routes of the traces that a search finds, read anew every ``interval`` seconds."""

    def __init__(self, index: Index, query: str, *, order: str, interval: float) -> None:
        self._index = index
        self._query = query
        self._order = order
        self._interval = interval
        self._routes: list[Route] = []
        self._chosen: tuple[str, str] | None = None
        self._first = 0
        self._paused = False
        self._window = 0

    def run(self) -> None:
        """Draw and read keys until it is left."""
        self._load()
        with Screen() as screen:
            due = time.monotonic() + self._interval
            while True:
                self._draw(screen)
                key = screen.key(max(0.0, due - time.monotonic()) if not self._paused else 3600)
                if key in ("q", ESCAPE):
                    return
                if key is None:
                    self._index.refresh()
                    self._load()
                    due = time.monotonic() + self._interval
                else:
                    self._press(key, screen)

    def _load(self) -> None:
        self._routes = in_order(api.routes(self._index, self._search())["routes"], self._order)

    def _search(self) -> str:
        """What was asked for, of the time range that was chosen."""
        seconds = _WINDOWS[self._window]
        return self._query if seconds is None else f"{self._query} age<{seconds}s".strip()

    def _place(self) -> int | None:
        """The line that is pointed at: the same route, wherever it stands now."""
        for place, row in enumerate(self._routes):
            if (row["service"], row["route"]) == self._chosen:
                return place
        return None

    def _press(self, key: str, screen: Screen) -> None:
        if key in _ORDER_KEYS:
            self._order = _ORDER_KEYS[key]
            self._routes = in_order(self._routes, self._order)
        elif key == " ":
            self._paused = not self._paused
        elif key == "w":
            self._window = (self._window + 1) % len(_WINDOWS)
            self._load()
        elif key == ENTER and self._place() is not None:
            _Waterfall(self._index, self._search(), self._routes[self._place() or 0]).run(screen)
        else:
            self._move(key, screen)

    def _move(self, key: str, screen: Screen) -> None:
        page = screen.height - 5
        steps = {"j": 1, DOWN: 1, "k": -1, UP: -1, PAGE_DOWN: page, PAGE_UP: -page, HOME: -(10**6), END: 10**6}
        if key not in steps or not self._routes:
            return
        place = self._place()
        place = 0 if place is None else max(0, min(len(self._routes) - 1, place + steps[key]))
        self._chosen = (self._routes[place]["service"], self._routes[place]["route"])

    def _draw(self, screen: Screen) -> None:
        pen = screen.pen()
        pen.learn(row["service"] for row in self._routes)
        room = max(1, screen.height - 4)
        place = self._place()
        if place is not None:
            self._first = max(min(self._first, place), place - room + 1)
        self._first = max(0, min(self._first, len(self._routes) - room))
        shown = self._routes[self._first : self._first + room]
        where = self._index.label + (f" · {self._search()}" if self._search() else "")
        title = routes_title(self._routes, self._order, where)
        lines = [
            pen.line((pen.fit(title, pen.width - 9), QUIET), (" · paused" if self._paused else "", "bold")),
            pen.line(),
            *render_routes(shown, pen, self._order, None if place is None else place - self._first),
        ]
        if not self._routes:
            lines.append(pen.line(("nothing yet: waiting for spans", QUIET)))
        screen.draw(lines, _footer(pen, next((keys for keys in _KEYS if len(keys) <= pen.width), _KEYS[-1])))


class _Waterfall:
    """The slowest trace of a route, to scroll in."""

    def __init__(self, index: Index, query: str, row: Route) -> None:
        self._trace = _slowest(index, query, row)
        self._found = [] if self._trace is None else findings(self._trace, neighbours=neighbours(index, self._trace))
        self._first = 0

    def run(self, screen: Screen) -> None:
        """Draw and read keys until it is left."""
        while self._trace is not None:
            pen = screen.pen()
            lines = [*render_trace(self._trace, pen), pen.line(), *render_findings(self._found, pen)]
            page = screen.height - 1
            self._first = max(0, min(self._first, len(lines) - page))
            screen.draw(lines[self._first :], _footer(pen, _TRACE_KEYS))
            key = screen.key(3600)
            if key in ("q", ESCAPE, ENTER):
                return
            steps = {"j": 1, DOWN: 1, "k": -1, UP: -1, " ": page - 1, PAGE_DOWN: page - 1, "b": 1 - page}
            steps |= {PAGE_UP: 1 - page, HOME: -len(lines), END: len(lines), "g": -len(lines), "G": len(lines)}
            self._first += steps.get(key or "", 0)


def _slowest(index: Index, query: str, row: Route) -> Trace | None:
    """The slowest trace in which a service was asked for this: by the span's name, or by its method and route."""
    method, _, route = row["route"].rpartition(" ")
    by_route = f"route={quoted(route)}" + (f" http.request.method={quoted(method)}" if method else "")
    for what in (f"name={quoted(row['route'])}", by_route):
        asked = f"{query} service={quoted(row['service'])} {what}"
        found = api.traces(index, asked.strip(), limit=1, order="slowest")["traces"]
        if found:
            return index.trace(found[0]["trace_id"])
    return None


def _footer(pen: Pen, text: str) -> Text:
    return pen.line((pen.pad(text, pen.width), "reverse"))
