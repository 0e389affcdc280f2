"""The pytest plugin: there without being asked for, silent until it is, and telling when a test fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import fasttrace
from fasttrace.testing import Spans

tracer = fasttrace.get_tracer("tests.plugin")

APP = """
import fasttrace
tracer = fasttrace.get_tracer("app")

def order(items):
    with tracer.start_as_current_span("GET /orders/{id}"):
        for _ in range(items):
            with tracer.start_as_current_span("SELECT item"):
                pass
"""


def run(folder: Path, tests: str, *options: str) -> str:
    """What pytest says about tests in a folder of their own, with nothing but the installed plugins."""
    (folder / "app.py").write_text(APP)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (folder / "test_app.py").write_text(f"import fasttrace\nimport pytest\nfrom app import order, tracer\n\n{tests}")
    environ = {**os.environ, "PYTHONPATH": str(folder), "PYTEST_ADDOPTS": "", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert not (folder / ".fasttrace").exists()
    return done.stdout


def outcomes(out: str) -> dict[str, int]:
    return {
        word.rstrip("s"): int(count)
        for count, word in re.findall(r"(\d+) (passed|failed|errors?)", out.splitlines()[-1])
    }


def test_the_fixture_is_there(spans: Spans) -> None:
    with tracer.start_as_current_span("span"):
        pass
    assert spans.tree() == "span"


def test_a_package_that_is_there_before_pytest_is_no_warning() -> None:
    from _pytest.assertion.rewrite import AssertionRewriter

    assert AssertionRewriter.is_rewrite_disabled(fasttrace.__doc__ or "")


@pytest.mark.servers
def test_each_test_has_its_own_also_in_several_processes(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    tests = """
@pytest.mark.parametrize("items", range(8))
def test_items(spans, items):
    order(items)
    assert len(spans.all("SELECT item")) == items
    spans.max("SELECT*", count=6)
"""
    out = run(tmp_path, tests, "-n", "2")
    assert outcomes(out) == {"passed": 7, "failed": 1}
    assert "7 spans named 'SELECT*': at most 6 were expected" in out
    assert "below 'GET /orders/{id}':\nE           7 x SELECT item" in out
    assert out.count("fasttrace spans") == 1


def test_a_failed_test_shows_its_spans_and_a_passed_one_does_not(tmp_path: Path) -> None:
    tests = """
@pytest.fixture
def broken(spans):
    order(1)
    raise RuntimeError("in the setup")

def test_passes(spans):
    order(3)

def test_fails(spans):
    with tracer.start_as_current_span("around"):
        order(2)
        assert False

def test_traces_nothing(spans):
    assert False

def test_setup_fails(broken):
    pass

def test_without():
    order(1)
    assert False

@pytest.mark.xfail(strict=True)
def test_expected(spans):
    order(1)
    assert False
"""
    out = run(tmp_path, tests)
    assert outcomes(out) == {"passed": 1, "failed": 3, "error": 1}
    assert out.count("fasttrace spans") == 2
    pytest.importorskip("rich")
    assert "critical path" in out
    assert "GET /orders/{id}" in out


def test_without_rich_a_failed_test_shows_the_tree(tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError('rich', name='rich')")
    out = run(tmp_path, "def test_fails(spans):\n    order(1)\n    assert False\n")
    assert "GET /orders/{id}\n└─ SELECT item\n" in out
    assert "critical path" not in out


def test_a_session_that_does_not_use_it_loads_and_traces_nothing(tmp_path: Path) -> None:
    """Nor does one that has a fixture of the same name."""
    (tmp_path / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef spans():\n    return 'mine'\n")
    tests = """
import sys
heavy = ("rich", "urllib3", "opentelemetry", "fasttrace.local", "fasttrace.testing.capture", "fasttrace.resource")
loaded = [name for name in heavy if name in sys.modules]

def test_nothing(spans):
    assert spans == "mine"
    assert loaded == []
    assert not tracer.start_span("span").is_recording()
    assert fasttrace.stats()["started"] == 0
"""
    said = run(tmp_path, tests, "-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:benchmark")
    assert outcomes(said) == {"passed": 1}, said


@pytest.fixture
def asynchronous(spans: Spans) -> Any:
    async def work(name: str) -> None:
        with tracer.start_as_current_span(name):
            pass

    return work


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asynchronous_test_has_its_own(anyio_backend: str, spans: Spans, asynchronous: Any) -> None:
    await asynchronous("here")
    assert spans.tree() == "here"


def test_starlettes_client_runs_the_application_in_a_portal(spans: Spans) -> None:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would rather have another client
        from starlette.testclient import TestClient

    from fasttrace.integrations.asgi import TracingMiddleware

    def charge() -> None:
        with tracer.start_as_current_span("charge"):
            pass

    async def asynchronously(request: Any) -> PlainTextResponse:
        charge()
        return PlainTextResponse("paid", background=BackgroundTask(charge))

    def synchronously(request: Any) -> PlainTextResponse:
        charge()
        return PlainTextResponse("paid")

    app = TracingMiddleware(Starlette(routes=[Route("/a/{id}", asynchronously), Route("/s/{id}", synchronously)]))
    client = TestClient(app)
    assert client.get("/a/5").text == client.get("/s/5").text == "paid"
    assert spans.one("GET /a/{id}", {"http.response.status_code": 200}).kind == fasttrace.SpanKind.SERVER
    assert spans.tree() == "GET /a/{id}\n├─ charge\n└─ charge\nGET /s/{id}\n└─ charge"
