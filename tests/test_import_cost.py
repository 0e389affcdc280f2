"""What ``import fasttrace`` may cost and load."""

from __future__ import annotations

import subprocess
import sys

# CPU over the bare interpreter, and a generous share for a busy machine: the promise of 15 ms is checked by count of
# what is imported here, and by time in the benchmark.
HEAVY = (
    "urllib3",
    "starlette",
    "uvicorn",
    "httpx",
    "rich",
    "grpc",
    "opentelemetry",
    "asyncio",
    "dataclasses",
    "inspect",
    "json",
    "logging",
    "random",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "typing",
    "urllib",
)


def test_import_loads_neither_urllib3_nor_extras_nor_heavy_modules() -> None:
    # Without site: what the environment's .pth files load is not ours.
    program = (
        "import sys; before = set(sys.modules); sys.path[:0] = %r\n"
        "import fasttrace\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    ) % [path for path in sys.path if path]
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "fasttrace" in loaded
    assert not set(loaded) & set(HEAVY)


def test_import_starts_no_thread_and_opens_no_file() -> None:
    program = (
        "import os, sys; sys.path[:0] = %r\n"
        "before = set(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task'))\n"
        "import fasttrace\n"
        "fasttrace.get_tracer('x').start_span('y').end()\n"
        "assert (set(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task'))) == before"
    ) % [path for path in sys.path if path]
    if sys.platform == "linux":
        subprocess.run([sys.executable, "-S", "-c", program], check=True)
