"""The queue of records: bounded, in order, accounted for, and safe with many producers."""

from __future__ import annotations

import struct
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasttrace._core import layout


def record(number: int, size: int = 100) -> bytes:
    """A record that carries a number."""
    body = struct.pack("<Q", number).ljust(size - layout.RECORD_HEADER_BYTES, b"x")
    return (
        layout.RECORD_HEADER.pack(
            layout.RECORD_MAGIC, layout.RECORD_KIND_SPAN, 1, 64 + len(body), 0, 0, 0, 0, bytes(16), bytes(8), 0, 0
        )
        + body
    )


def numbers(records: bytes) -> list[int]:
    """The numbers of records, in order."""
    found = []
    while records:
        length = layout.RECORD_HEADER.unpack_from(records)[3]
        found.append(struct.unpack_from("<Q", records, 64)[0])
        records = records[length:]
    return found


def sequence(records: bytes) -> list[int]:
    found = []
    while records:
        fields = layout.RECORD_HEADER.unpack_from(records)
        found.append(fields[5])
        records = records[fields[3] :]
    return found


def test_records_come_out_in_order_and_whole(core: Any) -> None:
    ring = core.ring.Ring()
    for number in range(1000):
        assert ring.push(record(number, 72 + number % 50)) is None
    assert ring.depth_spans == 1000
    taken = ring.take(1000, 1 << 24)
    assert numbers(taken) == list(range(1000))
    assert ring.take(1, 1 << 24) == b""
    assert ring.depth_spans == 1000, "what is on its way still counts"
    ring.release(1000, len(taken))
    assert (ring.depth_spans, ring.depth_bytes) == (0, 0)


def test_take_is_bounded_by_count_and_bytes_but_gives_at_least_one(core: Any) -> None:
    ring = core.ring.Ring()
    for number in range(10):
        ring.push(record(number, 100))
    assert numbers(ring.take(3, 1 << 20)) == [0, 1, 2]
    assert numbers(ring.take(100, 250)) == [3, 4]
    assert numbers(ring.take(100, 1)) == [5]
    assert numbers(ring.take(100, 1 << 20)) == [6, 7, 8, 9]


def test_what_one_thread_leaves_of_the_bounds_is_there_for_the_others(core: Any) -> None:
    ring = core.ring.Ring(max_spans=100, max_bytes=100 * 100)
    answers: list[list[str | None]] = []

    def push(count: int) -> None:
        answers.append([ring.push(record(number)) for number in range(count)])

    for count in (1, 98, 3):  # one after the other, each in a place of its own where there are several
        thread = threading.Thread(target=push, args=(count,))
        thread.start()
        thread.join()
    assert answers == [[None], [None] * 98, [None, "queue_full", "queue_full"]]
    assert (ring.depth_spans, ring.depth_bytes) == (100, 100 * 100)
    taken = ring.take(100, 1 << 20)
    ring.release(60, 60 * 100)
    push(61)
    assert answers[-1] == [None] * 60 + ["queue_full"]
    assert (len(taken), ring.depth_spans) == (100 * 100, 100)


def test_sequence_numbers_have_no_gap(core: Any) -> None:
    ring = core.ring.Ring(max_spans=5)
    for number in range(8):
        ring.push(record(number))
    taken = ring.take(100, 1 << 20)
    ring.release(5, len(taken))
    ring.push(record(9))
    assert sequence(taken + ring.take(1, 1 << 20)) == [0, 1, 2, 3, 4, 5]


def test_the_newest_beyond_the_depth_is_dropped(core: Any) -> None:
    ring = core.ring.Ring(max_spans=3)
    assert [ring.push(record(number)) for number in range(5)] == [None, None, None, "queue_full", "queue_full"]
    taken = ring.take(10, 1 << 20)
    assert numbers(taken) == [0, 1, 2]
    assert ring.push(record(5)) == "queue_full", "not released yet"
    ring.release(3, len(taken))
    assert ring.push(record(6)) is None


def test_the_default_depth_is_10_000_spans(core: Any) -> None:
    ring = core.ring.Ring()
    assert ring.max_spans == 10_000
    answers = [ring.push(record(number)) for number in range(10_001)]
    assert answers[-1] == "queue_full"
    assert set(answers[:-1]) == {None}


def test_the_byte_bound_holds(core: Any) -> None:
    ring = core.ring.Ring(max_bytes=1000)
    assert [ring.push(record(number, 300)) for number in range(4)] == [None, None, None, "queue_full"]


def test_too_large_a_record_is_refused(core: Any) -> None:
    ring = core.ring.Ring()
    assert ring.push(record(1, layout.MAX_RECORD_BYTES + 1)) == "too_large"
    assert ring.push(record(2, layout.MAX_RECORD_BYTES)) is None
    assert numbers(ring.take(9, 1 << 24)) == [2]


@pytest.mark.parametrize(
    "nonsense", [b"", b"x" * 63, b"x" * 80, record(1) + b"x", record(1)[:-1], b"x" + record(1)[1:]]
)
def test_what_is_no_record_is_refused(core: Any, nonsense: bytes) -> None:
    with pytest.raises(ValueError, match="record"):
        core.ring.Ring().push(nonsense)


@pytest.mark.parametrize("arguments", [{"max_spans": 0}, {"max_bytes": 0}, {"max_spans": -1}])
def test_bounds_are_at_least_one(core: Any, arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        core.ring.Ring(**arguments)


@pytest.mark.parametrize("size", [0, 512, 1500, -1024])
def test_the_staging_ring_is_a_power_of_two(core: Any, size: int) -> None:
    with pytest.raises(ValueError, match=f"ring_bytes={size}"):
        core.ring.Ring(ring_bytes=size)


def test_wait_ends_on_wake_and_on_the_timeout(core: Any) -> None:
    ring = core.ring.Ring()
    assert ring.wait(0.001) is False
    ring.wake()
    ring.wake()
    assert ring.wait(60) is True
    assert ring.wait(0.001) is False
    timer = threading.Timer(0.05, ring.wake)
    timer.start()
    assert ring.wait(60) is True
    timer.join()


def test_a_half_full_ring_wakes_its_consumer(core: Any) -> None:
    ring = core.ring.Ring(ring_bytes=8192)
    for number in range(60):
        ring.push(record(number, 100))
    assert ring.wait(60) is True
    assert numbers(ring.take(100, 1 << 20)) == list(range(60))


def test_many_times_the_rings_size_goes_through_without_a_consumer_in_time(core: Any) -> None:
    ring = core.ring.Ring(ring_bytes=4096)
    for number in range(2000):
        assert ring.push(record(number, 90)) is None
    assert numbers(ring.take(5000, 1 << 24)) == list(range(2000))


def test_wait_lets_other_threads_run(core: Any) -> None:
    ring = core.ring.Ring()
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    begin = time.thread_time()
    thread.start()
    ring.wait(0.05)
    assert ran.is_set()
    assert time.thread_time() - begin < 1
    thread.join()


def test_many_producers_and_one_consumer_lose_nothing(core: Any) -> None:
    producers, each = 4, 3000
    ring = core.ring.Ring(max_spans=producers * each, max_bytes=1 << 26, ring_bytes=8192)
    barrier = threading.Barrier(producers + 1)

    def produce(base: int) -> None:
        barrier.wait(60)
        for number in range(each):
            assert ring.push(record(base + number, 72 + number % 200)) is None

    threads = [threading.Thread(target=produce, args=(index * each,)) for index in range(producers)]
    for thread in threads:
        thread.start()
    barrier.wait(60)
    seen: list[int] = []
    while len(seen) < producers * each:
        ring.wait(0.01)
        records = ring.take(512, 1 << 20)
        found = numbers(records)
        seen += found
        ring.release(len(found), len(records))
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(producers * each))
    for index in range(producers):
        mine = [number for number in seen if index * each <= number < (index + 1) * each]
        assert mine == sorted(mine), "one producer's records keep their order"
    assert (ring.depth_spans, ring.depth_bytes) == (0, 0)


def test_reset_after_fork_forgets_everything(core: Any) -> None:
    ring = core.ring.Ring()
    ring.push(record(1))
    ring.reset_after_fork()
    assert (ring.depth_spans, ring.depth_bytes) == (0, 0)
    assert ring.take(1, 1 << 20) == b""
    assert ring.push(record(2)) is None


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(64 + 8, 600)),
        st.tuples(st.just("take"), st.integers(1, 8), st.integers(1, 2000)),
        st.just(("wait",)),
    ),
    max_size=60,
)


@given(actions=ACTIONS, max_spans=st.integers(1, 20), max_bytes=st.integers(1, 4000))
def test_twins_are_the_same_queue(both: Any, actions: list[Any], max_spans: int, max_bytes: int) -> None:
    results = []
    for core in both:
        ring = core.ring.Ring(max_spans, max_bytes, 1024)
        seen: list[Any] = []
        for number, (action, *arguments) in enumerate(actions):
            if action == "push":
                seen.append(ring.push(record(number, arguments[0])))
            elif action == "take":
                records = ring.take(*arguments)
                seen.append(records)
                ring.release(len(numbers(records)), len(records))
            else:
                ring.wait(0)
            seen.append((ring.depth_spans, ring.depth_bytes))
        results.append(seen)
    assert results[0] == results[1]
