"""docs/sampling.md: its examples run as they stand, and it names every sampler and every name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from fasttrace import sampling
from fasttrace.sampling import names, rules

TEXT = (Path(__file__).parents[2] / "docs" / "sampling.md").read_text()


def test_its_examples_run_as_they_stand() -> None:
    blocks = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)
    assert len(blocks) == 4
    program = (
        "\n".join(blocks)
        + """
for decided in (AlwaysOff(), AlwaysOn(), TraceIdRatio(0.5), Adaptive(10), JaegerRemote("http://localhost:5778")):
    fasttrace.configure(sampler=decided)
"""
    )
    environ = {**os.environ, "FASTTRACE_EXPORTER": "none"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environ)
    assert run.returncode == 0, run.stderr


def test_it_names_every_sampler_and_every_value() -> None:
    kinds = [name for name in sampling.__all__ if isinstance(getattr(sampling, name), type)]
    for name in {*kinds} - {"Incident", "Rule", "Sampler", "UserSampler"}:
        assert f"`{name}(" in TEXT, name
    for name in (*names.ROOTS, *names.PRESETS, "parentbased_", *names.PRODUCTION):
        assert name in TEXT, name
    for word in ("root", "remote", "local", "sampled", "not_sampled", "remote_sampled"):
        assert word in rules.PARENTS
        assert f"`{word}`" in TEXT
