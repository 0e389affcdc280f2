"""gevent, monkey-patched, in a process that forks and then executes another program."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec

import pytest
from world import FORKS_WITH_THREADS, World

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import os, platform, subprocess, sys
import fasttrace, gevent, traced

def greenlet():
    for _ in range(5):
        traced.work("greenlet")
        gevent.sleep(0.002)
        assert subprocess.run(["uname"], capture_output=True).stdout == b"Linux\\n"
        pid = os.fork()
        if pid == 0:
            os.execv("/bin/uname", ["uname"])
        os.waitpid(pid, 0)

gevent.joinall([gevent.spawn(greenlet) for _ in range(3)], raise_error=True)
# gevent connects with the help of a thread, and from 3.12 on there are no new ones at interpreter exit.
assert fasttrace.flush(20)
"""


def test_forks_under_gevent_that_execute_uname_send_nothing_twice(world: World) -> None:
    if find_spec("gevent") is None:  # not imported here: they hook forks
        pytest.skip("not installed")
    world.environment["DELAY"] = "0.002"
    world.run(PROGRAM, warnings=("default", *FORKS_WITH_THREADS[1:]))
    kinds = Counter(name.partition("/")[0] for *_, name in world.check())
    assert kinds == {"greenlet": 15, "inner": 15}
