"""uWSGI, which forks without Python's hooks unless it is told to call them, with threads and without."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from world import Server, World

pytestmark = pytest.mark.servers

HOOKS = {"no hooks": [], "after fork": ["--py-call-osafterfork"], "all hooks": ["--py-call-uwsgi-fork-hooks"]}


def uwsgi(*options: str) -> list[str]:
    program = shutil.which("uwsgi", path=os.fspath(Path(sys.executable).parent))
    if program is None:
        pytest.skip("no uWSGI: pip install pyuwsgi")
    command = [program, "--http-socket", "127.0.0.1:{port}", "--module", "traced:application", "--need-app", "--master"]
    return [*command, "--workers", "2", "--die-on-term", "--disable-logging", *options]


@pytest.mark.parametrize("hooks", HOOKS)
@pytest.mark.parametrize("threads", [[], ["--enable-threads"]], ids=["no threads", "threads"])
def test_workers_forked_from_a_live_pipeline_send_every_span_once(world: World, threads: list[str], hooks: str) -> None:
    # The master runs no exit handlers, and without threads nothing in the background: what it traced is sent before.
    # With threads uWSGI forks without the GIL, unless all hooks are on: a thread that has it then hangs the child.
    at_import = ("span" if hooks == "all hooks" else "asleep") if threads else "flush"
    world.environment.update({"AT_IMPORT": at_import, "DELAY": "0.1" if threads else "60"})
    with Server(world, uwsgi(*threads, *HOOKS[hooks])) as server:
        server.get(20, workers=2)
        world.receiver.spans(2)
    master = [f"{kind}/{server.process.pid}" for kind in ("import", "inner")]
    assert {int(pid) for pid in server.requests} == set(world.accounts()), "a worker left without its exit handlers"
    world.check(server.expected(*master), unaccounted=2)


@pytest.mark.parametrize("threads", [[], ["--enable-threads"]], ids=["no threads", "threads"])
def test_lazy_workers_send_every_span_once(world: World, threads: list[str]) -> None:
    world.environment["AT_IMPORT"] = "span"
    with Server(world, uwsgi("--lazy-apps", *threads)) as server:
        server.get(20, workers=2)
    assert {int(pid) for pid in server.requests} == set(world.accounts())
    world.check(server.expected(*(f"{kind}/{pid}" for pid in world.accounts() for kind in ("import", "inner"))))
