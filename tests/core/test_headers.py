"""traceparent and grpc-trace-bin: what is read, what is refused, and that both implementations agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"

VALID = {
    "sampled": (f"00-{TRACE}-{SPAN}-01", 0x01),
    "not sampled": (f"00-{TRACE}-{SPAN}-00", 0x00),
    "random": (f"00-{TRACE}-{SPAN}-03", 0x03),
    "reserved bits are not kept": (f"00-{TRACE}-{SPAN}-ff", 0x03),
    "blanks around": (f" \t00-{TRACE}-{SPAN}-01\t ", 0x01),
    "higher version": (f"01-{TRACE}-{SPAN}-01", 0x01),
    "highest version": (f"fe-{TRACE}-{SPAN}-01", 0x01),
    "higher version with a suffix": (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", 0x01),
    "higher version with a bare dash": (f"cc-{TRACE}-{SPAN}-01-", 0x01),
}

MALFORMED = {
    "empty": "",
    "blank": "   ",
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "version 00 with a suffix": f"00-{TRACE}-{SPAN}-01-extra",
    "version 00 with a dash": f"00-{TRACE}-{SPAN}-01-",
    "version 00 with a dot": f"00-{TRACE}-{SPAN}-01.",
    "higher version, suffix without a dash": f"cc-{TRACE}-{SPAN}-01.what",
    "upper-case trace id": f"00-{TRACE.upper()}-{SPAN}-01",
    "upper-case flags": f"00-{TRACE}-{SPAN}-0A",
    "upper-case version": f"0A-{TRACE}-{SPAN}-01",
    "zero trace id": f"00-{'0' * 32}-{SPAN}-01",
    "zero span id": f"00-{TRACE}-{'0' * 16}-01",
    "short trace id": f"00-{TRACE[:-1]}-{SPAN}-01",
    "long trace id": f"00-{TRACE}0-{SPAN}-01",
    "short span id": f"00-{TRACE}-{SPAN[:-1]}-01",
    "one digit of flags": f"00-{TRACE}-{SPAN}-1",
    "no flags": f"00-{TRACE}-{SPAN}",
    "not hex": f"00-{TRACE[:-1]}g-{SPAN}-01",
    "underscore": f"00-{TRACE[:-2]}_6-{SPAN}-01",
    "plus": f"00-+{TRACE[1:]}-{SPAN}-01",
    "inner blank": f"00- {TRACE[1:]}-{SPAN}-01",
    "0x": f"00-0x{TRACE[2:]}-{SPAN}-01",
    "arabic digits": f"00-{TRACE[:-1]}\u0663-{SPAN}-01",
    "full-width digits": f"00-{TRACE[:-1]}\uff11-{SPAN}-01",
    "no-break space": f"\u00a000-{TRACE}-{SPAN}-01",
    "line feed after": f"00-{TRACE}-{SPAN}-01\n",
    "null after": f"00-{TRACE}-{SPAN}-01\0",
    "wrong delimiters": f"00_{TRACE}_{SPAN}_01",
    "two headers joined": f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
}


@pytest.mark.parametrize("case", VALID)
def test_valid_traceparent_is_read(core: Any, case: str) -> None:
    header, flags = VALID[case]
    for value in (header, header.encode()):
        context = core.headers.parse_traceparent(value).span_context
        assert (context.trace_id_hex, context.span_id_hex) == (TRACE, SPAN)
        assert context.trace_flags == flags
        assert context.is_remote


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_traceparent_is_refused(core: Any, case: str) -> None:
    header = MALFORMED[case]
    assert core.headers.parse_traceparent(header) is None
    assert core.headers.parse_traceparent(header.encode()) is None


@pytest.mark.parametrize("value", [None, 7, 1.5, [], ["x"], {}, bytearray(b"00"), object()])
def test_what_is_neither_text_nor_bytes_is_refused(core: Any, value: object) -> None:
    assert core.headers.parse_traceparent(value) is None


def test_tracestate_goes_along_unread(core: Any) -> None:
    context = core.headers.parse_traceparent(VALID["sampled"][0], "congo=t61rcWkgMzE,rojo=1")
    assert context.span_context.trace_state.to_header() == "congo=t61rcWkgMzE,rojo=1"


@given(trace_id=st.integers(1, 2**128 - 1), span_id=st.integers(1, 2**64 - 1), flags=st.integers(0, 3))
def test_both_formats_round_trip(core: Any, trace_id: int, span_id: int, flags: int) -> None:
    context = core.context.SpanContext(trace_id, span_id, False, flags)
    text = core.headers.format_traceparent(context)
    assert text == f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"
    back = core.headers.parse_traceparent(text).span_context
    assert (back.trace_id, back.span_id, back.trace_flags) == (trace_id, span_id, flags)
    data = core.headers.encode_binary(context)
    assert data == b"\0\0" + trace_id.to_bytes(16, "big") + b"\1" + span_id.to_bytes(8, "big") + b"\2" + bytes(
        [flags & 1]
    )
    assert len(data) == 29
    back = core.headers.decode_binary(data)
    assert (back.trace_id, back.span_id, back.is_remote) == (trace_id, span_id, True)


@pytest.mark.parametrize(("trace_id", "span_id"), [(0, 1), (1, 0), (0, 0)])
def test_an_invalid_context_writes_nothing(core: Any, trace_id: int, span_id: int) -> None:
    context = core.context.SpanContext(trace_id, span_id)
    assert core.headers.format_traceparent(context) == ""
    assert core.headers.encode_binary(context) == b""


def test_spans_and_contexts_are_formatted_as_their_span_context(traced: Any) -> None:
    headers = traced.core.headers
    with traced.tracer.start_as_current_span("operation") as span:
        expected = f"00-{span.trace_id_hex}-{span.span_id_hex}-03"
        for form in (span, span.get_span_context(), traced.core.context.Context(span)):
            assert headers.format_traceparent(form) == expected
            assert headers.encode_binary(form) == headers.encode_binary(span.get_span_context())


TRACE_FIELD = b"\0" + bytes.fromhex(TRACE)
SPAN_FIELD = b"\1" + bytes.fromhex(SPAN)
OPTIONS_FIELD = b"\2\1"

BINARY = {
    "in order": (b"\0" + TRACE_FIELD + SPAN_FIELD + OPTIONS_FIELD, 1),
    "without options": (b"\0" + TRACE_FIELD + SPAN_FIELD, 0),
    "in another order": (b"\0" + SPAN_FIELD + OPTIONS_FIELD + TRACE_FIELD, 1),
    "unknown field ends the reading": (b"\0" + TRACE_FIELD + SPAN_FIELD + b"\7\1\2\3", 0),
    "wrong version": (b"\1" + TRACE_FIELD + SPAN_FIELD + OPTIONS_FIELD, None),
    "empty": (b"", None),
    "version only": (b"\0", None),
    "no span id": (b"\0" + TRACE_FIELD + OPTIONS_FIELD, None),
    "no trace id": (b"\0" + SPAN_FIELD + OPTIONS_FIELD, None),
    "zero trace id": (b"\0\0" + bytes(16) + SPAN_FIELD, None),
    "zero span id": (b"\0" + TRACE_FIELD + b"\1" + bytes(8), None),
    "unknown field before the ids": (b"\0\7" + TRACE_FIELD + SPAN_FIELD, None),
}


@pytest.mark.parametrize("case", BINARY)
def test_binary_header(core: Any, case: str) -> None:
    data, flags = BINARY[case]
    for form in (data, bytearray(data), memoryview(data)):
        context = core.headers.decode_binary(form)
        if flags is None:
            assert context is None
        else:
            assert (context.trace_id_hex, context.span_id_hex) == (TRACE, SPAN)
            assert context.trace_flags & 1 == flags


def test_a_cut_binary_header_is_refused(core: Any) -> None:
    whole = BINARY["in order"][0]
    for length in range(len(whole)):
        context = core.headers.decode_binary(whole[:length])
        # A header without the options is whole; with their id but not their byte it is cut.
        assert (context is not None) == (length == 27), length


@pytest.mark.parametrize("value", [None, "text", 7, object(), [0, 0]])
def test_binary_takes_bytes_only(core: Any, value: object) -> None:
    assert core.headers.decode_binary(value) is None


HEADER_LIKE = st.one_of(
    st.text(max_size=80),
    st.from_regex(
        r"[ \t]?[0-9a-fA-F]{2}-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{2}(-.{0,5})?[ \t\n]?", fullmatch=True
    ),
    st.builds(
        lambda at, char: VALID["sampled"][0][:at] + char + VALID["sampled"][0][at + 1 :],
        st.integers(0, 54),
        st.characters(codec="utf-8"),
    ),
)


@given(text=HEADER_LIKE)
def test_twins_read_the_same_text_headers(both: Any, text: str) -> None:
    for value in (text, text.encode("utf-8", "surrogatepass")):
        found = [core.headers.parse_traceparent(value) for core in both]
        seen = [None if context is None else _fields(context.span_context) for context in found]
        assert seen[0] == seen[1]


@given(
    data=st.one_of(st.binary(max_size=60), st.binary(max_size=30).map(lambda tail: BINARY["in order"][0][:-2] + tail))
)
def test_twins_read_the_same_binary_headers(both: Any, data: bytes) -> None:
    found = [core.headers.decode_binary(data) for core in both]
    seen = [None if context is None else _fields(context) for context in found]
    assert seen[0] == seen[1]


def _fields(context: Any) -> tuple[Any, ...]:
    return context.trace_id, context.span_id, context.trace_flags, context.is_remote


B3_LIKE = st.one_of(
    st.text(max_size=70),
    st.from_regex(
        r"[ \t]?([0-9a-f]{15,17}|[0-9a-f]{31,33})-[0-9a-fA-F]{15,17}(-[01d2]?)?(-[0-9a-f]{15,17})?[ \n]?",
        fullmatch=True,
    ),
    st.sampled_from(["0", "1", "d", "2", "-", ""]),
    st.builds(
        lambda at, char: f"{TRACE}-{SPAN}-1-{SPAN}"[:at] + char + f"{TRACE}-{SPAN}-1-{SPAN}"[at + 1 :],
        st.integers(0, 68),
        st.characters(codec="utf-8"),
    ),
)


@given(text=B3_LIKE)
def test_twins_read_and_write_the_same_b3(both: Any, text: str) -> None:
    for value in (text, text.encode("utf-8", "surrogatepass")):
        seen = []
        for core in both:
            base = core.context.Context(None, {"a": "b"})
            context = core.headers.parse_b3(value, base)
            if context is None:
                seen.append(None)
                continue
            assert context.baggage == {"a": "b"}
            ids = context.span_context and _fields(context.span_context)
            seen.append((ids, context.sampled, context.values, core.headers.format_b3(context)))
        assert seen[0] == seen[1]


@pytest.mark.parametrize("value", [None, 7, [], object(), bytearray(b"0")])
def test_b3_takes_text_and_bytes_only(core: Any, value: object) -> None:
    assert core.headers.parse_b3(value) is None
    assert core.headers.format_b3(value) == ""


@given(
    trace_id=st.integers(0, 2**128 - 1),
    span_id=st.integers(0, 2**64 - 1),
    sampled=st.sampled_from([True, False, None, ...]),
    debug=st.booleans(),
)
def test_b3_round_trips_every_state(core: Any, trace_id: int, span_id: int, sampled: Any, debug: bool) -> None:
    ids = core.context.SpanContext(trace_id, span_id, True, 1)
    context = core.context.Context(ids, None, {"debug": True} if debug else None, sampled)
    text = core.headers.format_b3(context)
    back = core.headers.parse_b3(text)
    if not text:
        assert not ids.is_valid
        assert sampled in (None, ...)
        return
    assert (back.span_context is None) == (not ids.is_valid)
    assert back.sampled == (True if debug else context.sampled)
    assert bool(back.values) == debug


def test_a_remote_decision_reaches_the_sampler(core: Any) -> None:
    from traced import Traced

    never = 2**56
    thresholds = (never, 0, never, 0, never)  # a root is left out, a sampled parent followed
    for header, recorded in (
        ("1", True),
        ("0", False),
        ("d", True),
        (f"{TRACE}-{SPAN}", False),
        (f"{TRACE}-{SPAN}-1", True),
    ):
        traced = Traced(core, thresholds=thresholds)
        context = core.headers.parse_b3(header)
        with traced.tracer.start_as_current_span("operation", context) as span:
            assert span.is_recording() == recorded, header
            if header == "d":
                assert core.headers.format_b3(span).endswith("-d"), "debug is handed on"
    traced = Traced(core, thresholds=(0, 0, never, 0, never))  # a root is kept: so is what was left to us
    with traced.tracer.start_as_current_span("operation", core.headers.parse_b3(f"{TRACE}-{SPAN}")) as span:
        assert span.is_recording()
        assert span.trace_id_hex == TRACE


def test_a_tracer_without_a_recorder_forwards_decision_debug_and_baggage(core: Any) -> None:
    tracer = core.span.Tracer(__import__("fasttrace").InstrumentationScope("library"))
    for header in ("0", "d", f"{TRACE}-{SPAN}", f"{TRACE}-{SPAN}-d"):
        context = core.headers.parse_b3(header, core.context.Context(None, {"a": "b"}))
        with tracer.start_as_current_span("operation", context):
            assert core.headers.format_b3(core.context.current_node()) == header
            assert core.context.Context(core.context.current_node()).baggage == {"a": "b"}


NAMES = st.sampled_from(
    [
        "traceparent",
        "Traceparent",
        "TRACESTATE",
        "tracestate",
        "baggage",
        "Baggage",
        "host",
        "wsgi.version",
        "x" * 11,
        7,
        None,
    ]
)
HEADER_VALUES = st.one_of(
    st.sampled_from([f"00-{TRACE}-{SPAN}-01", "broken", "a=1,b=2", "A=1", "ü"]),
    st.integers(),
    st.none(),
    st.binary(max_size=9),
)
PAIRS = st.lists(st.tuples(NAMES, HEADER_VALUES), max_size=6)


@given(pairs=PAIRS, shape=st.sampled_from(["dict", "list", "bytes", "tuple"]), with_base=st.booleans())
def test_twins_take_the_same_quick_way_and_it_leads_where_the_general_one_does(
    both: Any, pairs: list[Any], shape: str, with_base: bool
) -> None:
    from fasttrace.propagation.baggage import BaggagePropagator
    from fasttrace.propagation.tracecontext import TraceContextPropagator

    if shape == "bytes":
        pairs = [
            (n.encode(), v.encode("latin-1") if isinstance(v, str) else v) if isinstance(n, str) else (n, v)
            for n, v in pairs
        ]
    carrier: Any = {"dict": dict, "tuple": tuple}.get(shape, list)(pairs)
    seen = []
    for core in both:
        base = core.context.Context(core.context.SpanContext(1, 2, True, 1), {"a": "b"}) if with_base else None
        found = core.headers.extract_w3c(carrier, base)
        if found is None:
            seen.append(None)
            continue
        ids = found.span_context
        seen.append((ids and _fields(ids), ids and ids.trace_state.to_header(), found.baggage))
        if core.name == "cython":  # the one that the propagators of this process use
            general: Any = base
            for propagator in (TraceContextPropagator(), BaggagePropagator()):
                general = propagator.extract(carrier, general)
            general = core.context.Context(general)
            assert general.span_context == found.span_context
            assert general.baggage == found.baggage
        written: dict[str, str] = {}
        assert core.headers.inject_w3c(written, found) == (not found.baggage)
        seen.append(written)
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


PAIR = ("traceparent", f"00-{TRACE}-{SPAN}-01")


@pytest.mark.parametrize("other", [None, "name", ("name",), ("name", "value", 1), ["name", "value"], (7, "value")])
@pytest.mark.parametrize("first", [True, False])
def test_a_list_of_anything_but_pairs_is_left_to_the_general_way(core: Any, other: object, first: bool) -> None:
    assert core.headers.extract_w3c([PAIR, ("name", "value")]) is not None
    assert core.headers.extract_w3c([other, PAIR] if first else [PAIR, other]) is None


@pytest.mark.parametrize("name", ["Traceparent", b"TRACEPARENT", "traceparent ", "trace\u00adparent", "x-traceparen"])
def test_names_match_whatever_their_case_and_nothing_else(core: Any, name: str | bytes) -> None:
    found = core.headers.extract_w3c({name: PAIR[1]})
    assert (found.span_context is not None) == (len(name) == 11)


def test_baggage_and_environs_are_left_to_the_general_way(core: Any) -> None:
    for name in ("BAGGAGE", b"Baggage", "baggage", "wsgi.version", b"wsgi.version"):
        assert core.headers.extract_w3c({name: "a=b"}) is None, name
    assert core.headers.extract_w3c({"WSGI.version": "a=b"}) is not None  # a header, whatever it says


@pytest.mark.parametrize("state", ["a=1,b=2", b"a=1,b=2"])
def test_the_quick_way_carries_the_tracestate_on(core: Any, state: str | bytes) -> None:
    found = core.headers.extract_w3c({"traceparent": PAIR[1], "tracestate": state})
    assert found.span_context.trace_state.to_header() == "a=1,b=2"
    written: dict[str, str] = {}
    assert core.headers.inject_w3c(written, found)
    assert written == {"traceparent": PAIR[1], "tracestate": "a=1,b=2"}


def test_the_quick_way_writes_into_plain_dicts_only_and_nothing_without_a_context(core: Any) -> None:
    pairs: list[Any] = []
    assert not core.headers.inject_w3c(pairs, core.context.SpanContext(1, 2))
    assert pairs == []
    written: dict[str, str] = {}
    assert core.headers.inject_w3c(written)
    assert written == {}


def test_a_binary_header_in_pieces_is_none(core: Any) -> None:
    whole = core.headers.encode_binary(core.context.SpanContext(1, 2, trace_flags=1))
    assert core.headers.decode_binary(memoryview(whole)).span_id == 2
    spread = bytes(byte for number in whole for byte in (number, 0))
    assert core.headers.decode_binary(memoryview(spread)[::2]) is None
