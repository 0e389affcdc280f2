"""celery's prefork pool: billiard's children leave by os._exit, one task each if asked to."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from world import World

pytestmark = pytest.mark.servers

# Six tasks, and more until so many children have done some: on a busy machine one may take all that there are.
SEND = """
import sys, tasks, time
children, deadline = set(), time.monotonic() + 60
while len(children) < int(sys.argv[1]) and time.monotonic() < deadline:
    for result in [tasks.traced_task.delay() for _ in range(6)]:
        child = result.get(timeout=60)
        children.add(child)
        print(child)
"""


@pytest.mark.parametrize("recycled", [["--max-tasks-per-child", "1"], []], ids=["a child a task", "children that stay"])
def test_every_span_of_every_child_arrives_once(world: World, recycled: list[str]) -> None:
    for name in ("queue", "results"):
        (world.folder / name).mkdir()
    world.environment["BROKER"] = str(world.folder)
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2"]
    with world.log.open("wb") as log:
        worker = subprocess.Popen(
            [*command, *recycled], cwd=world.folder, env=world.environment, stdout=log, stderr=log
        )
    try:
        tasks = Counter(world.run(SEND, "6" if recycled else "2", warnings=("default",)).split())
        worker.terminate()
        worker.wait(60)
    finally:
        worker.kill()
        worker.wait()
    assert len(tasks) == (6 if recycled else 2), world.log.read_text()
    assert not recycled or set(tasks.values()) == {1}
    expected = Counter({f"task/{pid}": count for pid, count in tasks.items()})
    expected.update({f"inner/{pid}": count for pid, count in tasks.items()})
    spans = world.receiver.spans(2 * sum(tasks.values()))
    assert Counter(name for *_, name in spans) == expected
