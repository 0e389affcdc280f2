"""``opentelemetry-instrument`` on a Flask and a FastAPI application, in an environment without the SDK, then with it."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path
from typing import Any

import pytest
from receiving import free_port

pytestmark = pytest.mark.build
ROOT = Path(__file__).parents[2]
APPS = {
    "flask": """
import sys
import flask
app = flask.Flask("shop")

@app.get("/orders/<int:number>")
def order(number):
    return {"number": number, "sdk": "opentelemetry.sdk.trace" in sys.modules}
""",
    "fastapi": """
import sys
import fastapi
app = fastapi.FastAPI()

@app.get("/orders/{number}")
async def order(number: int):
    return {"number": number, "sdk": "opentelemetry.sdk.trace" in sys.modules}
""",
}
SERVERS = {"flask": "flask --app app run --port {port}", "fastapi": "uvicorn app:app --port {port}"}
SPAN = {"flask": "GET /orders/<int:number>", "fastapi": "GET /orders/{number}"}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ours, the servers, and the instrumentations; no SDK."""
    if request.config.getoption("--impl") == "python":
        pytest.skip("once is enough: it is the pure build in both legs")
    home = tmp_path_factory.mktemp("instrumented")
    venv.create(home, with_pip=True)
    names = ["flask", "fastapi", "uvicorn"]
    names += [f"opentelemetry-instrumentation-{name}" for name in ("flask", "fastapi")]
    install(home, f"{ROOT}[opentelemetry]", *names, FASTTRACE_BUILD="pure")
    return home


def install(home: Path, *names: str, **variables: str) -> None:
    command = [home / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *names]
    subprocess.run(command, check=True, env={**os.environ, **variables}, timeout=170)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["flask", "fastapi"])
@pytest.mark.parametrize("sdk", [False, True], ids=["without the SDK", "beside the SDK"])
def test_a_request_is_traced_with_nothing_but_variables(
    environment: Path, kind: str, sdk: bool, tmp_path: Path, receiver: Any
) -> None:
    installed = any(environment.glob("lib/*/site-packages/opentelemetry/sdk"))
    if sdk and not installed:
        install(environment, "opentelemetry-sdk", "opentelemetry-distro")
    assert sdk or not installed
    (tmp_path / "app.py").write_text(APPS[kind])
    port = free_port()
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "FASTTRACE_"))}
    process = subprocess.Popen(
        ["opentelemetry-instrument", *SERVERS[kind].format(port=port).split()],
        cwd=tmp_path,
        env={
            **unset,
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "FASTTRACE_IMPL": "python",
            "OTEL_PYTHON_CONFIGURATOR": "fasttrace",
            "OTEL_PYTHON_DISTRO": "fasttrace",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.base,
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        answer = get(f"http://127.0.0.1:{port}/orders/7", process)
        (span,) = [line for line in receiver.spans(1) if line[3] == SPAN[kind]]
    finally:
        process.terminate()
        printed = process.communicate(timeout=60)[0]
    assert b'"number":7' in answer.replace(b" ", b"")
    assert (b"true" in answer) <= sdk, "nothing of the SDK is imported where it is not"
    assert [span[0], span[2]] == [TRACE, PARENT]
    assert "Traceback" not in printed, printed


def get(url: str, process: Any) -> bytes:
    """The answer, once the server listens."""
    request = urllib.request.Request(url, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                found: bytes = response.read()
                return found
        except urllib.error.URLError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
