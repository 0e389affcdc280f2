"""Coverage-guided fuzzing of everything that reads OTLP or what a collector answers, with two oracles.

Run by ``scripts/fuzz``. Both implementations of the decoder must say the same, spans or error; where the official
protobuf classes read the message too, they must see the same spans. What was read is encoded and read again.
Requests are counted and split, segments and responses read, whatever the bytes are.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import atheris
from google.protobuf.message import DecodeError as OfficialDecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fasttrace import _core
from fasttrace._core.types import DecodeError
from fasttrace.export import otlp_response, request, segments

CORES = [SimpleNamespace(**_core.load(name)[2]) for name in ("cython", "python")]
NOT_READ = object()
# A segment in memory: files on disk would take most of the time.
SEGMENT = os.memfd_create("segment")
segments.open_file = lambda path, flags: os.dup(path)


def said(spans: list[Any]) -> list[Any]:
    """All that decoded spans say, comparable also where a float is none."""
    return [
        (
            *(
                getattr(span, name)
                for name in ("trace_id", "span_id", "parent_span_id", "trace_state", "name", "flags")
            ),
            *(span.start_time_ns, span.end_time_ns, span.kind, span.status.status_code, span.status.description),
            *(span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count),
            *(
                repr(span.attributes),
                repr(span.resource),
                repr(span.scope.attributes),
                span.scope.name,
                span.scope.version,
            ),
            [(event.name, event.time_ns, repr(event.attributes)) for event in span.events],
            [(link.trace_id, link.span_id, link.trace_state, link.flags, repr(link.attributes)) for link in span.links],
        )
        for span in spans
    ]


def value_of(value: Any) -> Any:
    """An official AnyValue as ours are; NOT_READ in it for what we do not know."""
    case = value.WhichOneof("value")
    if case is None:
        return None
    if case == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if case == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    if case in ("string_value", "bool_value", "int_value", "double_value", "bytes_value"):
        return getattr(value, case)
    return NOT_READ


def attributes_of(pairs: Any) -> dict[str, Any]:
    return {pair.key: value_of(pair.value) for pair in pairs}


def compare_with_official(data: bytes, spans: list[Any]) -> None:
    try:
        official = ExportTraceServiceRequest.FromString(data)
    except OfficialDecodeError:
        return  # broken in what no span needs
    found = [span for resource in official.resource_spans for scope in resource.scope_spans for span in scope.spans]
    assert len(found) == len(spans)
    for theirs, ours in zip(found, spans, strict=True):
        assert (ours.trace_id, ours.span_id) == (theirs.trace_id.hex(), theirs.span_id.hex())
        assert (ours.name, ours.trace_state, ours.flags) == (theirs.name, theirs.trace_state, theirs.flags)
        assert (ours.start_time_ns, ours.end_time_ns) == (theirs.start_time_unix_nano, theirs.end_time_unix_nano)
        assert [event.name for event in ours.events] == [event.name for event in theirs.events]
        assert [link.span_id for link in ours.links] == [link.span_id.hex() for link in theirs.links]
        attributes = repr(attributes_of(theirs.attributes))
        assert repr(NOT_READ) in attributes or attributes == repr(ours.attributes)


def compare_round_trip(spans: list[Any]) -> None:
    for span in spans:
        encoded = [core.otlp.encode_attributes(span.attributes, 9) for core in CORES]
        assert encoded[0] == encoded[1]
        again = CORES[0].decode.decode_span(encoded[0])
        # Keys without text are not written, at any depth.
        assert "''" in repr(span.attributes) or repr(again.attributes) == repr(span.attributes)


def decoders(data: bytes) -> None:
    answers: list[Any] = []
    spans: list[Any] = []
    for core in CORES:
        try:
            spans = core.decode.decode_request(data)
            answers.append(said(spans))
        except DecodeError as error:
            answers.append(str(error))
    assert answers[0] == answers[1], (data, answers)
    if isinstance(answers[0], list):
        compare_with_official(data, spans)
        compare_round_trip(spans)
        try:
            assert request.count_spans(data) == len(spans)
        except DecodeError:
            pass  # a field that it does not know
    answers = []
    for core in CORES:
        try:
            answers.append(said([core.decode.decode_span(data)]))
        except DecodeError as error:
            answers.append(str(error))
    assert answers[0] == answers[1], (data, answers)


def requests(data: bytes) -> None:
    try:
        count = request.count_spans(data)
        first = count // 2
        parts = request.split(data, first)
        assert [request.count_spans(part) for part in parts] == [first, count - first]
    except DecodeError:
        pass


def write(data: bytes) -> None:
    os.ftruncate(SEGMENT, 0)
    os.pwrite(SEGMENT, data, 0)


def files(data: bytes) -> None:
    write(data)
    whole = list(segments.read(SEGMENT))
    assert all(0 < end <= len(data) and data[end - len(body) : end] == body for body, end in whole)
    waiting = list(segments.read(SEGMENT, delivered=False))
    assert [item for item in whole if item in waiting] == waiting
    write(data + segments.pack(data) + data)
    assert (data, len(data) * 2 + segments.FRAME.size) in list(segments.read(SEGMENT, len(data)))


def responses(data: bytes) -> None:
    rejected, message = otlp_response.partial_success(data)
    assert 0 <= rejected < 1 << 63
    assert isinstance(message, str)
    text = otlp_response.readable(data, str)
    assert len(text) <= otlp_response.READABLE_CHARACTERS + 2
    assert text.isprintable()
    seconds = otlp_response.retry_after(data.decode("latin-1"))
    assert seconds is None or seconds >= 0


def one_input(data: bytes) -> None:
    """The bytes as a request, a span, a segment, an answer."""
    decoders(data)
    requests(data)
    files(data)
    responses(data)


atheris.Setup(sys.argv, one_input)
atheris.Fuzz()
