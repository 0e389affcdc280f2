"""The search language: what it reads, what it refuses, and that SQL and predicate agree."""

from __future__ import annotations

import string
import tempfile
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import sample_traces as traces
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_traces import BASE_NS, event, span
from spools import put

from fasttrace._core.types import SpanData, SpanKind
from fasttrace.local.index import Index
from fasttrace.local.search import SearchError, hint, parse, time_asked


def names(spans: list[SpanData], query: str) -> list[str]:
    return [data.name for data in spans if parse(query).matches(data)]


SPANS = [
    span(1, 0, 0, 900, "GET /orders", "shop", SpanKind.SERVER, http__route="/orders/{id}", http__response__status_code=200),
    span(2, 1, 5, 20, "charge", "payments", SpanKind.CLIENT, error="card declined", amount=12.5, test=True),
    span(3, 1, 30, 31, 'say "hi"', "shop", events=[event(30, "exception", exception__type="KeyError")], size="500"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [0, 1, 2]),
        ("service=shop", [0, 2]),
        ("service!=shop", [1]),
        ("-service=shop", [1]),
        ("-service!=shop", [0, 2]),
        ("service = shop", [0, 2]),
        ("service~sho", [0, 2]),
        ("service~s*p", [0, 2]),
        ("service~ho*", []),
        ("name~?harge", [1]),
        ("dur>500ms", [0]),
        ("dur<=15ms dur>=15ms", [1]),
        ("dur<0.016s", [1, 2]),
        ("dur=15ms..900ms", [1]),
        ("-dur=15ms..900ms", [0, 2]),
        ("dur=..15ms", [2]),
        ("dur=15ms..", [0, 1]),
        ("status=error", [1]),
        ("status=ok kind=server", [0]),
        ('http.route~"/orders*"', [0]),
        ("route=/orders/{id} code=200", [0]),
        ("code>=200 code<300", [0]),
        ("amount=12.5", [1]),
        ("amount=12.50", [1]),
        ("amount>12", [1]),
        ("size>=500", [2]),
        ("test=true", [1]),
        (".service=shop", []),
        ("service.name=shop", [0, 2]),
        ("exception.type=KeyError", [2]),
        ('"card declined"', [1]),
        ("CARD", [1]),
        ("-card -keyerror", [0]),
        (r'name="say \"hi\""', [2]),
        ("nowhere=1", []),
        ("nowhere!=1", [0, 1, 2]),
        ('"amount">5', [1]),
    ],
)
def test_terms_hold_for_the_spans_that_they_name(query: str, found: list[int]) -> None:
    assert names(SPANS, query) == [SPANS[place].name for place in found]


@pytest.mark.parametrize(
    ("query", "position", "said"),
    [
        ("dur>500", 4, "'500' has no unit: use ns, us, ms, s, m or h, as in dur>500ms"),
        ("dur>soon", 4, "'soon' is not a duration"),
        ("dur=5ms", 3, "dur takes >, >=, < and <=, and a range as dur=1s..2s, not ="),
        ("dur=5..9ms", 4, "'5' has no unit: use ns, us, ms, s, m or h, as in dur=100ms..500ms"),
        ("dur=9ms..9ms", 4, "9ms..9ms: the range ends where it begins, or before"),
        ("trace.start>noon", 12, "'noon' is not a time: use 10m (ago), 12:03"),
        ("trace.start=12:03", 11, "and a range as trace.start=12:00..12:05, not ="),
        ("a=1 servce=shop", 4, "no field servce: did you mean service? An attribute is written .servce"),
        ("trace.duraton>1s", 0, "no field trace.duraton: did you mean trace.duration?"),
        ("status=503", 7, "status is ok or error: use code=503 for HTTP's"),
        ("kind=serve", 5, "no kind 'serve': use internal, server, client, producer, consumer"),
        ("service>5", 0, "service is a text: use service=, service!= or service~"),
        ("service:shop", 0, "service:shop: use service=shop"),
        ("size>big", 5, "'big' is not a number: use one, as in size>500"),
        ("trace.spans~5", 12, "trace.spans is compared with a number"),
        ('ok "open', 3, 'a " that is not closed'),
        ("service=", 8, "a value must follow service="),
        ("=5", 0, "nothing stands before =: use field=value"),
        ("a -", 2, "nothing follows the minus"),
        ('""', 0, "an empty text is everywhere"),
        ("x" * 3000, 2000, "a search of 3,000 characters: use 2,000 at most"),
    ],
)
def test_what_can_t_be_read_is_pointed_at_and_what_is_accepted_is_said(query: str, position: int, said: str) -> None:
    with pytest.raises(SearchError) as caught:
        parse(query)
    assert said in str(caught.value)
    assert caught.value.position == position
    assert f"(at character {position + 1} of the search)" in str(caught.value)


@given(st.text(string.printable + "µé\0\U0010ffff", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(SearchError):
        query = parse(text)
        for data in SPANS:
            query.matches(data)


# More of them while something is being changed.
EXAMPLES = 10
KEYS = ("a", "b.c", "size", "http.route", "event")
TEXTS = st.one_of(
    st.sampled_from(["", "x", "xy", "X", "y*", "[x]", "5", "5.0", "50", "-3", "1e3", "%", "_", "\\", "ä", "Ä", "\ud7ff", "\U0010ffff", "x\0y"]),
    st.text("xXy5.*?[]%_\\ä\ud7ff\0", max_size=6),
)  # fmt: skip
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(-60, 60), st.floats(-9, 9), st.just([1, "x"]), st.just(b"x"))


@st.composite
def any_spans(draw: st.DrawFn) -> list[SpanData]:
    found = []
    for number in range(draw(st.integers(1, 12))):
        data = span(
            number // 2 + 1,  # two spans may share an id
            draw(st.integers(0, 3)),
            start := 10 * number + draw(st.integers(0, 9)),
            start + draw(st.integers(-1, 30)),
            draw(st.sampled_from(["GET /", "xy", "Ä", "x\0y"])),
            draw(st.sampled_from(["web", "shop", "xy"])),
            draw(st.sampled_from(list(SpanKind))),
            draw(st.sampled_from([None, None, "xy", ""])),
            trace_id=f"{draw(st.integers(1, 4)):032x}",
        )
        data.attributes = draw(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
        data.resource |= draw(st.dictionaries(st.sampled_from(("a", "host")), VALUES, max_size=1))
        data.events = [event(1, name) for name in draw(st.lists(st.sampled_from(["xy", "retry"]), max_size=2))]
        found.append(data)
    return found


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def any_term(draw: st.DrawFn) -> str:
    minus = draw(st.sampled_from(["", "", "-"]))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        sign = draw(st.sampled_from(["=", "!=", "~", "!~"]))
        return f"{minus}{draw(st.sampled_from(['service', 'name']))}{sign}{quoted(draw(TEXTS))}"
    if kind == 1:
        low = draw(st.integers(0, 30))
        if draw(st.booleans()):
            return f"{minus}dur={low}ms..{low + draw(st.integers(1, 9))}ms"
        return f"{minus}dur{draw(st.sampled_from(['>', '>=', '<', '<=']))}{low}ms"
    if kind == 2:
        return minus + draw(st.sampled_from(["status=error", "status=ok", "kind=server", "kind!=client"]))
    if kind == 3:
        return f"{minus}{quoted(draw(TEXTS.filter(bool)))}"
    key = quoted(draw(st.sampled_from((*KEYS, "host", "none"))))
    if kind == 4:
        return f"{minus}{key}{draw(st.sampled_from(['>', '>=', '<', '<=']))}{draw(st.integers(-60, 60))}"
    return f"{minus}{key}{draw(st.sampled_from(['=', '!=', '~', '!~']))}{quoted(draw(TEXTS))}"


@pytest.mark.parametrize("spread", [True, False], ids=["postings", "shapes"])
@pytest.mark.parametrize("bits", [0, 12], ids=["parts", "one part"])
@settings(deadline=None, max_examples=EXAMPLES)
@given(spans=any_spans(), queries=st.lists(st.lists(any_term(), min_size=1, max_size=3), min_size=8, max_size=16))
def test_index_and_predicate_agree(spread: bool, bits: int, spans: list[SpanData], queries: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        for module in ("batch", "derive", "retention", "sql"):
            patch.setattr(f"fasttrace.local.index.{module}.PART_BITS", bits)
        patch.setattr("fasttrace.local.index.intern.MAX_VALUES", 1 if spread else 64)
        put(directory, spans)
        with Index(directory) as index:
            index.refresh()
            for terms in queries:
                query = parse(" ".join(terms))
                wanted = {data.trace_id for data in spans if query.matches(data)}
                assert {row.trace_id for row in index.page(query)[0]} == wanted, query.terms


def test_terms_on_the_whole_trace(tmp_path: object) -> None:
    put(tmp_path, traces.checkout())
    with Index(str(tmp_path)) as index:
        index.refresh()
        began = datetime.fromtimestamp(BASE_NS // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for query in ("trace.dur>2s", "trace.dur=2s..3s", f"trace.start={began}Z..{began}.9Z", f"trace.start>={began}Z",
                      "age=1s..9000000h", "trace.spans>20", "trace.errors>=1", 'trace.name="POST /checkout"',
                      "trace.service=gateway"):  # fmt: skip
            assert len(index.page(parse(query))[0]) == 1, query
            assert index.page(parse(f"-{query}"))[0] == [], query


def test_limits_beyond_any_time_and_any_count_are_limits_like_others(tmp_path: object) -> None:
    put(tmp_path, traces.checkout())
    with Index(str(tmp_path)) as index:
        index.refresh()
        for query in ("age<999999999999999999h", "age=1s..999999999999999999h", "trace.dur<999999999999999999h",
                      "trace.start>999999999d", "trace.start=999999999d..", "dur=1ns..999999999999999999h"):  # fmt: skip
            assert len(index.page(parse(query))[0]) == 1, query


def test_spans_that_share_an_id_are_told_apart(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fasttrace.local.index.intern.MAX_VALUES", 0)
    put(tmp_path, [span(1, 0, 0, 10, "call", user="anna"), span(1, 0, 2, 8, "serve", user="bert")])
    with Index(str(tmp_path)) as index:
        index.refresh()
        for query, found in (
            ("name=call user=anna", 1),
            ("name=call user=bert", 0),
            ("name=serve user~bert", 1),
            ("name=serve user~anna", 0),
        ):
            assert len(index.page(parse(query))[0]) == found, query


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("http.rout=/x", "no span has an attribute http.rout: did you mean http.route?"),
        ('"order id"=5 service=shop', "no span has an attribute order id: did you mean order.id?"),
        ("zebra>5", "no span has an attribute zebra"),
        ("http.route=/none -zebra=5 word dur>1s", ""),
        ("", ""),
    ],
)
def test_an_attribute_that_no_span_has_is_named(query: str, said: str) -> None:
    assert hint(parse(query), {"http.route", "order.id", "url.full"}) == said


SECOND = 10**9


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("service=shop", None),
        ("-age<10s", None),
        ("age<10s", (90, 100)),
        ("age<=60s age>10s service=shop", (40, 90)),
        ("age=10s..60s", (40, 90)),
        ("age=..10s", (90, 100)),
        ("age=60s..", (0, 40)),
        ("trace.start=1970-01-01T00:00:20Z..1970-01-01T00:00:50Z", (20, 50)),
        ("trace.start>1970-01-01T00:00:20Z age<30s", (70, 100)),
        ("trace.start<1970-01-01T00:00:20Z", (0, 20)),
    ],
)
def test_the_time_that_a_search_is_limited_to(query: str, asked: tuple[int, int] | None) -> None:
    found = time_asked(parse(query), 100 * SECOND)
    assert found == (asked and (asked[0] * SECOND, asked[1] * SECOND))
