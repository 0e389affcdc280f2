"""A few seconds of coverage-guided fuzzing of each target; the nightly run takes minutes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)
def test_a_few_seconds_of_fuzzing_find_nothing(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--impl") == "python" or sys.version_info[:2] != (3, 11):
        pytest.skip("once is enough: in the compiled leg on 3.11")
    if shutil.which("clang") is None:
        pytest.skip("no clang: apt install clang libclang-rt-14-dev")
    import os

    environment = {**os.environ, "PYTHON": sys.executable}
    run = subprocess.run(
        [str(ROOT / "scripts" / "fuzz"), "5"], capture_output=True, text=True, check=False, timeout=390, env=environment
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    targets = run.stderr.split("== ")[1:]
    assert [target.split()[0] for target in targets] == sorted(path.stem for path in (ROOT / "fuzz").glob("*.py"))
    for target in targets:
        coverage = [int(number) for number in re.findall(r"cov: (\d+)", target)]
        assert coverage, "libFuzzer saw no instrumented code: it was not guided by coverage"
        assert coverage[-1] > 300, "the parsers themselves were not instrumented"
