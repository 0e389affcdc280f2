"""Ids: never zero, never repeated, whatever the application does to its own randomness."""

from __future__ import annotations

import ctypes
import os
import random
import struct
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest


def test_trace_ids_use_all_128_bits_and_are_never_zero(core: Any) -> None:
    ids = [core.ids.generate_trace_id() for _ in range(20_000)]
    assert len(set(ids)) == len(ids)
    assert 0 not in ids
    ones, zeros = 0, 0
    for number in ids:
        ones |= number
        zeros |= ~number
    assert ones == 2**128 - 1
    assert zeros & (2**128 - 1) == 2**128 - 1


def test_span_ids_use_all_64_bits_and_are_never_zero(core: Any) -> None:
    ids = [core.ids.generate_span_id() for _ in range(20_000)]
    assert len(set(ids)) == len(ids)
    assert 0 not in ids
    ones, zeros = 0, 0
    for number in ids:
        ones |= number
        zeros |= ~number
    assert ones == 2**64 - 1
    assert zeros & (2**64 - 1) == 2**64 - 1


def test_every_bit_of_a_span_id_is_set_half_of_the_time(core: Any) -> None:
    count = 20_000
    ids = [core.ids.generate_span_id() for _ in range(count)]
    for bit in range(64):
        share = sum(number >> bit & 1 for number in ids) / count
        assert abs(share - 0.5) < 0.03, f"bit {bit}"  # 8 standard deviations


def test_random_seed_neither_repeats_ids_nor_is_disturbed_by_them(core: Any) -> None:
    random.seed(42)
    first = (core.ids.generate_trace_id(), core.ids.generate_span_id())
    expected = random.random()
    random.seed(42)
    second = (core.ids.generate_trace_id(), core.ids.generate_span_id())
    assert random.random() == expected
    assert first != second


def _fork_without_hooks() -> int:
    """A fork of which Python learns nothing, as uWSGI's."""
    return int(ctypes.PyDLL(None).fork())


FORKS = pytest.mark.parametrize("fork", [os.fork, _fork_without_hooks])


def _ids_of_a_child(core: Any, count: int, fork: Callable[[], int], forks: int = 1) -> list[int]:
    """Ids drawn in a forked child, or in its own forked child."""
    reader, writer = os.pipe()
    child = fork()
    if child == 0:
        try:
            if forks > 1:
                ids = _ids_of_a_child(core, count, fork, forks - 1)
            else:
                ids = [core.ids.generate_span_id() for _ in range(count)]
            os.write(writer, struct.pack(f"<{count}Q", *ids))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return list(struct.unpack(f"<{count}Q", data))


@FORKS
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_child_process_never_repeats_parent_ids(core: Any, fork: Callable[[], int]) -> None:
    core.ids.generate_span_id()
    generation = core.ids.fork_generation()
    families = [_ids_of_a_child(core, 500, fork) for _ in range(3)]
    families.append(_ids_of_a_child(core, 500, fork, forks=2))
    families.append([core.ids.generate_span_id() for _ in range(500)])
    drawn = [number for family in families for number in family]
    assert len(set(drawn)) == len(drawn)
    assert core.ids.fork_generation() == generation


@FORKS
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_generation_is_another_one_in_a_child_and_in_its_child(core: Any, fork: Callable[[], int]) -> None:
    generation = core.ids.fork_generation()
    child = fork()
    if child == 0:
        own = core.ids.fork_generation()
        grandchild = fork()
        if grandchild == 0:
            os._exit(0 if core.ids.fork_generation() not in (generation, own) else 1)
        os._exit(0 if os.waitpid(grandchild, 0)[1] == 0 and own != generation else 1)
    assert os.waitpid(child, 0)[1] == 0


@FORKS
@pytest.mark.parametrize("advice", ["refused", "ignored", "no ctypes"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_where_no_memory_is_wiped_the_pure_python_core_asks_for_the_process_id(
    advice: str, fork: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fasttrace._core import load
    from fasttrace._core._python import process

    ids = load("python")[2]["ids"]
    if sys.platform == "linux":
        assert type(process.mark()) is not process._ProcessId
    normal = 0  # madvise(2): MADV_NORMAL, which promises nothing
    if advice == "refused":
        monkeypatch.setattr(process, "_WIPE_ON_FORK", -1)
    elif advice == "ignored":
        monkeypatch.setattr(process, "_WIPE_ON_FORK", normal)
        monkeypatch.setattr(process, "_NO_ADVICE", normal)
    else:
        monkeypatch.setitem(sys.modules, "_ctypes", None)
    for name in ("_draw", "_generation"):
        monkeypatch.setattr(ids, name, getattr(ids, name))  # as they were, afterwards
    monkeypatch.setattr(ids, "_own", False)
    ids.fork_generation()
    assert type(ids._own) is process._ProcessId
    test_child_process_never_repeats_parent_ids(SimpleNamespace(ids=ids), fork)


def test_threads_never_repeat_ids(core: Any) -> None:
    drawn: list[list[int]] = [[] for _ in range(8)]
    barrier = threading.Barrier(8)

    def draw(into: list[int]) -> None:
        barrier.wait(60)
        into.extend(core.ids.generate_trace_id() for _ in range(2_000))

    threads = [threading.Thread(target=draw, args=(into,)) for into in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = [number for ids in drawn for number in ids]
    assert len(together) == 16_000
    assert len(set(together)) == len(together)


def test_new_traces_carry_the_random_flag(traced: Any) -> None:
    with traced.tracer.start_as_current_span("root") as span:
        assert span.trace_flags == 0x03  # sampled and random, W3C Trace Context level 2, section 3.2.2.3.2
