"""Records as many large spans as asked for, faster than they can go on, until all are delivered.

``python flooding.py COUNT``: the exporter is configured by the environment. Prints one line with the first error, waits for
a line, and prints ids and accounts as JSON when nothing is left.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import fasttrace

PAYLOAD = "x" * 20_000
SECONDS = 90


def main() -> None:
    count = int(sys.argv[1])
    fasttrace.configure(service_name="flooding", schedule_delay=0.05)
    tracer = fasttrace.get_tracer("interop.flooding")
    deadline = time.monotonic() + SECONDS
    asked = threading.Event()
    threading.Thread(target=_tell, args=(asked, deadline), daemon=True).start()
    ids = []
    for _ in range(count):
        with tracer.start_as_current_span("large", attributes={"payload": PAYLOAD}) as span:
            ids.append(span.span_id_hex)
        while fasttrace.stats()["queued"] > 100 and time.monotonic() < deadline:
            time.sleep(0.005)
    asked.wait(SECONDS)
    while fasttrace.stats()["exported"] < count and time.monotonic() < deadline:
        fasttrace.flush(timeout=1)
    fasttrace.shutdown(timeout=10)
    print(json.dumps({"ids": ids, "stats": fasttrace.stats()}, default=repr))


def _tell(asked: threading.Event, deadline: float) -> None:
    while not (error := fasttrace.stats()["last_error"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    print(error, flush=True)
    sys.stdin.readline()
    asked.set()


if __name__ == "__main__":
    main()
