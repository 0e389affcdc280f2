"""Other people's formats: what the official packages read of ours, what we read of theirs, and the way back."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
import sample_traces as traces
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from sample_traces import event, span
from spools import otlp

from fasttrace._core.types import InstrumentationScope, SpanData, SpanKind, SpanLink, Status, StatusCode
from fasttrace.export.otlp_json import to_otlp_json
from fasttrace.local import exchange
from fasttrace.local.exchange.encode import encode_request

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.one_of(
    TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=5)
)
VALUES = st.one_of(
    SCALARS,
    st.none(),
    st.lists(SCALARS, max_size=3),
    st.dictionaries(TEXT, st.lists(SCALARS, max_size=2), max_size=2),
)


@st.composite
def any_traces(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> list[SpanData]:
    attributes = st.dictionaries(TEXT, values, max_size=3)
    found = []
    for number in range(draw(st.integers(1, 6))):
        data = span(
            number + 1, draw(st.integers(0, 3)), draw(st.integers(0, 99)) + 0.001, draw(st.integers(100, 200)),
            draw(TEXT), draw(st.sampled_from(["shop", "db"])), draw(st.sampled_from(list(SpanKind))),
            draw(st.sampled_from([None, "", "failed"])), trace_id=f"{draw(st.integers(1, 3)):032x}",
        )  # fmt: skip
        data.attributes = draw(attributes)
        data.resource |= draw(attributes)
        data.scope = InstrumentationScope(draw(TEXT), draw(TEXT), draw(TEXT), draw(attributes))
        data.events = [event(draw(st.integers(0, 99)), draw(TEXT)) for _ in range(draw(st.integers(0, 2)))]
        for one in data.events:
            one.attributes = draw(attributes)
        data.links = [
            SpanLink("ab" * 16, "cd" * 8, draw(attributes), "a=b", 1, 2) for _ in range(draw(st.integers(0, 1)))
        ]
        data.flags, data.trace_state = draw(st.integers(0, 2**32 - 1)), draw(TEXT)
        data.dropped_events_count = draw(st.integers(0, 9))
        found.append(data)
    return found


def written(name: str, *parts: list[SpanData]) -> bytes:
    return b"".join(exchange.write(name, parts))


def read(data: bytes, name: str | None = None) -> list[SpanData]:
    return [one for part in exchange.read(io.BytesIO(data), name) for one in part]


def plain(spans: list[SpanData]) -> list[Any]:
    """All that a span says, in an order that grouping does not change."""
    return sorted((to_otlp_json([one]) for one in spans), key=repr)


@settings(deadline=None, max_examples=40)
@given(any_traces())
def test_protobuf_is_what_the_official_package_reads(spans: list[SpanData]) -> None:
    message = TracesData.FromString(encode_request(spans))
    assert MessageToDict(message) == MessageToDict(TracesData.FromString(otlp(spans)))


@settings(deadline=None, max_examples=40)
@given(any_traces(), any_traces())
@pytest.mark.parametrize("name", ["otlp", "otlp-json"])
def test_otlp_comes_back_whole(name: str, some: list[SpanData], others: list[SpanData]) -> None:
    assert plain(read(written(name, some, others))) == plain(some + others)


JAEGER_VALUES = st.one_of(
    TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=5)
)


def in_microseconds(spans: list[SpanData]) -> list[SpanData]:
    for one in spans:
        one.start_time_ns, one.end_time_ns = one.start_time_ns // 1000 * 1000, one.end_time_ns // 1000 * 1000
        for happened in one.events:
            happened.time_ns = happened.time_ns // 1000 * 1000
    return spans


@settings(deadline=None, max_examples=40)
@given(any_traces(JAEGER_VALUES))
def test_jaeger_comes_back_but_for_what_it_has_no_place_for(spans: list[SpanData]) -> None:
    found = read(written("jaeger", spans))
    for one in in_microseconds(spans):
        one.scope.schema_url, one.scope.attributes = "", {}
        one.flags = one.dropped_events_count = 0
        one.links = [SpanLink(link.trace_id, link.span_id, {}) for link in one.links]
        if not one.scope.name:
            one.scope.name = ""
    assert plain(found) == plain(spans)


@settings(deadline=None, max_examples=40)
@given(any_traces(TEXT))
def test_zipkin_comes_back_but_for_what_it_has_no_place_for(spans: list[SpanData]) -> None:
    found = read(written("zipkin", spans))
    assert len(found) == len(spans)
    for one, back in zip(
        sorted(in_microseconds(spans), key=lambda s: s.span_id), sorted(found, key=lambda s: s.span_id), strict=True
    ):
        assert (back.trace_id, back.span_id, back.parent_span_id) == (one.trace_id, one.span_id, one.parent_span_id)
        assert (back.name, back.kind, back.start_time_ns, back.duration_ns) == (
            one.name,
            one.kind,
            one.start_time_ns,
            one.duration_ns,
        )
        assert back.status == Status(one.status.status_code, one.status.description or None)
        assert back.resource["service.name"] == one.resource["service.name"]
        assert back.scope.name == one.scope.name
        assert [(item.name, item.attributes) for item in back.events] == [
            (item.name, item.attributes) for item in one.events
        ]
        for key, value in one.attributes.items():
            if key not in one.resource:
                assert back.attributes[key] == value


# As jaegertracing's documentation and user interface have it.
JAEGER = {
    "data": [{
        "traceID": "5b8aa5a2d2c872e8321cf37308d69df2",
        "spans": [
            {"traceID": "5b8aa5a2d2c872e8321cf37308d69df2", "spanID": "051581bf3cb55c13", "flags": 1,
             "operationName": "HTTP GET /dispatch", "references": [], "startTime": 1544712660000000, "duration": 700000,
             "tags": [{"key": "span.kind", "type": "string", "value": "server"},
                      {"key": "http.status_code", "type": "int64", "value": 500},
                      {"key": "sampler.param", "type": "bool", "value": True},
                      {"key": "ratio", "type": "float64", "value": 0.5},
                      {"key": "error", "type": "bool", "value": True}],
             "logs": [{"timestamp": 1544712660000100, "fields": [
                 {"key": "event", "type": "string", "value": "Getting customer"},
                 {"key": "customer_id", "type": "int64", "value": "9007199254740993"}]}],
             "processID": "p1", "warnings": None},
            {"traceID": "5b8aa5a2d2c872e8321cf37308d69df2", "spanID": "5fb398be", "operationName": "SQL SELECT",
             "references": [{"refType": "CHILD_OF", "traceID": "5b8aa5a2d2c872e8321cf37308d69df2", "spanID": "051581bf3cb55c13"},
                            {"refType": "FOLLOWS_FROM", "traceID": "abc", "spanID": "def"}],
             "startTime": 1544712660000500, "duration": 300, "tags": [], "logs": [], "processID": "p2"},
        ],
        "processes": {"p1": {"serviceName": "frontend", "tags": [{"key": "ip", "type": "string", "value": "10.0.0.1"}]},
                      "p2": {"serviceName": "mysql", "tags": []}},
        "warnings": None,
    }],
    "total": 0, "limit": 0, "offset": 0, "errors": None,
}  # fmt: skip


def test_lists_for_jaeger_are_text_with_every_letter_as_it_is() -> None:
    one = traces.checkout()[0]
    one.attributes = {"names": ["ü", "子"]}
    (found,) = json.loads(written("jaeger", [one]))["data"][0]["spans"]
    assert found["tags"][0] == {"key": "names", "type": "string", "value": '["ü","子"]'}


def test_what_jaeger_gets_takes_the_whole_microseconds_between_start_and_end() -> None:
    """As Jaeger reckons itself: not the difference of two times that were each cut."""
    one = traces.checkout()[0]
    one.start_time_ns, one.end_time_ns = 10_000_999, 10_002_001
    (found,) = json.loads(written("jaeger", [one]))["data"][0]["spans"]
    assert (found["startTime"], found["duration"]) == (10_000, 1)


def test_jaeger_s_own_file_is_read() -> None:
    for document in (JAEGER, JAEGER["data"][0]):  # type: ignore[index]
        entry, query = read(json.dumps(document, indent=2).encode())
        assert (entry.name, entry.kind, entry.duration_ns) == ("HTTP GET /dispatch", SpanKind.SERVER, 700_000_000)
        assert entry.status.status_code == StatusCode.ERROR
        assert entry.attributes == {"http.status_code": 500, "sampler.param": True, "ratio": 0.5}
        assert entry.resource == {"service.name": "frontend", "ip": "10.0.0.1"}
        assert (entry.events[0].name, entry.events[0].attributes) == (
            "Getting customer",
            {"customer_id": 9007199254740993},
        )
        assert (query.span_id, query.parent_span_id) == ("000000005fb398be", "051581bf3cb55c13")
        assert (query.links[0].trace_id, query.links[0].span_id) == ("abc".rjust(32, "0"), "def".rjust(16, "0"))


# As zipkin2-api.yaml shows it; the server's half shares the client's id, as B3 has it.
ZIPKIN = [
    {"id": "352bff9a74ca9ad2", "traceId": "5af7183fb1d4cf5f", "parentId": "6b221d5bc9e6496c", "name": "get /api",
     "timestamp": 1556604172355737, "duration": 1431, "kind": "CLIENT",
     "localEndpoint": {"serviceName": "frontend", "ipv4": "192.168.99.1", "port": 3306},
     "remoteEndpoint": {"serviceName": "backend"}, "tags": {"http.method": "GET", "http.path": "/api"},
     "annotations": [{"timestamp": 1556604172355800, "value": "ws"}]},
    {"id": "352bff9a74ca9ad2", "traceId": "5af7183fb1d4cf5f", "parentId": "6b221d5bc9e6496c", "shared": True,
     "name": "get /api", "timestamp": 1556604172356000, "duration": 900, "kind": "SERVER",
     "localEndpoint": {"serviceName": "backend"}, "tags": {"error": "503"}},
    {"id": "aa00000000000001", "traceId": "5af7183fb1d4cf5f", "parentId": "352bff9a74ca9ad2", "name": "query"},
]  # fmt: skip


def test_zipkin_s_own_file_is_read_and_shared_ids_are_parted() -> None:
    for document in (ZIPKIN, [ZIPKIN]):
        client, server, query = read(json.dumps(document).encode())
        assert client.trace_id == "5af7183fb1d4cf5f".rjust(32, "0")
        assert (client.kind, client.duration_ns, client.start_time_ns) == (
            SpanKind.CLIENT,
            1_431_000,
            1556604172355737000,
        )
        assert client.attributes == {"http.method": "GET", "http.path": "/api", "peer.service": "backend"}
        assert client.parent_span_id == "6b221d5bc9e6496c"
        assert server.parent_span_id == client.span_id != server.span_id == query.parent_span_id
        assert server.status == Status(StatusCode.ERROR, "503")
        assert [one.name for one in client.events] == ["ws"]


@settings(deadline=None, max_examples=25)
@given(st.lists(any_traces(), min_size=1, max_size=4), st.integers(1, 400))
def test_large_message_is_read_piece_by_piece(parts: list[list[SpanData]], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fasttrace.local.exchange.otlp_protobuf._PIECE_BYTES", size)
        data = written("otlp", *parts)
        pieces = list(exchange.read(io.BytesIO(data)))
        assert plain([one for piece in pieces for one in piece]) == plain([one for part in parts for one in part])
        with pytest.raises(exchange.FormatError, match="not OTLP in protobuf"):
            read(data[:-1])


def test_collector_s_frames_and_tempo_s_batches_are_read() -> None:
    frames = b"".join(
        len(part).to_bytes(4, "big") + part for part in (otlp(traces.checkout()[:3]), otlp(traces.checkout()[3:]))
    )
    assert plain(read(frames)) == plain(traces.checkout())
    document = to_otlp_json(traces.checkout())
    assert plain(read(json.dumps({"batches": document["resourceSpans"]}).encode())) == plain(traces.checkout())
    assert plain(read(b"\xef\xbb\xbf" + json.dumps(document, indent=1).encode())) == plain(traces.checkout())


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"", None, "nothing in it"),
        (b"hello", None, "not OTLP in protobuf"),
        (b'{"a": 1, "b": 2}', None, "an object with a, b: not OTLP (resourceSpans), Jaeger (data, spans, processes)"),
        (b"[1, 2]", None, "list: not OTLP"),
        (b'{"resourceSpans": [{"scopeSpans": 5}]}', None, "not OTLP/JSON"),
        (b'{"resourceSpans": []}', "jaeger", "an object with resourceSpans: not Jaeger's JSON"),
        (b'{"data": [{"spans": [{"spanID": "1"}], "processes": {}}]}', None, "not Jaeger's JSON: KeyError: 'traceID'"),
        (b'[{"traceId": "1", "id": 5}]', None, "not Zipkin's JSON"),
        (b'{"resourceSpans": []}\n{"resourceSpans"', None, "line 2 is not JSON"),
        (b'{"resourceSpans": []}\n\n{"x": 1}\n', None, "an object with x"),
        (b"[" * 100_000, None, "not OTLP in protobuf"),
    ],
)
def test_near_miss_is_told_what_it_is_and_what_is_read(data: bytes, name: str | None, said: str) -> None:
    with pytest.raises(exchange.FormatError) as caught:
        read(data, name)
    assert said in str(caught.value)


@settings(deadline=None, max_examples=40)
@given(traces.any_spans())
def test_perfetto_s_threads_hold_spans_one_in_the_other(spans: list[SpanData]) -> None:
    document = json.loads(written("perfetto", spans), parse_constant=lambda text: pytest.fail(text))
    events = document["traceEvents"]
    slices = [one for one in events if one["ph"] == "X"]
    assert len(slices) == len(spans)
    named = {one["pid"]: one["args"]["name"] for one in events if one["ph"] == "M"}
    assert sorted(named[one["pid"]] for one in slices) == sorted(str(one.resource["service.name"]) for one in spans)
    open_until: dict[tuple[int, int], list[float]] = {}
    for one in slices:
        ends = open_until.setdefault((one["pid"], one["tid"]), [])
        while ends and ends[-1] <= one["ts"]:
            ends.pop()
        assert not ends or one["ts"] + one["dur"] <= ends[-1] + 1e-6
        ends.append(one["ts"] + one["dur"])
        assert one["dur"] >= 0
        assert one["ts"] >= 0
    arrows = [one for one in events if one["ph"] in "sf"]
    assert sorted(one["id"] for one in arrows if one["ph"] == "s") == sorted(
        one["id"] for one in arrows if one["ph"] == "f"
    )


def test_perfetto_shows_a_call_as_an_arrow_between_services() -> None:
    events = json.loads(written("perfetto", traces.checkout()))["traceEvents"]
    arrows = [one["id"] for one in events if one["ph"] == "s"]
    assert len(set(arrows)) == len(arrows) == 5
    assert all(isinstance(one, int) for one in arrows), "Perfetto takes numbers of 64 bits for ids"
    assert {one["name"] for one in events if one["ph"] == "i"} == {"card checked", "exception"}
    (root,) = (one for one in events if one["name"] == "POST /checkout")
    assert (root["ts"], root["dur"], root["args"]["http.response.status_code"]) == (0, 2_310_000, "200")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("bug.otlp.jsonl", "otlp-json"), ("a.JSONL.gz", "otlp-json"), ("x.otlp", "otlp"), ("x.pb.gz", "otlp"),
        ("x.jaeger.json", "jaeger"), ("x.zipkin.json.gz", "zipkin"), ("x.perfetto.json", "perfetto"), ("x.json", None),
    ],
)  # fmt: skip
def test_file_s_name_says_the_format(path: str, name: str | None) -> None:
    assert exchange.format_of(path) == name


def test_packed_bytes_are_read_as_a_stream() -> None:
    packed = gzip.compress(written("jaeger", traces.checkout()))
    file = gzip.GzipFile(fileobj=io.BytesIO(packed))
    assert len([one for part in exchange.read(file) for one in part]) == len(traces.checkout())  # type: ignore[arg-type]


NAMES = ("resourceSpans", "batches", "scopeSpans", "spans", "traceId", "spanId", "id", "name", "attributes", "key", "value",
         "intValue", "kvlistValue", "values", "events", "kind", "status", "code", "data", "processes", "traceID", "spanID",
         "references", "tags", "logs", "fields", "startTime", "timestamp", "duration", "annotations", "localEndpoint",
         "serviceName", "type", "processID", "p1", "parentId")  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 2**70), st.floats(), st.sampled_from(["", "a", "ab" * 16, "cd" * 8, "\ud800", "int64"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)),
    max_leaves=25,
)  # fmt: skip
SHAPED = st.one_of(
    st.fixed_dictionaries({"resourceSpans": st.lists(JSON, max_size=2)}),
    JSON.map(lambda one: {"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}),
    JSON.map(lambda one: {"data": [{"spans": [one], "processes": {"p1": one}}]}),
    JSON.map(lambda one: [{"traceId": "ab" * 16, "id": "cd" * 8, "tags": one, "annotations": one}]),
    JSON.map(lambda one: {"traceID": "ab" * 16, "spanID": "cd" * 8, "tags": [one], "logs": one}).map(
        lambda one: {"data": [{"spans": [one], "processes": {}}]}
    ),
    JSON,
)


@settings(deadline=None, max_examples=100)
@given(SHAPED)
def test_any_json_is_read_or_refused(document: Any) -> None:
    try:
        spans = read(json.dumps(document).encode())
    except exchange.FormatError:
        return
    try:
        encode_request(spans)
    except ValueError:
        return
