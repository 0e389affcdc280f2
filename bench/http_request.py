"""A request between services, as the benchmarks see it."""

from __future__ import annotations

from typing import Any

# What a request between services brings: traceparent among eleven others.
REQUEST_HEADERS = {
    "host": "checkout.example",
    "user-agent": "client/1.0",
    "accept": "application/json",
    "accept-encoding": "gzip",
    "connection": "keep-alive",
    "content-length": "512",
    "content-type": "application/json",
    "authorization": "Bearer token",
    "x-request-id": "6f1c9a3e",
    "x-forwarded-for": "10.0.0.7",
    "x-forwarded-proto": "https",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


def asgi_scope(method: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """One request as an ASGI server hands it to an application; a new one each time, for applications write into it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/orders/7",
        "raw_path": b"/orders/7",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1234),
        "server": ("checkout.example", 80),
    }
