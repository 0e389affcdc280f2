"""`fasttrace sizing` and docs/sizing.md: the same arithmetic, and figures that grow with the load as they must."""

from __future__ import annotations

import json
import math
import re
import shlex
from typing import Any

import manifests
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasttrace.cli import main
from fasttrace.sampling import collector
from fasttrace.sampling.collector import sizing
from fasttrace.sampling.collector.sizing import Load

TEXT = (manifests.ROOT / "docs" / "sizing.md").read_text()
loads = st.builds(
    Load,
    spans=st.floats(1, 1e7),
    spans_per_trace=st.floats(1, 1000),
    span_bytes=st.integers(50, 5000),
    nodes=st.integers(1, 1000),
    decision_wait=st.floats(1, 600),
    kept=st.floats(0, 1),
    outage=st.floats(1, 1e5),
    sampler_memory=st.integers(sizing.SMALLEST_SAMPLER_BYTES, 64 << 30),
)


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"```sh\n(.+?)\n```", TEXT)
    (shown,) = re.findall(r"```text\n(.+?)```", TEXT, re.DOTALL)
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out == shown


def test_the_pages_arithmetic_by_hand() -> None:
    load = Load(spans=50_000, spans_per_trace=20, span_bytes=300, nodes=20, decision_wait=30)
    agents, balancers, samplers = sizing.plan(load)
    assert (agents.replicas, balancers.replicas, samplers.replicas) == (20, 2, 4)
    assert agents.cores == pytest.approx(2500 * 5e-6 / 0.6)
    # 50,000 x 30 s x 300 bytes x 5.5, and 2 x 2,500 x 30 s x 8 x 120 bytes, by 2 GiB x 0.6 - 100 MiB.
    held, cached, room = 50_000 * 30 * 300 * 5.5, 2 * 2500 * 30 * 8 * 120, (2 << 30) * 0.6 - (100 << 20)
    assert samplers.replicas == math.ceil((held + cached) / room) + 1
    assert agents.disk_bytes == 2500 * 300 * 600
    assert "--num-traces 50000" in sizing.options(load)["sampler"]


def test_the_constants_of_the_page_are_those_of_the_command() -> None:
    counted = re.findall(r"^\| .+ \| .+ \| ([\d.]+)(?: us)? \|$", TEXT, re.MULTILINE)
    constants = (sizing.AGENT_MICROSECONDS, sizing.BALANCER_MICROSECONDS, sizing.SAMPLER_MICROSECONDS, sizing.OBJECT_FACTOR)  # fmt: skip
    assert tuple(map(float, counted)) == constants
    measured = re.findall(r"^\| .+ \| ([\d.]+) (?:us|bytes).* \| [\d.]+(?: us)? \|$", TEXT, re.MULTILINE)
    assert all(float(one) <= constant for one, constant in zip(measured, constants, strict=True))


@given(loads)
def test_all_but_one_sampler_hold_what_waits(load: Load) -> None:
    _, _, samplers = sizing.plan(load)
    held = load.spans * load.decision_wait * load.span_bytes * sizing.OBJECT_FACTOR
    assert held <= (samplers.replicas - 1) * load.sampler_memory * sizing.USABLE_SHARE
    traces = int(re.findall(r"--num-traces (\d+)", sizing.options(load)["sampler"])[0])
    assert traces * (samplers.replicas - 1) >= 2 * load.traces * load.decision_wait * 0.999


@given(loads, st.floats(1, 100))
def test_more_load_never_needs_less(load: Load, factor: float) -> None:
    more = Load(**{**vars(load), "spans": load.spans * factor})
    for one, other in zip(sizing.plan(load), sizing.plan(more), strict=True):
        assert other.replicas >= one.replicas


@settings(max_examples=20)
@given(loads)
def test_what_it_says_to_the_other_command_is_understood(load: Load) -> None:
    from fasttrace.cli.parser import build_parser

    for role, options in sizing.options(load).items():
        arguments = build_parser().parse_args(["collector-config", "--tier", role, *options.split()])
        hosting = collector.Hosting(data_dir="/d", queue_bytes=arguments.queue_size)
        text = collector.agent("a:1", hosting) if role == "agent" else collector.sampler((), "a:1", hosting=hosting)
        assert f"queue_size: {arguments.queue_size}\n" in text


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sizing", "--spans", "50000", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [tier["name"] for tier in found["tiers"]] == ["agent", "load-balancer", "sampler"]
    assert set(found["options"]) == {"agent", "sampler"} and found["load"]["spans"] == 50000


@pytest.mark.parametrize("argv", [["--spans", "0"], ["--spans", "many"], [], ["--spans", "1", "--kept", "2"]])
def test_loads_that_are_none_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sizing", *argv])
    assert ended.value.code == 2
    assert "sizing" in capsys.readouterr().err


def test_a_sampler_without_room_for_itself_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sizing", "--spans", "1", "--sampler-memory", "100MiB"]) == 1
    assert "use 512MiB or more" in capsys.readouterr().err
