"""A receiver of OTLP over HTTP that takes everything and counts it, as a process of its own.

It prints its port, and, when its standard input ends, how many spans came in how many requests.
"""

from __future__ import annotations

import http.server
import json
import sys
import threading
from typing import Any

from fasttrace.export.request import count_spans


class Counter(http.server.BaseHTTPRequestHandler):
    """Adds the spans of each request to ``spans``."""

    protocol_version = "HTTP/1.1"
    spans = requests = 0
    lock = threading.Lock()

    def do_POST(self) -> None:
        found = count_spans(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            Counter.spans += found
            Counter.requests += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    print(json.dumps({"spans": Counter.spans, "requests": Counter.requests}), flush=True)


if __name__ == "__main__":
    main()
