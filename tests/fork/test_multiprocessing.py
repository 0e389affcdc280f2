"""multiprocessing by all its start methods, pools of processes, and programs that are started rather than forked."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec

import pytest
from world import FORKS_WITH_THREADS, World

PROCESSES = """
import multiprocessing, sys, traced

def work(number):
    traced.work("child")

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    traced.work("before")
    children = [context.Process(target=work, args=(number,)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    traced.work("after")
"""

POOL = """
import multiprocessing, sys, traced
from concurrent.futures import ProcessPoolExecutor

def work(number):
    return traced.work("child")

if __name__ == "__main__":
    traced.work("before")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
        print(*pool.map(work, range(20)))
"""

OLD_POOL = """
import multiprocessing, sys, traced

def work(number):
    return traced.work("child")

if __name__ == "__main__":
    traced.work("before")
    with multiprocessing.get_context(sys.argv[1]).Pool(2, maxtasksperchild=3) as pool:
        print(*pool.map(work, range(12), chunksize=1))
        pool.close()
        pool.join()
"""

BILLIARD = """
import billiard, traced

def work():
    traced.work("child")

if __name__ == "__main__":
    traced.work("before")
    children = [billiard.Process(target=work) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
"""


def run(world: World, text: str, *arguments: str) -> str:
    """Run a program from a file, which spawned children import again."""
    program = world.folder / "program.py"
    program.write_text(text)
    return world.run(program, *arguments, warnings=FORKS_WITH_THREADS)


def kinds(spans: list[list[str]]) -> Counter[str]:
    return Counter(name.partition("/")[0] for *_, name in spans)


METHODS = ["fork", "forkserver", "spawn"]


@pytest.mark.parametrize("method", METHODS)
def test_children_of_every_start_method_send_what_they_traced(world: World, method: str) -> None:
    run(world, PROCESSES, method)
    # Children of multiprocessing run no exit handlers before 3.13: only the main process is sure to leave accounts.
    spans = world.receiver.spans(10)
    assert kinds(spans) == {"before": 1, "after": 1, "child": 3, "inner": 5}
    world.check_spans(spans)


@pytest.mark.parametrize("text", [POOL, OLD_POOL], ids=["ProcessPoolExecutor", "Pool"])
@pytest.mark.parametrize("method", METHODS)
def test_pools_of_processes_send_every_task(world: World, method: str, text: str) -> None:
    tasks = Counter(run(world, text, method).split())
    spans = world.receiver.spans(2 * tasks.total() + 2)
    world.check_spans(spans)
    names = Counter(name for *_, name in spans if name.startswith("child/"))
    assert names == {f"child/{pid}": count for pid, count in tasks.items()}
    assert kinds(spans) == {"before": 1, "child": tasks.total(), "inner": tasks.total() + 1}


def test_children_of_billiard_send_what_they_traced(world: World) -> None:
    if find_spec("billiard") is None:  # not imported here: they hook forks
        pytest.skip("not installed")
    run(world, BILLIARD)
    spans = world.receiver.spans(8)
    world.check_spans(spans)
    assert kinds(spans) == {"before": 1, "child": 3, "inner": 4}


STARTED = """
import os, subprocess, sys, traced
threads = "import os; print(len(os.listdir('/proc/self/task')))"
for number in range(5):
    with traced.tracer.start_as_current_span(f"parent/{os.getpid()}"):
        run = subprocess.run([sys.executable, "-c", threads], capture_output=True, text=True)
        assert run.stdout == "1\\n", run
        run = subprocess.run(["uname"], preexec_fn=lambda: None, capture_output=True)
        assert run.returncode == 0
        pid = os.posix_spawn("/bin/true", ["true"], os.environ)
        assert os.waitpid(pid, 0)[1] == 0
"""


def test_programs_that_are_started_send_nothing_of_ours(world: World) -> None:
    world.environment["DELAY"] = "0.01"
    run(world, STARTED)
    assert kinds(world.check()) == {"parent": 5}
