"""Threads of ours: the main thread's signals stay the main thread's."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

import fasttrace

TASKS = Path("/proc/self/task")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_background_thread_takes_no_signal_that_would_have_woken_the_main_thread() -> None:
    before = set(os.listdir(TASKS))
    provider = fasttrace.TracerProvider(exporter="none")
    provider.get_tracer("x").start_span("x").end()
    assert provider.flush(60)  # by then it runs
    try:
        (ours,) = set(os.listdir(TASKS)) - before
        fields = dict(line.split(":", 1) for line in (TASKS / ours / "status").read_text().splitlines())
        blocked = int(fields["SigBlk"], 16)
    finally:
        provider.shutdown(5)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1):
        assert blocked >> number - 1 & 1, number
    for number in (signal.SIGSEGV, signal.SIGFPE, signal.SIGPROF):  # faults are the thread's own
        assert not blocked >> number - 1 & 1, number
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set(), "this thread has lost its signals"
