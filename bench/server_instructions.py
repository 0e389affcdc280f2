"""Instructions that tracing adds to the ASGI request of 5 spans: ``python bench/server_instructions.py [--check]``.

The requests of ``servers.py``, every one sampled, counted by ``valgrind --tool=callgrind``: a process makes so many,
another one twice as many, and what differs is theirs. All threads count, until the spans are encoded; nothing is sent.

``--check`` exits with 1 when ours adds more than 1/15 of the SDK's.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from promises import IMPLEMENTATIONS, Promises, choose, heading, table
from servers import application, request, traced
from tasks import ours, theirs

SUBJECTS = ("bare", *IMPLEMENTATIONS, "SDK")
WARM = 100
# Of each subject; the interpreter of the SDK's runs some hundred times slower in there.
REQUESTS = {"bare": 400, "cython": 400, "python": 100, "SDK": 50}


def app_of(name: str) -> tuple[Any, Any]:
    """The application, and what brings its spans to bytes."""
    if name == "bare":
        return application, lambda: None
    start, flush, provider = (theirs if name == "SDK" else ours)()
    if name == "SDK":
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        return OpenTelemetryMiddleware(traced(start), tracer_provider=provider), flush
    from fasttrace.integrations.asgi import TracingMiddleware

    return TracingMiddleware(traced(start), tracer=provider.get_tracer("bench")), flush


def child(name: str, requests: int) -> None:
    choose(name)
    app, flush = app_of(name)
    call = request(app)
    for _ in range(WARM):
        call()
    flush()
    gc.collect()
    gc.disable()
    for _ in range(requests):
        call()
    flush()


def collected(name: str, requests: int) -> int:
    """Instructions of a whole process."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__]
    done = subprocess.run(
        [*command, "--child", name, str(requests)],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1])


def main() -> int:
    promises = Promises(__doc__)
    if promises.child:
        child(promises.child[0], int(promises.child[1]))
        return 0
    if shutil.which("valgrind") is None:
        print("skipped, needs valgrind")
        return 0
    names = [name for name in SUBJECTS if name != "python"] if promises.quick else SUBJECTS
    counts = {}
    for name in names:
        requests = REQUESTS[name]
        counts[name] = (collected(name, 2 * requests) - collected(name, requests)) / requests
    print(heading())
    added = {name: counts[name] - counts["bare"] for name in counts if name != "bare"}
    rows = [(name, f"{own:,.0f}", f"1/{added['SDK'] / own:.1f}") for name, own in added.items()]
    table(("", "instructions added to a request", "of the SDK's"), rows)
    promises.at_least("instructions, SDK / cython", added["SDK"] / added["cython"], 15, "x")
    return promises.exit_code()


if __name__ == "__main__":
    sys.exit(main())
