"""uvicorn with two workers, which are spawned, and which it ends by SIGTERM."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from world import Server, World

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_every_span_of_every_worker_arrives_once(world: World, lifespan: str) -> None:
    # uvicorn ends its workers by raising the signal again, which skips every exit handler of Python's.
    if lifespan == "off":
        world.environment["FASTTRACE_FLUSH_ON_SIGTERM"] = "true"
    options = ["--workers", "2", "--lifespan", lifespan, "--host", "127.0.0.1"]
    command = [sys.executable, "-m", "uvicorn", "asgi:application", *options]
    with Server(world, [*command, "--port", "{port}"]) as server:
        server.get(20, workers=2)
    count = 2 * sum(server.requests.values())
    spans = world.receiver.spans(count)
    assert len(spans) == count
    world.check_spans(spans)
    inner = Counter(name for *_, name in spans if name != "GET")
    assert inner == {f"inner/{pid}": number for pid, number in server.requests.items()}
    parents = {parent for _, _, parent, name in spans if name != "GET"}
    assert parents == {span for _, span, _, name in spans if name == "GET"}
