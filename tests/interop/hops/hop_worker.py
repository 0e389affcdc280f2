"""The last process: takes messages by HTTP and does the work in a thread of its own, traced by hand.

It answers what came with the message, and what the worker's thread found current.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import fasttrace

fasttrace.configure()
tracer = fasttrace.get_tracer("worker")
messages: queue.Queue[tuple[dict[str, str], queue.Queue[dict[str, Any]]]] = queue.Queue()


def work() -> None:
    while True:
        headers, answer = messages.get()
        with tracer.start_as_current_span(
            "work", context=fasttrace.extract(headers), kind=fasttrace.SpanKind.CONSUMER
        ) as span:
            found = {name: headers.get(name, "") for name in ("traceparent", "tracestate", "baggage")}
            answer.put({**found, "sampled": span.is_recording(), "user": fasttrace.baggage.get("user")})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        answer: queue.Queue[dict[str, Any]] = queue.Queue()
        messages.put(({name.lower(): value for name, value in self.headers.items()}, answer))
        body = json.dumps(answer.get(timeout=30)).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


threading.Thread(target=work, daemon=True).start()
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
