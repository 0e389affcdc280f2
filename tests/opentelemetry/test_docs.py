"""docs/opentelemetry.md: its programs run as they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "opentelemetry.md").read_text()
PROGRAMS = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_its_programs_run_as_they_stand(program: Callable[..., str], number: int) -> None:
    program(PROGRAMS[number], OTEL_TRACES_EXPORTER="none")


def test_it_has_programs() -> None:
    assert len(PROGRAMS) == 2
