"""OTLP requests that are counted and split without being decoded; the oracle is the official protobuf package."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fasttrace._core.types import DecodeError
from fasttrace.export import Batch
from fasttrace.export.request import count_spans, split


def official(shape: list[list[int]]) -> ExportTraceServiceRequest:
    """A request with so many spans in each scope of each resource, numbered throughout."""
    message = ExportTraceServiceRequest()
    number = 0
    for scopes in shape:
        resource = message.resource_spans.add(schema_url=f"r{len(scopes)}")
        resource.resource.attributes.add(key="service.name").value.string_value = f"service {number}"
        for count in scopes:
            scope = resource.scope_spans.add(schema_url=f"s{count}")
            scope.scope.name = f"scope {count}"
            for _ in range(count):
                scope.spans.add(name=f"span {number}", trace_id=bytes(16))
                number += 1
    return message


def flat(data: bytes) -> list[tuple[str, str, str, str, str]]:
    """Every span with what stands around it."""
    return [
        (resource.resource.attributes[0].value.string_value, resource.schema_url, scope.scope.name, scope.schema_url, span.name)
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]  # fmt: skip


@given(st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=3), st.integers(0, 12))
def test_every_span_is_in_one_of_two_parts_with_its_resource_and_scope(shape: list[list[int]], first: int) -> None:
    data = official(shape).SerializeToString()
    total = sum(map(sum, shape))
    assert count_spans(data) == total
    parts = split(data, first)
    assert [len(flat(part)) for part in parts] == [min(first, total), max(0, total - first)]
    assert flat(parts[0]) + flat(parts[1]) == flat(data)
    assert [count_spans(part) for part in parts] == [min(first, total), max(0, total - first)]


def test_a_batch_of_bytes_is_a_batch() -> None:
    batch = Batch(official([[2, 3]]).SerializeToString())
    assert len(batch) == 5
    assert [len(half) for half in batch.halves()] == [2, 3]
    assert all(half.attempt is batch.attempt for half in batch.halves())


@given(st.binary(max_size=200))
def test_noise_is_refused_or_counted(data: bytes) -> None:
    try:
        assert count_spans(data) >= 0
        split(data, 1)
    except DecodeError:
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length beyond any file
        b"\x0a\x05ab",
        b"\x0a" + b"\x80" * 30,
        b"\x08\x01",
        b"\x0b" * 10_000 + b"\x0c" * 10_000,  # groups
        b"\x0a\x04\x12\x7fab",  # longer than what is around it
        b"\x80" * 1_000_000,
    ],
)
def test_hostile_lengths_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        count_spans(data)
    with pytest.raises(DecodeError):
        split(data, 1)


def message(field: int, body: bytes) -> bytes:
    size = len(body)
    return bytes([field << 3 | 2, size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + body


@pytest.mark.parametrize("crowd", ["spans", "scopes", "resources"])
def test_a_crowd_of_empty_messages_is_counted_and_split_without_a_balloon(crowd: str) -> None:
    many = 10_000
    data = {
        "spans": message(1, message(2, b"\x12\x00" * many)),
        "scopes": message(1, b"\x12\x02\x12\x00" * many),
        "resources": b"\x0a\x04\x12\x02\x12\x00" * many,
    }[crowd]
    assert count_spans(data) == many
    tracemalloc.start()
    parts = split(data, many // 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [count_spans(part) for part in parts] == [many // 2, many // 2]
    assert peak < 64 * len(data) + (1 << 20)


def test_halves_of_a_recorded_batch_are_what_was_recorded(make_batch: Any) -> None:
    batch = make_batch(7)
    first, second = batch.halves()
    assert (len(first), len(second)) == (3, 4)
    assert [span.attributes["number"] for half in (first, second) for span in half] == list(range(7))
