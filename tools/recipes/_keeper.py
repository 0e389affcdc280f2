"""Runs a peer for as long as its parent lives: ``python _keeper.py SECONDS COMMAND...``, in a process group of its own.

Its standard input is a pipe that nobody writes to. When that ends, because it was closed or because the parent is gone,
however it went, the whole group ends: it is asked to, and killed after so many seconds.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time


def main() -> int:
    """The exit code of the command; the group is killed on the way out."""
    if os.getpgrp() != os.getpid():
        sys.exit("_keeper.py wants a process group of its own: it ends all of it")
    # A handler, not SIG_IGN, which the peer would inherit.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    grace = float(sys.argv[1])
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    gone = os.pidfd_open(child.pid)
    ready, _, _ = select.select([0, gone], [], [])
    if gone not in ready:
        os.killpg(0, signal.SIGTERM)
        deadline = time.monotonic() + grace
        select.select([gone], [], [], grace)
        # The peer's own children may take a moment longer.
        while len(_members()) > 1 and time.monotonic() < deadline:
            time.sleep(0.02)
    code = child.poll()
    if len(_members()) > 1:
        os.killpg(0, signal.SIGKILL)
    return 1 if code is None else abs(code)


def _members() -> list[int]:
    """The live processes of this group."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    state, _parent, group = file.read().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == os.getpid() and state != "Z":
                found.append(int(entry))
    return found


if __name__ == "__main__":
    sys.exit(main())
