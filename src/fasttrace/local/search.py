"""The one search language: ``service=inventory dur>500ms status=error http.route~"/orders*" -"free text"``.

Terms are joined by "and"; a span matches when all of them hold, a trace when one of its spans does. A term is

- ``field=value``, ``field!=value``; ``field~pattern`` and ``field!~pattern``, where ``*`` is any text and ``?`` one
  character, and a pattern without either may stand anywhere in the value;
- ``field>number``, and ``>=``, ``<``, ``<=``: for ``dur``, ``trace.dur`` and ``age`` a duration with its unit, for
  ``trace.start`` a time; of these also ``field=from..to``, from the one up to and without the other;
- a word or ``"several words"``: anywhere in the name, the service or an attribute, whatever its case.

A minus before a term turns it round. Fields are ``service name kind status dur``, of the whole trace ``trace.dur
trace.spans trace.errors trace.name trace.service trace.start age`` (how long ago it began), and every attribute of
the span or its resource by its key; ``route`` is ``http.route``, ``code`` is ``http.response.status_code``. A dot
before a name makes it an attribute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from operator import ge, gt, le, lt
from typing import Any

from fasttrace._core.types import SpanData, SpanKind, StatusCode
from fasttrace.errors import FasttraceError
from fasttrace.local.facts import facts, service_of, to_number, to_text
from fasttrace.local.ranges import RangeError, instant_ns

MAX_QUERY = 2000

NUMERIC = {">": gt, ">=": ge, "<": lt, "<=": le}
_OPERATORS = ("!=", "!~", ">=", "<=", "==", "=", "~", ">", "<")
_TEXTS = ("service", "name", "trace.name", "trace.service")
_DURATIONS = ("dur", "trace.dur", "age")
_COUNTS = ("trace.spans", "trace.errors")
START = "trace.start"
# The operator of ``field=from..to``.
WITHIN = ".."
FIELDS = (*_TEXTS, "kind", "status", *_DURATIONS, *_COUNTS, START)
ALIASES = {
    "duration": "dur",
    "trace.duration": "trace.dur",
    "route": "http.route",
    "code": "http.response.status_code",
}
_KINDS = tuple(kind.name.lower() for kind in SpanKind)
_STATUSES = ("ok", "error")
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_FIELD = re.compile(r"\.?[A-Za-z_][\w.\-/]*", re.ASCII)
_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([a-zµ]*)")
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class SearchError(FasttraceError, ValueError):
    """A query that can't be read: what is wrong, the place (``position``, in characters) and what is accepted."""

    def __init__(self, query: str, position: int, message: str) -> None:
        super().__init__(f"{message} (at character {position + 1} of the search)")
        self.query = query
        self.position = position


class Term:
    """One condition. ``field`` is a field, an attribute's key, or "" for free text; ``value`` is its text.

    ``operator`` is one of ``= ~ > >= < <= ..``; ``number`` what is compared, for the last five: nanoseconds, for
    ``trace.start`` since the Unix epoch. For ``..`` it is where the range begins, and ``below`` where it ends.
    """

    __slots__ = ("attribute", "below", "field", "negated", "number", "operator", "value")

    def __init__(
        self,
        field: str,
        operator: str,
        value: str,
        negated: bool,
        attribute: bool,
        number: float | None = None,
        below: float | None = None,
    ) -> None:
        self.field: str = field
        self.operator: str = operator
        self.value: str = value
        self.negated: bool = negated
        self.attribute: bool = attribute
        self.number: float | None = number
        self.below: float | None = below

    def holds(self, number: float) -> bool:
        """Whether a number is as compared with; the minus is not looked at."""
        if self.operator == WITHIN:
            return bool(self.number <= number < self.below)  # type: ignore[operator]
        compare: Callable[[Any, Any], Any] = NUMERIC[self.operator]
        return bool(compare(number, self.number))

    @property
    def of_trace(self) -> bool:
        """Whether it is a condition on the whole trace."""
        return not self.attribute and (self.field.startswith("trace.") or self.field == "age")

    def __repr__(self) -> str:
        return f"Term({'-' if self.negated else ''}{self.field!r} {self.operator} {self.value!r})"


class Query:
    """What was asked for: ``terms``, all of which must hold; none match everything."""

    __slots__ = ("terms", "text")

    def __init__(self, text: str, terms: list[Term]) -> None:
        self.text: str = text
        self.terms: list[Term] = terms

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, span: SpanData) -> bool:
        """Whether all terms hold for a span; those on its trace are taken to."""
        known: list[tuple[str, str]] | None = None
        for term in self.terms:
            if term.of_trace:
                continue
            if known is None and (term.attribute or not term.field):
                known = facts(span)
            if _holds(term, span, known or []) == term.negated:
                return False
        return True


def _holds(term: Term, span: SpanData, known: list[tuple[str, str]]) -> bool:
    field = term.field
    if term.attribute:
        test = test_of(term)
        if any(key == field and test(text) for key, text in known):
            return True
        return field in span.resource and test(to_text(span.resource[field]))
    if not field:
        test = test_of(term)
        return test(to_text(span.name)) or test(service_of(span.resource)) or any(test(text) for _, text in known)
    if field == "dur":
        return term.holds(max(0, span.duration_ns))
    if field == "status":
        return (span.status.status_code == StatusCode.ERROR) == (term.value == "error")
    if field == "kind":
        return span.kind.name.lower() == term.value
    return test_of(term)(to_text(span.name) if field == "name" else service_of(span.resource))


def test_of(term: Term) -> Callable[[str], bool]:
    """The test of one text that a term on texts makes."""
    if not term.field and not term.attribute:
        wanted = term.value.translate(_ASCII_LOWER)
        return lambda text: wanted in text.translate(_ASCII_LOWER)
    if term.operator == "=":
        return equal_texts(term).__contains__
    if term.operator == "~":
        match = _pattern(term.value).fullmatch
        return lambda text: match(text) is not None
    return lambda text: (number := to_number(text)) is not None and term.holds(number)


def equal_texts(term: Term) -> set[str]:
    """The texts that count as equal to a term's value: ``5.0`` is the number 5, too."""
    number = to_number(term.value)
    return {term.value} if number is None else {term.value, to_text(number)}


@lru_cache(64)
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"([*?])", pattern)
    text = "".join(".*" if part == "*" else "." if part == "?" else re.escape(part) for part in parts)
    return re.compile(text, re.DOTALL)


def quoted(text: str) -> str:
    """A text as a value in a search, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def hint(query: Query, keys: Collection[str]) -> str:
    """What may be wrong with a search that finds nothing: an attribute that is none of ``keys``; "" for no idea."""
    for term in query.terms:
        if term.attribute and not term.negated and term.field not in keys:
            near = get_close_matches(term.field, keys, n=1, cutoff=0.7)
            return f"no span has an attribute {term.field}" + (f": did you mean {near[0]}?" if near else "")
    return ""


def time_asked(query: Query, now_ns: int) -> tuple[int, int] | None:
    """The time that a query is limited to, in nanoseconds since the Unix epoch; None when it names none."""
    low, high = 0, now_ns
    named = False
    for term in query.terms:
        if term.field not in (START, "age") or term.attribute or term.negated or term.number is None:
            continue
        named = True
        first, last = term.number, term.number if term.below is None else term.below
        begins, ends = term.operator[0] in ">.", term.operator[0] in "<."
        if term.field == "age":
            first, last = (now_ns - round(limit) if isfinite(limit) else -limit for limit in (last, first))
            begins, ends = ends, begins
        low = max(low, round(first)) if begins and isfinite(first) else low
        high = min(high, round(last)) if ends and isfinite(last) else high
    return (low, max(low, high)) if named else None


def parse(text: str) -> Query:
    """Read a query; "" matches everything. Raises SearchError, which points at the place."""
    if len(text) > MAX_QUERY:
        raise SearchError(text, MAX_QUERY, f"a search of {len(text):,} characters: use {MAX_QUERY:,} at most")
    return Query(text, _Reader(text).terms())


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, message: str, at: int | None = None) -> SearchError:
        return SearchError(self.text, self.at if at is None else at, message)

    def terms(self) -> list[Term]:
        found = []
        while self.skip():
            found.append(self.term())
        return found

    def skip(self) -> bool:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at < len(self.text)

    def term(self) -> Term:
        negated = self.text[self.at] == "-"
        if negated:
            self.at += 1
            if self.at == len(self.text) or self.text[self.at].isspace():
                raise self.fail("nothing follows the minus: use -service=inventory or -word", self.at - 1)
        start = self.at
        if self.operator():
            raise self.fail(f"nothing stands before {self.operator()}: use field{self.operator()}value")
        quoted = self.text[self.at] == '"'
        word = self.quoted() if quoted else self.word()
        after = self.at
        self.skip()
        operator = self.operator()
        if operator and (quoted or _FIELD.fullmatch(word)):
            self.at += len(operator)
            return self.condition(word, operator, negated, start, quoted)
        self.at = after
        if not quoted:
            word += self.rest()
            field, colon, value = word.partition(":")
            if colon and value and (field in FIELDS or field in ALIASES):
                raise self.fail(f"{word}: use {field}={value}", start)
        if not word:
            raise self.fail("an empty text is everywhere: write what to look for", start)
        return Term("", "~", _clean(word), negated, attribute=False)

    def operator(self) -> str:
        return next((sign for sign in _OPERATORS if self.text.startswith(sign, self.at)), "")

    def word(self) -> str:
        start = self.at
        while self.at < len(self.text) and not self.text[self.at].isspace() and not self.operator():
            self.at += 1
        return self.text[start : self.at]

    def rest(self) -> str:
        start = self.at
        while self.at < len(self.text) and not self.text[self.at].isspace():
            self.at += 1
        return self.text[start : self.at]

    def quoted(self) -> str:
        start = self.at
        self.at += 1
        found: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == '"':
                return "".join(found)
            if char == "\\" and self.at < len(self.text):
                char = self.text[self.at]
                self.at += 1
            found.append(char)
        raise self.fail('a " that is not closed', start)

    def condition(self, word: str, operator: str, negated: bool, start: int, quoted: bool) -> Term:
        field, attribute = (word, True) if quoted else self.field(word, start)
        if not self.skip():
            raise self.fail(f"a value must follow {word}{operator}")
        at = self.at
        value = self.quoted() if self.text[at] == '"' else self.rest()
        if operator.startswith("!"):
            negated, operator = not negated, operator[1:]
        operator = "=" if operator == "==" else operator
        if attribute:
            return self.on_texts(field, operator, value, negated, at, attribute=True)
        if field in _DURATIONS:
            return self.on_duration(field, operator, value, negated, at)
        if field == START:
            return self.on_start(operator, value, negated, at)
        if field in _COUNTS:
            return self.on_number(field, operator, value, negated, at)
        if field in ("kind", "status"):
            return self.on_choice(field, operator, value, negated, at)
        if operator in NUMERIC:
            raise self.fail(f"{field} is a text: use {field}=, {field}!= or {field}~", start)
        return self.on_texts(field, operator, value, negated, at, attribute=False)

    def field(self, word: str, start: int) -> tuple[str, bool]:
        if word.startswith("."):
            return word[1:], True
        field = ALIASES.get(word, word)
        if field in FIELDS:
            return field, False
        if word.startswith("trace.") or ("." not in word and word not in ALIASES):
            meant = get_close_matches(word, [*FIELDS, *ALIASES], n=1, cutoff=0.75)
            if meant:
                raise self.fail(f"no field {word}: did you mean {meant[0]}? An attribute is written .{word}", start)
        return field, True

    def on_texts(self, field: str, operator: str, value: str, negated: bool, at: int, *, attribute: bool) -> Term:
        number = None
        if operator in NUMERIC:
            number = to_number(value)
            if number is None:
                raise self.fail(f"{value!r} is not a number: use one, as in {field}{operator}500", at)
        elif operator == "~" and not ("*" in value or "?" in value):
            value = f"*{value}*"
        return Term(field, operator, _clean(value), negated, attribute, number)

    def on_duration(self, field: str, operator: str, value: str, negated: bool, at: int) -> Term:
        if operator == "=" and WITHIN in value:
            return self.within(field, value, negated, at, lambda text: self.duration(field, operator, text, at))
        if operator not in NUMERIC:
            raise self.fail(
                f"{field} takes >, >=, < and <=, and a range as {field}=1s..2s, not {operator}", at - len(operator)
            )
        number = self.duration(field, operator, value, at)
        return Term(field, operator, value, negated, attribute=False, number=number)

    def duration(self, field: str, operator: str, value: str, at: int) -> float:
        found = _DURATION.fullmatch(value)
        if found is None or found[2] not in _UNITS:
            what = "has no unit" if found is not None and not found[2] else "is not a duration"
            example = f"{field}=100ms..500ms" if operator == "=" else f"{field}{operator}500ms"
            raise self.fail(f"{value!r} {what}: use ns, us, ms, s, m or h, as in {example}", at)
        return float(found[1]) * _UNITS[found[2]]

    def on_start(self, operator: str, value: str, negated: bool, at: int) -> Term:
        def instant(text: str) -> int:
            try:
                return instant_ns(text)
            except RangeError as error:
                raise self.fail(str(error), at) from None

        if operator == "=" and WITHIN in value:
            return self.within(START, value, negated, at, instant)
        if operator not in NUMERIC:
            raise self.fail(
                f"{START} takes >, >=, < and <=, and a range as {START}=12:00..12:05, not {operator}",
                at - len(operator),
            )
        return Term(START, operator, value, negated, attribute=False, number=instant(value))

    def within(self, field: str, value: str, negated: bool, at: int, read: Callable[[str], float]) -> Term:
        start, _, end = value.partition(WITHIN)
        low, high = read(start) if start else float("-inf"), read(end) if end else float("inf")
        if low >= high:
            raise self.fail(f"{value}: the range ends where it begins, or before", at)
        return Term(field, WITHIN, value, negated, attribute=False, number=low, below=high)

    def on_number(self, field: str, operator: str, value: str, negated: bool, at: int) -> Term:
        number = to_number(value)
        if number is None or operator == "~":
            raise self.fail(f"{field} is compared with a number, as in {field}>10", at)
        return Term(field, operator, value, negated, attribute=False, number=number)

    def on_choice(self, field: str, operator: str, value: str, negated: bool, at: int) -> Term:
        choices = _KINDS if field == "kind" else _STATUSES
        if operator != "=":
            raise self.fail(f"{field} takes = and !=, not {operator}", at - len(operator))
        if value.lower() not in choices:
            if field == "status" and to_number(value) is not None:
                raise self.fail(f"status is ok or error: use code={value} for HTTP's", at)
            raise self.fail(f"no {field} {value!r}: use {', '.join(choices)}", at)
        return Term(field, operator, value.lower(), negated, attribute=False)


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd")
