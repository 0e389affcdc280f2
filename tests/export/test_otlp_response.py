"""What collectors answer, however it is damaged; the oracles are the official protobuf package and the calendar."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from google.protobuf.message import DecodeError as OfficialDecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from fasttrace.export.otlp_response import partial_success, retry_after


@given(rejected=st.integers(0, 2**63 - 1), text=st.text(st.characters(codec="utf-8"), max_size=50))
def test_what_the_official_library_writes_is_read(rejected: int, text: str) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = text
    assert partial_success(response.SerializeToString()) == (rejected, text)


@given(
    data=st.one_of(
        st.binary(max_size=60),
        st.binary(max_size=40).map(lambda inner: b"\x0a" + bytes([len(inner)]) + inner),
    )
)
def test_noise_is_no_rejection_that_the_official_library_does_not_see(data: bytes) -> None:
    rejected, message = partial_success(data)
    assert 0 <= rejected < 1 << 63
    assert isinstance(message, str)
    try:
        official = ExportTraceServiceResponse.FromString(data).partial_success
    except OfficialDecodeError:
        return
    # Ours gives up on wire types that these two messages do not have, and reads the last of two, not their sum.
    assert rejected in (0, max(0, official.rejected_spans)) or data.count(b"\x0a") > 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0a\x0b\x08" + b"\xff" * 10,
        b"\x0a\x0b\x08" + b"\xff" * 9 + b"\x01",  # -1
        b"\x80" * 100_000,
        b"\x0b" * 10_000,
    ],
)
def test_hostile_answers_reject_nothing(data: bytes) -> None:
    assert partial_success(data) == (0, "")


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[0-9 ,:+A-Za-z-]{0,60}")))
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    "value", ["9" * 60_000, "x" * 60_000, "," * 60_000, "Wed, 21 Oct 99999 07:28:00 GMT", "-1", "٣"]
)
def test_hostile_retry_after_is_read_or_not(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= 999_999_999


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_greenwich")
@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"])
def test_a_date_in_each_of_the_three_forms_is_seconds_from_now(form: str) -> None:
    seconds = retry_after(time.strftime(form, time.gmtime(time.time() + 100)))
    assert seconds is not None
    assert 80 <= seconds <= 101
