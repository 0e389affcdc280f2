"""The trace store: what is kept, whole and in order; what is dropped, recalled and counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import HEADER, NAMES, ROOT, SAMPLED, SECOND, Stored, numbers, record, split

from fasttrace._core import layout
from fasttrace._core.layout import STORE_ENTRY_BYTES, STORE_RECORD_BYTES, TAIL_CALLEE, TAIL_RECALL

Make = Callable[..., Stored]
SLOW = 1 << 5


@pytest.fixture
def make_stored(core: Any) -> Make:
    return lambda **arguments: Stored(core, **arguments)


@pytest.fixture
def stored(core: Any) -> Stored:
    return Stored(core)


# --- decisions -------------------------------------------------------------------------------------


def test_a_record_with_a_bit_keeps_its_whole_trace_in_order_and_leaves_others_alone(stored: Stored) -> None:
    stored.add(record(1, 1), record(2, 2), record(1, 3))
    assert stored.kept() == []
    stored.add(record(1, 4, bits=SLOW), record(2, 5), record(1, 6))
    stored.add(record(1, 7, flags=ROOT)).decide()
    stored.add(record(1, 8, flags=ROOT), after=3600 * SECOND)
    assert stored.kept() == [1, 3, 4, 6, 7, 8], "late spans follow"
    assert stored["held_spans"] == 2
    assert stored["kept_traces"] == {5: 1}


def test_what_the_head_sampled_is_kept(stored: Stored) -> None:
    stored.add(record(1, 1, flags=SAMPLED), record(1, 2, flags=SAMPLED | ROOT))
    assert stored["kept_traces"] == {30: 1}
    assert stored.reasons() == [None, "bit 30"]


def test_a_trace_that_nothing_keeps_is_dropped_when_the_grace_after_its_local_root_is_over(stored: Stored) -> None:
    stored.add(record(1, 1)).tick(3600 * SECOND)
    assert (stored["undecided"], stored.store.next_due_ns) == (1, 0), "its local root has not ended"
    stored.add(record(1, 2, flags=ROOT))
    due = stored.store.next_due_ns
    assert due == stored.now + SECOND
    stored.tick(SECOND - 1)
    assert stored["undecided"] == 1
    stored.tick(1)
    assert (stored["undecided"], stored["dropped"], stored.store.next_due_ns) == (0, 1, 0)
    assert (stored["held_spans"], stored["sampled_out"]) == (2, 0), "held for a recall"


def test_a_span_that_is_late_but_within_the_grace_still_keeps_its_trace(stored: Stored) -> None:
    stored.add(record(1, 1, flags=ROOT))
    stored.add(record(1, 2, bits=SLOW), after=SECOND - 1).decide()
    assert stored.kept() == [1, 2]


def test_a_late_span_upgrades_a_dropped_trace_and_joins_it_otherwise(stored: Stored) -> None:
    stored.add(record(1, 1, flags=ROOT), record(2, 2, flags=ROOT)).decide()
    stored.add(record(1, 3), record(2, 4), record(1, 5, bits=SLOW))
    assert stored.kept() == [1, 3, 5]
    assert (stored["dropped"], stored["held_spans"]) == (1, 2)


def test_several_local_roots_share_a_trace_and_the_last_one_starts_the_grace(stored: Stored) -> None:
    stored.add(record(1, 1, flags=ROOT), record(2, 2, flags=ROOT))
    stored.add(record(1, 3, flags=ROOT), after=SECOND // 2).tick(SECOND // 2)
    assert (stored["undecided"], stored["dropped"]) == (1, 1)
    stored.add(record(1, 4, flags=ROOT, bits=SLOW))
    assert stored.kept() == [1, 3, 4]
    stored.add(record(1, 5, flags=ROOT, bits=1))
    assert stored["kept_traces"] == {5: 1}, "once for each trace"


def test_settle_ends_the_grace_and_leaves_traces_whose_root_runs(stored: Stored) -> None:
    stored.add(record(1, 1, flags=ROOT), record(2, 2))
    stored.store.settle(stored.now)
    assert (stored["dropped"], stored["undecided"], stored["sampled_out"]) == (1, 1, 0)


def test_close_decides_everything_and_what_is_not_kept_is_sampled_out(stored: Stored) -> None:
    stored.add(record(1, 1, flags=ROOT)).decide()
    stored.add(record(2, 2, flags=ROOT), record(3, 3), record(4, 4, bits=SLOW))
    stored.store.close(stored.now)
    assert (stored["held_spans"], stored["held_bytes"], stored["sampled_out"]) == (0, 0, 3)
    assert stored.kept() == [4]
    stored.add(record(3, 5), record(3, 6, bits=SLOW), record(3, 7))
    assert stored["sampled_out"] == 4
    assert stored.kept() == [6, 7], "a trace that is gone is kept from now on"


def test_a_grace_of_nothing_decides_at_the_next_tick(make_stored: Make) -> None:
    stored = make_stored(grace_ns=0).add(record(1, 1, flags=ROOT))
    assert stored["undecided"] == 1
    assert stored.tick()["dropped"] == 1


def test_many_traces_that_wait_are_dropped_in_the_order_in_which_their_roots_ended(make_stored: Make) -> None:
    stored = make_stored(max_bytes=100 * (STORE_ENTRY_BYTES + STORE_RECORD_BYTES + 100), remember=0)
    for trace in (3, 1, 2):
        stored.add(record(trace, trace, flags=ROOT), after=1)
    stored.decide().add(*[record(100 + number, number) for number in range(98)])
    assert stored["sampled_out"] == 1
    assert stored.store.recall(3) == 0
    assert stored.store.recall(2) + stored.store.recall(1) == 2


# --- the reason ------------------------------------------------------------------------------------


def test_the_lowest_bit_of_the_trace_names_the_reason_on_its_local_roots_alone(stored: Stored) -> None:
    stored.add(record(1, 1, flags=ROOT), record(1, 2), record(1, 3, bits=1 << 9 | 1 << 7))
    stored.add(record(1, 4, flags=ROOT), record(1, 5, bits=1 << 3), record(1, 6, flags=ROOT))
    assert stored.reasons() == ["bit 7", None, None, "bit 7", None, "bit 3"]
    assert stored["kept_traces"] == {7: 1}


def test_the_reason_is_there_for_those_who_read_the_bytes_of_real_spans(core: Any, make_traced: Any) -> None:
    traced = make_traced()
    with (
        traced.tracer.start_as_current_span("root", attributes={"a": 1}),
        traced.tracer.start_as_current_span("child"),
    ):
        pass
    store = core.store.Store(reasons=(*NAMES[:30], "ünïcode " + "r" * 300, None))
    store.add(traced.records(), 1)
    kept = store.take(10, 1 << 20)
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = core.otlp.assemble(kept, b"", [(b"", "")])
    spans = ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans
    attributes = {span.name: {item.key: item.value.string_value for item in span.attributes} for span in spans}
    assert attributes["root"] == {"a": "", "fasttrace.keep_reason": "ünïcode " + "r" * 300}
    assert attributes["child"] == {}
    assert core.decode.decode_request(request)[1].attributes["fasttrace.keep_reason"].startswith("ünï")


def test_without_a_name_nothing_is_appended(make_stored: Make) -> None:
    one = record(1, 1, flags=ROOT, bits=SLOW)
    for reasons in (None, (None,) * 32):
        assert make_stored(reasons=reasons).add(one).take() == one


# --- rules of the store ----------------------------------------------------------------------------


def test_rare_keeps_the_first_of_each_route_in_each_window(make_stored: Make) -> None:
    stored = make_stored(rules=[("rare", 4, 2, 60 * SECOND)])
    stored.now = 60 * SECOND
    for number in range(5):
        stored.add(record(number, number, flags=ROOT, route=number % 2), record(number + 50, 50))
    assert stored.kept() == [0, 1, 2, 3]
    stored.add(record(10, 10, flags=ROOT, route=1), after=60 * SECOND - 1)
    assert stored.kept() == []
    stored.add(record(11, 11, flags=ROOT, route=1), after=1)
    assert stored.reasons() == ["bit 4"]


def test_percentile_keeps_the_slowest_of_each_route_once_it_has_seen_a_hundred(make_stored: Make) -> None:
    stored = make_stored(rules=[("percentile", 6, 990_000)])
    for number in range(99):
        stored.add(record(number, number, flags=ROOT, route=7, took=1_000_000))
    stored.add(record(99, 99, flags=ROOT, route=8, took=50_000_000))
    assert stored.kept() == [], "the other route has been seen once"
    stored.add(record(100, 100, flags=ROOT, route=7, took=50_000_000))
    assert stored.kept() == [100], "1 of 100 is 1 %"
    stored.add(record(101, 101, flags=ROOT, route=7, took=50_000_000), record(102, 102, flags=ROOT, route=7))
    assert stored.kept() == [], "2 of 101 is more"


def test_percentile_forgets_what_was_long_ago(make_stored: Make) -> None:
    stored = make_stored(rules=[("percentile", 6, 900_000)])
    stored.add(*[record(1, 1, flags=ROOT, took=SECOND)] * 600)
    quick, slow = (record(trace, trace, flags=ROOT, took=took) for trace, took in ((2, 1000), (3, SECOND)))
    stored.add(*[quick] * 3000, slow)
    assert stored["kept_traces"] == {}, "600 of 3,600 were as slow"
    stored.add(*[quick] * 1600, slow)
    assert stored["kept_traces"] == {6: 1}, "601 of 5,201, but halved when there were 4,096"


def test_baseline_keeps_ids_at_or_above_its_threshold(make_stored: Make) -> None:
    stored = make_stored(rules=[("baseline", 27, 1000)])
    top = 0xFF << 56
    stored.add(record(top | 999, 1, flags=ROOT), record(top | 1000, 2, flags=ROOT), record(top | 5000, 3))
    assert stored.kept() == [2], "judged at the end of a local root only"
    assert make_stored(rules=[("baseline", 1, 1 << 56)]).add(record((1 << 128) - 1, 1, flags=ROOT)).kept() == []


def test_all_rules_see_every_local_root_and_the_lowest_bit_that_matches_is_the_reason(make_stored: Make) -> None:
    stored = make_stored(rules=[("baseline", 9, 0), ("rare", 3, 1, SECOND)])
    stored.add(record(1, 1, flags=ROOT), record(2, 2, flags=ROOT))
    assert stored.reasons() == ["bit 3", "bit 9"]
    stored = make_stored(rules=[("rare", 3, 1, SECOND)])
    stored.add(record(1, 1, flags=SAMPLED), record(1, 2, flags=ROOT), record(2, 3, flags=ROOT))
    assert stored.reasons() == [None, "bit 30"], "the one of its window was kept already"


def test_rules_judge_dropped_traces_again_and_leave_those_that_are_gone(make_stored: Make) -> None:
    stored = make_stored(rules=[("rare", 3, 1, 60 * SECOND)])
    stored.add(record(0, 0, flags=ROOT)).take()
    stored.add(record(1, 1, flags=ROOT)).decide()
    stored.add(record(1, 2, flags=ROOT), after=60 * SECOND)
    assert stored.kept() == [1, 2]
    stored.add(record(2, 3, flags=ROOT))
    stored.store.close(stored.now)
    stored.add(record(2, 4, flags=ROOT), after=60 * SECOND)
    assert stored.kept() == []
    assert stored["sampled_out"] == 2


def test_beyond_1024_routes_the_rest_share_one_place(make_stored: Make) -> None:
    stored = make_stored(rules=[("rare", 3, 1, SECOND)])
    routes = [number * 2654435761 % (1 << 32) for number in range(3000)]
    for number, route in enumerate(routes):
        stored.add(record(number, number, flags=ROOT, route=route))
    assert stored.kept() == list(range(1025)), "one of each of them, and one of all the others"
    stored.add(*[record(5000 + number, number, flags=ROOT, route=route) for number, route in enumerate(routes)])
    assert stored.kept() == []
    stored.add(record(9000, 9000, flags=ROOT, route=routes[2000]), after=SECOND)
    assert stored.kept() == [9000], "every window begins anew"


# --- bounds ----------------------------------------------------------------------------------------


def test_the_dropped_go_first_as_they_were_dropped_and_late_spans_do_not_save_them(make_stored: Make) -> None:
    one = 100 + STORE_RECORD_BYTES
    stored = make_stored(max_bytes=6 * STORE_ENTRY_BYTES + 5 * one)
    stored.add(record(9, 9), record(1, 1, flags=ROOT), record(2, 2, flags=ROOT)).decide()
    stored.add(record(1, 3))
    stored.add(record(3, 4), record(4, 5), record(5, 6))
    assert (stored["sampled_out"], stored["trace_evicted"], stored["dropped"]) == (2, 0, 1)
    assert stored.store.recall(2) == 1, "the other dropped one"


def test_then_the_undecided_go_by_last_activity(make_stored: Make) -> None:
    one = 100 + STORE_RECORD_BYTES
    stored = make_stored(max_bytes=4 * (STORE_ENTRY_BYTES + one), remember=0)
    stored.add(record(1, 1), record(2, 2), record(3, 3), record(1, 4))
    stored.add(record(4, 5))
    assert (stored["sampled_out"], stored["trace_evicted"], stored["evicted_traces"]) == (0, 1, 1)
    assert [stored.store.recall(trace) for trace in (1, 2, 3, 4)] == [2, 0, 1, 1]


def test_what_is_remembered_goes_by_last_use(make_stored: Make) -> None:
    stored = make_stored(remember=2)
    stored.add(*[record(trace, trace, bits=SLOW) for trace in (1, 2)], record(1, 3), record(3, 4, bits=SLOW))
    stored.add(record(1, 5), record(2, 6), record(3, 7))
    assert stored.kept() == [1, 2, 3, 4, 5, 7], "the second was forgotten and is undecided again"
    assert (stored["remembered"], stored["undecided"]) == (2, 1)


def test_what_is_remembered_never_fills_a_small_store(make_stored: Make) -> None:
    stored = make_stored(max_bytes=40 * STORE_ENTRY_BYTES)
    stored.add(*[record(trace, trace, bits=SLOW) for trace in range(1000)])
    assert stored["remembered"] == 10
    stored.add(record(5000, 1), record(5000, 2))
    assert stored["held_spans"] == 2


def test_a_giant_trace_is_cut_at_its_cap_and_its_bits_still_count(make_stored: Make) -> None:
    stored = make_stored(max_trace_bytes=10 * (100 + STORE_RECORD_BYTES))
    stored.add(*[record(1, number) for number in range(15)], record(2, 99))
    assert (stored["held_spans"], stored["trace_evicted"], stored["truncated_traces"]) == (11, 5, 1)
    stored.add(record(1, 20, flags=ROOT))
    assert stored.store.next_due_ns == stored.now + SECOND, "its end is seen although it is not held"
    stored.add(record(1, 21, bits=SLOW))
    assert stored.kept() == [*range(10), 21]
    assert stored["truncated_traces"] == 1


def test_a_record_larger_than_everything_is_counted_and_does_no_harm(make_stored: Make) -> None:
    stored = make_stored(max_bytes=1000, max_trace_bytes=1 << 30)
    stored.add(record(1, 1, size=5000))
    assert (stored["held_spans"], stored["trace_evicted"]) == (0, 1)
    stored.add(record(2, 2, size=5000, bits=SLOW))
    assert stored.kept() == [2]


@pytest.mark.parametrize("max_bytes", [1, 159, 160, 500])
def test_a_tiny_store_keeps_its_bound_and_its_accounts(make_stored: Make, max_bytes: int) -> None:
    stored = make_stored(max_bytes=max_bytes)
    for number in range(50):
        stored.add(record(number % 7, number, flags=ROOT if number % 3 else 0, bits=SLOW if number % 11 == 0 else 0))
        stored.tick(SECOND)
    stored.store.close(stored.now)
    stored.check()


@pytest.mark.parametrize("finished", [False, True], ids=["never end", "end"])
def test_100_000_open_traces_stay_under_the_cap(make_stored: Make, finished: bool) -> None:
    stored = make_stored(max_bytes=4 << 20)
    for first in range(0, 100_000, 1000):
        stored.add(
            *[record(trace, trace, flags=ROOT if finished else 0, size=220) for trace in range(first, first + 1000)],
            after=SECOND // 2,
        )
        if finished:
            stored.tick()
    lost = stored["sampled_out"], stored["trace_evicted"]
    assert lost[not finished] > 80_000
    assert lost[finished] == 0, "those that can be recalled no more were decided"
    if not finished:
        newest = record(99_999, 1, bits=SLOW)
        assert len(list(split(stored.add(newest).take()))) == 2, "the latest activity is what is still here"


def test_ids_that_repeat_for_ever_are_one_trace_under_its_cap(make_stored: Make) -> None:
    stored = make_stored(max_trace_bytes=50_000)
    for number in range(3000):
        stored.add(record(0, number, flags=ROOT), after=SECOND // 2).tick()
    assert stored["traces"] == 1
    assert stored["held_bytes"] <= 50_000


def test_clock_steps_raise_nothing_and_decide_nothing_too_early(stored: Stored) -> None:
    start = stored.now
    stored.add(record(1, 1, start=1 << 63, took=1 << 63))
    stored.add(record(2, 2, flags=ROOT, start=(1 << 64) - 1, took=(1 << 64) - 1), after=-5 * SECOND)
    assert stored.store.next_due_ns == start + SECOND, "an earlier time counts as the last one"
    stored.add(record(3, 3, flags=ROOT), after=-(1 << 60)).tick()
    assert stored["undecided"] == 3
    stored.now = start
    assert stored.decide()["dropped"] == 2
    assert stored.store.recall(1, neighbours_ns=(1 << 63) - 1) == 2
    assert stored.tick(-(1 << 62)).add(record(4, 4)).store.recall_recent(start + SECOND) == 1


# --- recall ----------------------------------------------------------------------------------------


def test_a_dropped_trace_is_recalled_whole_and_what_comes_later_follows(stored: Stored) -> None:
    stored.add(record(1, 1), record(2, 2, flags=ROOT), record(1, 3, flags=ROOT)).decide()
    assert stored.store.recall(1) == 2
    stored.add(record(1, 4, flags=ROOT))
    assert stored.store.recall(1, TAIL_CALLEE) == 0
    assert stored["kept_traces"] == {28: 1}
    assert stored.reasons() == [None, "bit 28", "bit 28"]


def test_an_undecided_trace_can_be_recalled_and_one_that_is_gone_is_kept_from_now_on(stored: Stored) -> None:
    stored.add(record(1, 1), record(2, 2))
    assert stored.store.recall(1, 1 << 4) == 1
    assert stored.store.recall(404) == 0
    stored.store.close(stored.now)
    assert stored.store.recall(2) == 0
    stored.add(record(2, 3), record(404, 4))
    assert stored.kept() == [1, 3]
    assert stored["kept_traces"] == {4: 1, 28: 1}


def test_neighbours_are_the_traces_that_ran_at_the_same_time(stored: Stored) -> None:
    stored.add(record(1, 1, start=1000, took=100), record(1, 2, start=950, took=20))
    stored.add(record(2, 3, start=1100, took=1), record(3, 4, start=1105, took=1), record(4, 5, start=900, took=49))
    stored.add(record(5, 6, start=900, took=50), record(6, 7, start=0, took=5000))
    assert stored.store.recall(1, neighbours_ns=0) == 5
    assert stored.kept() == [1, 2, 3, 6, 7]
    assert stored.store.recall(1, neighbours_ns=0) == 0
    assert stored.store.recall(1, neighbours_ns=5) == 2, "the trace itself may be kept already"
    assert stored.kept() == [4, 5]


def test_neighbours_come_dropped_ones_first_then_by_activity(stored: Stored) -> None:
    stored.add(record(5, 1), record(4, 2, flags=ROOT), record(3, 3, flags=ROOT)).decide()
    stored.add(record(2, 4), record(5, 5), record(1, 6))
    assert stored.store.recall(1, neighbours_ns=1 << 40) == 6
    assert stored.kept() == [6, 2, 3, 4, 1, 5]


def test_the_last_seconds_can_be_recalled(stored: Stored) -> None:
    stored.add(record(1, 1, flags=ROOT), record(2, 2, flags=ROOT)).decide()
    stored.add(record(2, 3), record(3, 4))
    since = stored.now
    stored.add(record(4, 5), after=SECOND)
    assert stored.store.recall_recent(since, TAIL_RECALL) == 4
    assert stored.kept() == [2, 3, 4, 5]
    assert stored.store.recall_recent(since) == 0
    assert stored["dropped"] == 1


def test_stats_tell_how_far_back_the_store_reaches(stored: Stored) -> None:
    assert stored["oldest_dropped_ns"] == 0
    stored.add(record(1, 1, flags=ROOT)).decide()
    reached = stored.now - SECOND
    stored.add(record(2, 2, flags=ROOT), after=SECOND).decide()
    assert stored["oldest_dropped_ns"] == reached
    assert stored.store.recall(1) == 1
    assert stored["oldest_dropped_ns"] == reached + 2 * SECOND


@pytest.mark.parametrize("trace_id", [-1, 1 << 128, "1", None, 1.0])
def test_recall_refuses_what_is_no_trace_id(stored: Stored, trace_id: Any) -> None:
    with pytest.raises(ValueError, match="trace_id"):
        stored.store.recall(trace_id)


@pytest.mark.parametrize("bit_mask", [0, -1, 1 << 32, None])
def test_recall_refuses_what_are_no_bits(stored: Stored, bit_mask: Any) -> None:
    with pytest.raises(ValueError, match="bit_mask"):
        stored.store.recall(1, bit_mask)
    with pytest.raises(ValueError, match="bit_mask"):
        stored.store.recall_recent(1, bit_mask)
    with pytest.raises(ValueError, match="neighbours_ns=-2"):
        stored.store.recall(1, neighbours_ns=-2)


# --- in and out ------------------------------------------------------------------------------------


def test_take_is_bounded_by_count_and_bytes_but_gives_at_least_one(stored: Stored) -> None:
    records = [record(1, number, bits=SLOW) for number in range(10)]
    stored.add(*records)
    assert stored.store.kept_bytes == 1000
    assert stored.take(3, 1 << 20) == b"".join(records[:3])
    assert numbers(stored.take(100, 250)) == [3, 4]
    assert numbers(stored.take(100, 1)) == [5]
    assert (stored.take(0, 1000), stored.take(-1, 1000)) == (b"", b"")
    assert stored.kept() == [6, 7, 8, 9]
    assert stored.take() == b""


def test_take_counts_the_reason_that_it_appends(make_stored: Make) -> None:
    stored = make_stored(reasons=("r" * 500,) * 32)
    stored.add(*[record(1, number, flags=ROOT, bits=SLOW) for number in range(3)])
    whole = stored.store.kept_bytes
    assert whole > 3 * 600
    assert len(stored.take(10, whole // 3 * 2)) == whole // 3 * 2
    assert stored.store.kept_bytes == len(stored.take()) == whole // 3


PAD = bytearray(record(1))
PAD[2] = layout.RECORD_KIND_PAD


@pytest.mark.parametrize(
    "nonsense",
    [
        b"x",
        b"x" * 64,
        record(1)[:-1],
        record(1) + b"x" * 80,
        record(1) + record(1)[:40],
        bytes(PAD),
        HEADER.pack(layout.RECORD_MAGIC, 1, 0, 63, 0, 0, 0, 0, b"", b"", 0, 0),
        HEADER.pack(layout.RECORD_MAGIC, 1, 0, (1 << 32) - 1, 0, 0, 0, 0, b"", b"", 0, 0),
    ],
)
def test_what_are_no_whole_records_is_refused_and_nothing_is_added(stored: Stored, nonsense: bytes) -> None:
    with pytest.raises(ValueError, match="record"):
        stored.store.add(record(1, bits=SLOW) + nonsense, 1)
    assert stored["traces"] == 0
    for wrong in (None, "text", bytearray(record(1)), memoryview(record(1))):
        with pytest.raises(TypeError, match="bytes"):
            stored.store.add(wrong, 1)
    stored.store.add(b"", 1)


@given(start=st.integers(0, 300), junk=st.binary(max_size=40), cut=st.integers(0, 300))
def test_damaged_records_are_refused_alike(both: Any, start: int, junk: bytes, cut: int) -> None:
    data = b"".join(record(number, number, flags=number & 5, bits=number & 2) for number in range(4))
    data = (data[:start] + junk + data[start + len(junk) :])[: len(data) - cut]
    answers = []
    for core in both:
        store = core.store.Store()
        try:
            answer: Any = store.add(data, 1)
        except ValueError as error:
            answer = str(error)
            assert store.stats()["traces"] == 0
        answers.append((answer, store.take(100, 1 << 20), store.stats()))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_bytes": 0},
        {"max_bytes": 1.5},
        {"max_trace_bytes": 0},
        {"grace_ns": -1},
        {"remember": -1},
        {"remember": True},
        {"reasons": ("one",)},
        {"reasons": (1,) * 32},
        {"reasons": ["a"] * 32},
    ],
)
def test_bad_arguments_are_refused_by_name_and_value(core: Any, arguments: dict[str, Any]) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=name) as error:
        core.store.Store(**arguments)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    ("rule", "accepted"),
    [
        (("latency", 1, 5), "rare"),
        (("rare", 1, 5), "window_ns"),
        (["rare", 1, 5, 5], "rare"),
        ((), "percentile"),
        (("rare", 0, 1, 1), "1 to 27"),
        (("rare", 28, 1, 1), "1 to 27"),
        (("rare", 1, 0, 1), "count"),
        (("rare", 1, 1, 0), "window_ns"),
        (("percentile", 1, 0.99), "1 to 999999"),
        (("percentile", 1, 1_000_000), "1 to 999999"),
        (("baseline", 1, -1), "threshold"),
        (("baseline", 1, (1 << 56) + 1), "threshold"),
        (("baseline", True, 1), "1 to 27"),
    ],
)
def test_bad_rules_are_refused_with_what_is_accepted(core: Any, rule: Any, accepted: str) -> None:
    with pytest.raises(ValueError, match=accepted) as error:
        core.store.Store(rules=[rule])
    assert repr(rule) in str(error.value)


def test_there_are_no_more_rules_than_bits(core: Any) -> None:
    core.store.Store(rules=[("baseline", bit, 0) for bit in range(1, 28)])
    with pytest.raises(ValueError, match="28 store rules: at most 27"):
        core.store.Store(rules=[("baseline", 1, 0)] * 28)


# --- fork ------------------------------------------------------------------------------------------


def test_reset_after_fork_forgets_everything_and_goes_on_under_the_same_rules(make_stored: Make) -> None:
    stored = make_stored(rules=[("rare", 3, 1, SECOND)])
    stored.add(record(1, 1, flags=ROOT), record(2, 2, bits=SLOW), record(3, 3, flags=ROOT))
    fresh = make_stored().store.stats()
    stored.store.reset_after_fork()
    assert stored.store.stats() == fresh
    assert stored.store.take(10, 1 << 20) == b""
    stored.added = 0
    stored.add(record(1, 1, flags=ROOT), record(2, 2))
    assert stored.reasons() == ["bit 3"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_starts_from_nothing_and_the_parent_keeps_what_it_has(stored: Stored) -> None:
    stored.add(record(1, 1), record(2, 2, flags=ROOT))
    child = os.fork()
    if not child:
        status = 1
        try:
            stored.store.reset_after_fork()
            stored.store.add(record(1, 3, bits=SLOW), 1)
            status = numbers(stored.store.take(10, 1 << 20)) != [3]
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    stored.add(record(1, 4, bits=SLOW))
    assert stored.kept() == [1, 4]
