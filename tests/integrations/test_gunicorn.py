"""Plain WSGI and ASGI applications that gunicorn loads."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from loopback import serving, serving_wsgi

pytest.importorskip("gunicorn")

from gunicorn.app.base import BaseApplication

from fasttrace.integrations import asgi, gunicorn, wsgi

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "7")])
    return [b"classic"]
"""


def classic(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Length", "7")])
    return [b"classic"]


async def modern(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"modern"})


class Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, app: Any) -> None:
        self.app = app
        super().__init__()

    def load_config(self) -> None:
        pass

    def load(self) -> Any:
        return self.app


@pytest.fixture
def instrumented() -> Iterator[None]:
    gunicorn.instrument(skip="/healthz")
    gunicorn.instrument()
    yield
    gunicorn.uninstrument()
    gunicorn.uninstrument()


@pytest.mark.parametrize(("app", "serve"), [(classic, serving_wsgi), (modern, serving)])
def test_what_it_loads_is_traced_by_its_kind(spans: Any, instrumented: None, app: Any, serve: Any) -> None:
    loaded = Application(app)
    assert loaded.wsgi() is loaded.wsgi()
    with serve(loaded.wsgi()) as url:
        answers = {httpx.get(url + path).content for path in ("/healthz", "/orders")}
    assert len(answers) == 1
    assert [(span.name, span.scope.name) for span in spans()] == [("GET", "fasttrace.integrations.gunicorn")]


@pytest.mark.parametrize("app", [wsgi.TracingMiddleware(classic), asgi.TracingMiddleware(modern)])
def test_what_traces_itself_is_left_alone(instrumented: None, app: Any) -> None:
    assert Application(app).wsgi() is app


def test_what_it_loads_afterwards_is_as_it_was() -> None:
    gunicorn.instrument()
    gunicorn.uninstrument()
    assert Application(classic).wsgi() is classic


@pytest.mark.servers
def test_a_plain_application_is_traced_by_fasttrace_run(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "shop.py").write_text(APP)
    environment = {
        **os.environ,
        "FASTTRACE_EXPORTER": "jsonlines",
        "FASTTRACE_SKIP_PATHS": "/ready*",
        "FASTTRACE_REQUEST_DURATIONS": "true",
        "XDG_STATE_HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "fasttrace", "run", "--", sys.executable, "-m", "gunicorn", "shop:application"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--bind", f"127.0.0.1:{port}"], cwd=tmp_path, env=environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False)
                break
            except httpx.TransportError:
                assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.05)
        assert httpx.get(f"http://127.0.0.1:{port}/orders", trust_env=False).text == "classic"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        finally:
            server.kill()
    text = (tmp_path / "traces.jsonl").read_text()
    assert "/orders" in text and "/ready" not in text, (tmp_path / "log").read_text()
    assert json.loads(text.splitlines()[0])
