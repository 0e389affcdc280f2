"""gunicorn: workers that are forked, recycled and ended, from a master with and without a live pipeline."""

from __future__ import annotations

import sys

import pytest
from world import Server, World

pytestmark = pytest.mark.servers


def gunicorn(*options: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "traced:application", "--bind", "127.0.0.1:{port}", *options]


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
@pytest.mark.parametrize("kind", [["sync"], ["gthread", "--threads", "3"]], ids=["sync", "gthread"])
def test_every_span_of_every_worker_arrives_once(world: World, kind: list[str], preload: list[str]) -> None:
    world.environment["AT_IMPORT"] = "span"
    with Server(world, gunicorn("--workers", "2", "--worker-class", *kind, *preload)) as server:
        server.get(20, workers=2)
    importers = [server.process.pid] if preload else [pid for pid in world.accounts() if pid != server.process.pid]
    assert len(importers) == (1 if preload else 2)
    also = [f"{kind}/{pid}" for pid in importers for kind in ("import", "inner")]
    world.check(server.expected(*also))
    assert {int(pid) for pid in server.requests} <= set(world.accounts()), "a worker left without its exit handlers"


def test_workers_that_are_recycled_lose_nothing(world: World) -> None:
    with Server(world, gunicorn("--workers", "2", "--max-requests", "5", "--preload")) as server:
        server.get(30, workers=4)
    world.check(server.expected())
