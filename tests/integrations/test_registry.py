"""``fasttrace.instrument`` and ``uninstrument``: by name at once, or all when they are imported."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from loopback import Spans, serving
from succeeding import succeed

import fasttrace
from fasttrace import config
from fasttrace.integrations import _registry

IMPL = os.environ.get("FASTTRACE_IMPL", "")


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(hello) as address:
        yield address


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    yield
    fasttrace.uninstrument()
    assert not _registry._on and not _registry._wanted


def requested(spans: Spans, url: str) -> int:
    """How many spans one request made."""
    before = len(spans())
    assert httpx.get(url, trust_env=False).text == "hello"
    return len(spans()) - before


def program(code: str, *, env: dict[str, str] | None = None) -> str:
    """Run a program with a fresh interpreter: what it printed; no setting of the machine reaches it."""
    variables = {**({"FASTTRACE_IMPL": IMPL} if IMPL else {}), **(env or {})}
    run = succeed([sys.executable, "-W", "error", "-c", code], env=variables)
    return run.stdout + run.stderr


def test_a_library_named_is_traced_at_once_and_once_however_often_it_is_named(spans: Spans, url: str) -> None:
    assert requested(spans, url) == 0
    for _ in range(2):
        assert fasttrace.instrument("httpx") == ["httpx"]
    assert requested(spans, url) == 1
    for undone in (["httpx"], []):
        assert fasttrace.uninstrument("httpx") == undone
    assert requested(spans, url) == 0


def test_options_reach_the_library_that_is_named(spans: Spans, url: str) -> None:
    fasttrace.instrument("httpx", skip=[url])
    assert requested(spans, url) == 0


def test_options_win_over_what_was_instrumented_by_itself(
    spans: Spans, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTTRACE_INSTRUMENT", "httpx")
    fasttrace.instrument()
    assert requested(spans, url) == 1
    fasttrace.instrument("httpx")
    assert requested(spans, url) == 1
    fasttrace.uninstrument()
    fasttrace.instrument()
    fasttrace.instrument("httpx", skip=[url])
    assert requested(spans, url) == 0


def test_an_option_that_does_not_exist_is_refused_with_those_that_do(spans: Spans, url: str) -> None:
    with pytest.raises(fasttrace.ConfigurationError, match=r"instrument\('httpx', skp=...\): it takes .*skip"):
        fasttrace.instrument("httpx", skp=[url])
    with pytest.raises(fasttrace.ConfigurationError, match="options belong to a library"):
        fasttrace.instrument(skip=[url])
    assert requested(spans, url) == 0


def test_a_mistyped_name_is_answered_with_the_right_one_before_anything_is_changed(spans: Spans, url: str) -> None:
    with pytest.raises(fasttrace.ConfigurationError, match="did you mean 'requests'"):
        fasttrace.instrument("httpx", "request")
    assert requested(spans, url) == 0
    with pytest.raises(fasttrace.ConfigurationError, match=r"use .*, httpx, requests"):
        fasttrace.uninstrument("zzz")


def test_a_library_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loguru", None)
    monkeypatch.delitem(sys.modules, "fasttrace.integrations.loguru", raising=False)
    with pytest.raises(ImportError, match=r"instrument\('loguru'\): loguru is not installed: pip install loguru"):
        fasttrace.instrument("loguru")


def test_without_names_each_is_traced_as_soon_as_it_is_imported(url: str) -> None:
    pytest.importorskip("requests")
    code = f"""
import sys
import fasttrace
from fasttrace.export import MemoryExporter
from fasttrace.integrations import _registry
memory = MemoryExporter()
fasttrace.configure(exporter=memory)
names = fasttrace.instrument()
assert names == fasttrace.instrument() == ["httpx", "requests", "logging"]
assert not {{"httpx", "requests", "aiohttp"}} & set(sys.modules)
assert "logging" in _registry._on, "what is imported already is traced at once"
import httpx
assert httpx.get({url!r}, trust_env=False).text == "hello"
fasttrace.flush()
assert [span.name for span in memory.spans] == ["GET"], memory.spans
assert "requests" not in sys.modules
fasttrace.uninstrument("requests")
import requests
fasttrace.uninstrument()
httpx.get({url!r}, trust_env=False)
session = requests.Session()
session.trust_env = False
session.get({url!r})
fasttrace.flush()
assert len(memory.spans) == 1, "what is undone before its import is not traced, either"
fasttrace.instrument()
session.get({url!r})
fasttrace.flush()
assert len(memory.spans) == 2
"""
    assert program(code, env={"FASTTRACE_INSTRUMENT": "logging,requests,httpx"}) == ""


def test_one_that_fails_is_told_in_a_line_and_leaves_the_others_and_the_import_alone() -> None:
    code = """
import sys, fasttrace
from fasttrace.integrations import _registry
sys.modules["fasttrace.integrations.httpx"] = None
fasttrace.instrument()
import httpx, urllib3
assert "urllib3" in _registry._on and "httpx" not in _registry._on
assert httpx.Client
"""
    assert program(code).splitlines() == [
        "httpx is not traced: ModuleNotFoundError: import of fasttrace.integrations.httpx halted; None in sys.modules"
    ]


def test_variables_choose_and_leave_out() -> None:
    everything = list(_registry.TABLE)
    assert _registry.chosen_by({}) == _registry.chosen_by({"FASTTRACE_INSTRUMENT": "all"}) == everything
    assert _registry.chosen_by({"FASTTRACE_INSTRUMENT": "none"}) == []
    assert _registry.chosen_by({"FASTTRACE_INSTRUMENT": " logging, HTTP-Client"}) == ["http_client", "logging"]
    left = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "aiohttp-client,logging,urllib3,system_metrics"}
    assert _registry.chosen_by(left) == [name for name in everything if name not in ("aiohttp", "logging", "urllib3")]
    assert _registry.chosen_by({**left, "FASTTRACE_INSTRUMENT": "httpx,logging"}) == ["httpx"]
    assert _registry.chosen_by({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}) == []
    with pytest.raises(fasttrace.ConfigurationError, match="FASTTRACE_INSTRUMENT='htpx': use all, none, or names of"):
        config.resolve({}, {"FASTTRACE_INSTRUMENT": "htpx"})


def test_every_file_is_in_the_table_and_keeps_the_contract() -> None:
    folder = Path(_registry.__file__).parent
    offered = {path.stem for path in folder.glob("[a-z]*.py") if "\ndef uninstrument(" in path.read_text()}
    # A driver, which has no name of its own here, is always given.
    assert tuple(_registry.TABLE) == config.INSTRUMENTATIONS
    assert set(_registry.TABLE) == offered - {"dbapi"}
    for name, (modules, _) in _registry.TABLE.items():
        if importlib.util.find_spec(modules[0].partition(".")[0]) is None:
            continue
        module = importlib.import_module(f"fasttrace.integrations.{name}")
        for function in (module.instrument, module.uninstrument):
            parameters = inspect.signature(function).parameters.values()
            assert [parameter for parameter in parameters if parameter.default is parameter.empty] == [], name
            assert sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters) <= 1, name


def test_importing_fasttrace_loads_no_table() -> None:
    code = "import sys, fasttrace; print([n for n in sys.modules if n.startswith('fasttrace.integrations.')])"
    assert program(code) == "[]\n"


@pytest.mark.parametrize("first", ["http.client", "urllib.request", "requests"])
def test_a_library_whose_importer_is_half_imported_is_traced_when_that_is_there(first: str) -> None:
    pytest.importorskip(first)
    code = f"import fasttrace; fasttrace.instrument(); import {first}, urllib.request; print(*fasttrace.uninstrument('http_client'))"
    assert program(code) == "http_client\n"
