"""The first minute of a new user: the wheel, its viewer extra, the demo, and the page in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# Promised, from the demo's start.
PROMISED_SECONDS = 30.0

pytestmark = [
    pytest.mark.build,
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="once is enough"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian: apt install chromium)"),
]


@pytest.fixture
def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("FASTTRACE_", "OTEL_", "PYTHON"))}


@pytest.fixture
def fasttrace(wheel: Path, tmp_path: Path, environment: dict[str, str]) -> str:
    """The command in a fresh environment, installed as the documentation says."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = [tmp_path / "venv/bin/python", "-m", "pip", "install", "-q", f"{wheel}[viewer]"]
    run = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return str(tmp_path / "venv/bin/fasttrace")


@contextmanager
def running(*command: str, folder: Path, environment: dict[str, str]) -> Iterator[Any]:
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_page_names_the_overloaded_inventory_within_half_a_minute(
    fasttrace: str, tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        begin = time.monotonic()
        with (
            running(fasttrace, "demo", folder=tmp_path, environment=environment) as demo,
            running(fasttrace, "serve", "--port", "0", folder=tmp_path, environment=environment) as serve,
        ):
            address = re.search(r"http://\S+", serve.stdout.readline())
            assert address is not None
            page = browser.new_page()
            page.goto(f"{address[0]}#/traces?q=service%3Dinventory%20dur%3E500ms")
            rest = (PROMISED_SECONDS - (time.monotonic() - begin)) * 1000
            page.get_by_text("POST /checkout").first.click(timeout=rest)
            diagnosis = page.locator(".diagnosis", has_text="database pool")
            rest = (PROMISED_SECONDS - (time.monotonic() - begin)) * 1000
            diagnosis.first.wait_for(timeout=rest)
            seconds = time.monotonic() - begin
            said = diagnosis.first.inner_text()
            assert demo.poll() is None
        browser.close()
    assert "inventory" in said
    assert re.search(r"waits? for its database pool", said)
    with capsys.disabled():
        print(f"\n{seconds:.1f} s from `fasttrace demo` to: {said}")
