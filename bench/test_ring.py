"""The ring alone: 1,000 records in and out."""

from typing import Any

from test_otlp import records


def test_push_and_take_1000_records(core: Any, benchmark: Any) -> None:
    record = records(core, 1)
    ring = core.ring.Ring()

    def turn() -> int:
        for _ in range(1000):
            ring.push(record)
        taken = len(ring.take(1000, 1 << 24))
        ring.release(1000, taken)
        return taken

    assert benchmark(turn) == 1000 * len(record)
