"""The store alone: traces of 6 spans of 220 bytes, in, and out or evicted; promised: a million records/s on a core."""

from typing import Any

import pytest

from fasttrace._core import layout

SPANS = 6
BATCH = 85 * SPANS
SIZE = 220


def batches(count: int, flags: int) -> list[bytes]:
    """So many batches of whole traces whose ids are all different."""

    def record(trace: int, span: int) -> bytes:
        ids = (trace * 0x9E3779B97F4A7C15 % (1 << 128)).to_bytes(16, "big"), span.to_bytes(8, "big")
        root = layout.RECORD_FLAG_LOCAL_ROOT if span == SPANS - 1 else 0
        header = (layout.RECORD_MAGIC, layout.RECORD_KIND_SPAN, flags | root, SIZE, 0, 0, 0, 0, *ids, 0, 10**6)
        return layout.RECORD_HEADER.pack(*header).ljust(SIZE, b"x")

    traces = BATCH // SPANS
    return [
        b"".join(record(1 + number * traces + trace, span) for trace in range(traces) for span in range(SPANS))
        for number in range(count)
    ]


@pytest.mark.parametrize("path", ["kept", "held_and_evicted"])
def test_add_tick_and_take_200_batches_of_510_records(core: Any, benchmark: Any, path: str) -> None:
    # So many traces that their ids are forgotten before they come again.
    data = batches(200, layout.RECORD_FLAG_SAMPLED if path == "kept" else 0)
    store = core.store.Store(max_bytes=4 << 20)
    now = 0

    def turn() -> None:
        nonlocal now
        for records in data:
            now += 500_000
            store.add(records, now)
            store.tick(now)
            while store.take(512, 1 << 20):
                pass

    benchmark(turn)
    benchmark.extra_info["records_per_second"] = round(200 * BATCH / benchmark.stats.stats.median)
    stats = store.stats()
    assert stats["kept_traces"] if path == "kept" else stats["sampled_out"] + stats["trace_evicted"]
