"""From a query to SQL: conditions on rows of ``span`` (as ``s``) and ``trace`` (as ``t``), and a way to begin."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from fasttrace._core.types import SpanKind
from fasttrace.local.index.schema import PART_BITS
from fasttrace.local.search import NUMERIC, WITHIN, Query, Term, equal_texts

# Counting ends here: what is more frequent is not worth a closer look.
MANY_SPANS = 20_000
# An age, and the start that it means.
_EARLIER = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
# Stands for the parts that are looked through.
_PARTS = "<parts>"
_TRACE_COLUMNS = {
    "trace.dur": "t.duration",
    "trace.start": "t.start",
    "trace.spans": "t.spans",
    "trace.errors": "t.errors",
}


class Sql(NamedTuple):
    """A piece of SQL and its parameters."""

    text: str
    values: tuple[Any, ...] = ()


class Plan(NamedTuple):
    """``spans`` and ``traces`` are conditions, None for none; ``begin`` is what to select spans from, if anything."""

    spans: Sql | None
    traces: Sql | None
    begin: list[Sql] | None

    def condition(self, first: int | None = None, last: int | None = None) -> Sql:
        """A condition on ``trace``: those that match, of the parts ``first`` to ``last``; without ``begin`` of all."""
        limits, parts = "", "SELECT id FROM part"
        if first is not None and last is not None:
            limits = f" AND s.trace >= {first << PART_BITS} AND s.trace < {last + 1 << PART_BITS}"
            parts += f" WHERE id BETWEEN {first} AND {last}"
        found = [] if self.traces is None else [self.traces]
        if self.begin is not None and self.spans is not None:
            selects = [_put(f"SELECT s.trace FROM {{}} AND {{}}{limits}", start, self.spans) for start in self.begin]
            values = tuple(value for select in selects for value in select.values)
            found.append(Sql(f"t.id IN ({' UNION '.join(select.text for select in selects)})", values))
        elif self.spans is not None:
            found.append(_put("EXISTS (SELECT 1 FROM span s WHERE s.trace = t.id AND {})", self.spans))
        whole = _all(found) if found else Sql("1")
        return Sql(whole.text.replace(_PARTS, parts), whole.values)


def plan(database: sqlite3.Connection, query: Query) -> Plan:
    """How to answer a query: asks how frequent what it names is, and begins with the rarest."""
    traces = [_turned(_of_trace(term), term) for term in query.terms if term.of_trace]
    terms = [term for term in query.terms if not term.of_trace]
    traces += [found for term in terms if (found := _implied(term)) is not None]
    above = _all(traces) if traces else None
    if not terms:
        return Plan(None, above, None)
    places = [(term, _Places(database, term)) for term in terms if term.field != "dur" or term.attribute]
    conditions = [
        _turned(_limits("s.duration", term), term) for term in terms if term.field == "dur" and not term.attribute
    ]
    starts: list[tuple[float, list[Sql]]] = []
    shapes = [_turned(_put("h.id IN ({})", place.shapes), term) for term, place in places if place.by_shape_alone]
    shapes += [found for term, place in places if not term.negated and (found := place.implied_shapes()) is not None]
    if shapes:
        chosen = _put("SELECT h.id FROM shape h WHERE {}", _all(shapes))
        conditions.insert(0, _put("+s.shape IN ({})", chosen))
        starts.append((_spans(database, chosen), [_by_shape(chosen)]))
    for term, place in places:
        if not place.by_shape_alone:
            conditions.append(_turned(place.condition(), term))
            if not term.negated and place.count is not None:
                starts.append((place.count, place.starts()))
    begin = min(starts, key=lambda item: item[0])[1] if starts else None
    return Plan(_all(conditions), above, begin)


def _by_shape(shapes: Sql) -> Sql:
    return _put("span s INDEXED BY span_shape WHERE s.shape IN ({})", shapes)


def _spans(database: sqlite3.Connection, shapes: Sql) -> float:
    """How many spans have these shapes."""
    return _number(database, _put("SELECT total(spans) FROM shape WHERE id IN ({})", shapes))


class _Places:
    """Where a term's value is found: in shapes, in resources, in postings; parts that have none are left out."""

    def __init__(self, database: sqlite3.Connection, term: Term) -> None:
        self._term = term
        self.shapes = _shapes(term)
        self._resources: Sql | None = None
        self._postings: Sql | None = None
        if term.attribute:
            test = _test(term)
            key = "(SELECT id FROM key WHERE name = ?)"
            self._postings = Sql(f"p.part IN ({_PARTS}) AND p.key = {key} AND {test.text}", (term.field, *test.values))
            pairs = Sql(f"SELECT id FROM pair WHERE key = {key} AND {test.text}", (term.field, *test.values))
            self._resources = _put("SELECT resource FROM resource_pair WHERE pair IN ({})", pairs)
            if not _number(database, _put("SELECT EXISTS ({})", self._resources)):
                self._resources = None
        elif not term.field:
            self._postings = _put(f"p.part IN ({_PARTS}) AND {{}}", _test(term))
        postings = float(MANY_SPANS)
        if term.attribute and self._postings is not None and (term.operator == "=" or _prefix(term)):
            counted = Sql(self._postings.text.replace(_PARTS, "SELECT id FROM part"), self._postings.values)
            some = f"SELECT count(*) FROM (SELECT 1 FROM posting p WHERE {{}} LIMIT {MANY_SPANS})"
            postings = _number(database, _put(some, counted))
            if not postings:
                self._postings = None
        self.by_shape_alone = self._resources is None and self._postings is None
        # No index leads from a resource to its spans.
        self.count = None if self._resources is not None else postings + _spans(database, self.shapes)

    def condition(self) -> Sql:
        """The term as a condition on spans."""
        parts = [_put("+s.shape IN ({})", self.shapes)]
        if self._resources is not None:
            parts.append(_put("s.resource IN ({})", self._resources))
        if self._postings is not None and self._term.operator == "=":
            test = Sql(
                self._postings.text.replace(f"IN ({_PARTS})", f"= s.trace >> {PART_BITS}"), self._postings.values
            )
            same = "p.trace = s.trace AND p.span = s.id AND p.twin = s.twin"
            parts.append(_put(f"EXISTS (SELECT 1 FROM posting p WHERE {{}} AND {same})", test))
        elif self._postings is not None:
            rows = _put("SELECT p.trace, p.span, p.twin FROM posting p WHERE {}", self._postings)
            parts.append(_put("(s.trace, s.id, s.twin) IN ({})", rows))
        return Sql(f"({' OR '.join(part.text for part in parts)})", sum((part.values for part in parts), ()))

    def implied_shapes(self) -> Sql | None:
        """What holds of the shape (as ``h``) where the value is in a resource: it is of one of those services."""
        if self._resources is None or self._postings is not None:
            return None
        services = _put("SELECT service FROM resource WHERE id IN ({})", self._resources)
        return _put("h.id IN ({}) OR h.service IN ({})", self.shapes, services)

    def starts(self) -> list[Sql]:
        """What to select from, up to where conditions are added."""
        found = [_by_shape(self.shapes)]
        if self._postings is not None:
            joined = "posting p CROSS JOIN span s ON s.trace = p.trace AND s.id = p.span AND s.twin = p.twin"
            found.append(_put(f"{joined} WHERE {{}}", self._postings))
        return found


def _shapes(term: Term) -> Sql:
    """The numbers of the shapes that have what a term asks for."""
    if term.attribute:
        pairs = _put("SELECT id FROM pair WHERE key = (SELECT id FROM key WHERE name = ?) AND {}", _test(term))
        found = _put("SELECT shape FROM shape_pair WHERE pair IN ({})", pairs)
        return Sql(found.text, (term.field, *found.values))
    if term.field == "status":
        return Sql("SELECT id FROM shape WHERE error = ?", (term.value == "error",))
    if term.field == "kind":
        return Sql("SELECT id FROM shape WHERE kind = ?", (int(SpanKind[term.value.upper()]),))
    if term.field in ("name", "trace.name"):
        return _put("SELECT id FROM shape WHERE {}", _test(term, "name"))
    if term.field in ("service", "trace.service"):
        services = _put("SELECT id FROM service WHERE {}", _test(term, "name"))
        return _put("SELECT id FROM shape WHERE service IN ({})", services)
    like = _like(term.value)
    return Sql(
        "SELECT id FROM shape WHERE name LIKE ? ESCAPE '\\' "
        "UNION SELECT id FROM shape WHERE service IN (SELECT id FROM service WHERE name LIKE ? ESCAPE '\\') "
        "UNION SELECT shape FROM shape_pair WHERE pair IN (SELECT id FROM pair WHERE value LIKE ? ESCAPE '\\')",
        (like, like, like),
    )


def _test(term: Term, column: str = "value") -> Sql:
    """The test that a term makes of a text, or of the number that it is."""
    if not term.field and not term.attribute:
        return Sql(f"{column} LIKE ? ESCAPE '\\'", (_like(term.value),))
    if term.operator == "=":
        texts = sorted(equal_texts(term))
        return Sql(f"{column} IN ({', '.join('?' * len(texts))})", tuple(texts))
    if term.operator in NUMERIC:
        return Sql(f"number {term.operator} ?", (term.number,))
    pattern = term.value.replace("[", "[[]")
    prefix = _prefix(term)
    above = _after(prefix)
    if above is None:
        return Sql(f"{column} GLOB ?", (pattern,))
    return Sql(f"{column} >= ? AND {column} < ? AND {column} GLOB ?", (prefix, above, pattern))


def _prefix(term: Term) -> str:
    """What all texts that a pattern matches begin with."""
    return term.value.partition("*")[0].partition("?")[0] if term.operator == "~" else ""


def _after(prefix: str) -> str | None:
    """The first text behind all that begin with the prefix; None when there is none, or no prefix."""
    if not prefix or prefix[-1] >= "\U0010ffff":
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if following == 0xD800 else following)


def _like(text: str) -> str:
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _of_trace(term: Term) -> Sql:
    if term.field == "age":
        return _of_age(term)
    if term.field in _TRACE_COLUMNS:
        return _limits(_TRACE_COLUMNS[term.field], term)
    return _put("t.shape IN ({})", _shapes(term))


def _of_age(term: Term) -> Sql:
    now = time.time_ns()
    assert term.number is not None
    if term.operator != WITHIN:
        return Sql(f"t.start {_EARLIER[term.operator]} ?", (_fit(now - round(term.number)),))
    assert term.below is not None
    return Sql("t.start > ? AND t.start <= ?", (now - term.below, now - term.number))


def _limits(column: str, term: Term) -> Sql:
    """A number as a term compares it."""
    if term.operator == WITHIN:
        return Sql(f"{column} >= ? AND {column} < ?", (_fit(term.number), _fit(term.below)))
    return Sql(f"{column} {term.operator} ?", (_fit(term.number),))


def _fit(number: float | None) -> float | None:
    """A limit as SQLite takes it: whole numbers have 64 bits there, and no time or count has more."""
    return max(-(2**63), min(2**63 - 1, number)) if isinstance(number, int) else number


def _implied(term: Term) -> Sql | None:
    """What holds of a trace if a span of it is as asked: found without looking at spans."""
    if term.attribute:
        return None
    if term.field == "status" and (term.value == "error") != term.negated:
        return Sql("t.errors > 0")
    if term.field == "dur" and term.operator[0] in ">." and not term.negated:
        return Sql(f"t.longest {'>=' if term.operator == WITHIN else term.operator} ?", (term.number,))
    return None


def _turned(condition: Sql, term: Term) -> Sql:
    return Sql(f"NOT ({condition.text})", condition.values) if term.negated else condition


def _put(text: str, *parts: Sql) -> Sql:
    return Sql(text.format(*(part.text for part in parts)), sum((part.values for part in parts), ()))


def _all(parts: Iterable[Sql]) -> Sql:
    parts = list(parts)
    return Sql(" AND ".join(f"({part.text})" for part in parts), sum((part.values for part in parts), ()))


def _number(database: sqlite3.Connection, query: Sql) -> float:
    return float(database.execute(*query).fetchone()[0])
