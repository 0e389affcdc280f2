"""bench/ and docs/performance.md: the page's tables are made by benchmarks, and these say what is missed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files import each other as those of a program do."""
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.mark.usefixtures("bench")
def test_every_table_of_the_page_is_made_by_a_benchmark() -> None:
    import publish

    tables = list(publish.TABLE.finditer(publish.PAGE.read_text(encoding="utf-8")))
    assert {table["python"] for table in tables} == {"3.11", "3.13", "debian-3.11"}
    for script in {table["command"].split()[0] for table in tables}:
        said = subprocess.run(
            [sys.executable, str(BENCH / script), "--help"], check=True, capture_output=True, text=True
        )
        assert "--markdown" in said.stdout
    for table in tables:
        assert "| --- |" in table["body"], f"{table['python']}: {table['command']} was never run"


@pytest.mark.usefixtures("bench")
def test_every_case_runs_on_both_implementations_and_loses_nothing(core: Any) -> None:
    import cases
    from subjects import ours

    subject = ours.make(core.name)
    assert tuple(subject.loops) == cases.CASES
    for case, loop in subject.loops.items():
        assert loop(range(3)) > 0, case
        subject.drain()


@pytest.mark.usefixtures("bench")
def test_a_promise_that_is_missed_is_said() -> None:
    import compare

    def results(sdk: float, floor: float) -> Any:
        spent = {"cython": 100.0, "python": 1000.0, "floor": 100.0 * floor, "otel": 100.0 * sdk}
        samples = {name: [compare.Sample(value, value, value)] for name, value in spent.items()}
        return dict.fromkeys(compare.PROMISED, samples)

    assert compare.failures(results(sdk=1000, floor=2)) == []
    assert len(compare.failures(results(sdk=9, floor=2))) >= len(compare.PROMISED)
    near = [promise for promise in compare.PROMISED.values() if promise.floor is not None]
    assert len(compare.failures(results(sdk=1000, floor=0.01))) == len(near)
    assert any("pure-Python" in line for line in compare.failures(results(sdk=5, floor=2)))


@pytest.mark.usefixtures("bench")
def test_more_instructions_than_allowed_are_said() -> None:
    import instructions

    maxima = {"span": 1000}
    assert instructions.failures({"span": {"cython": 1029}}, maxima) == []
    assert instructions.failures({"span": {"cython": 1031}}, maxima) != []
