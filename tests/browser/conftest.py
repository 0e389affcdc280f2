"""Debian's Chromium over a real server; without it or without Playwright these tests are skipped, with the reason."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "local" / "server")]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if config.getoption("--impl") == "python":
                item.add_marker(pytest.mark.skip(reason="the page is tested in the compiled leg"))
            elif CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no chromium here (Debian: apt install chromium)"))


# Not for the session: while Playwright runs, so does its event loop in this thread.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    """A server over a few traces, and one of 10,000 and one of 100,000 spans; ids by what they are."""
    pytest.importorskip("starlette", reason="needs the viewer extra")
    from viewer_seed import Shop, large, orders
    from viewer_server import Running

    running = Running(tmp_path_factory.mktemp("browser") / "spool")
    shop = Shop(running.spool)
    ids = orders(shop)
    ids["ten_thousand"] = large(shop, 10_000)
    ids["hundred_thousand"] = large(shop, 100_000)
    shop.close()
    running.wait_for(lambda: running.get("/api/health")["index"]["spans"] == 110_029)
    yield running, ids
    running.close()


class Watched:
    """A page of which everything is noted that it should not do."""

    def __init__(self, browser: Any, base: str, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page = self.context.new_page()
        self.base = base
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on(
            "console", lambda message: message.type in ("error", "warning") and self.faults.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str) -> Any:
        self.page.goto(f"{self.base}/{address}")
        return self.page

    def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true; Playwright's own way is eval, which the page forbids."""
        deadline = time.monotonic() + 60
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never: {expression}"
            self.page.wait_for_timeout(25)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def check(self) -> None:
        assert self.faults == []
        assert [url for url in self.requests if not url.startswith(self.base + "/")] == []


@pytest.fixture
def watch() -> type[Watched]:
    """For a page over a server of one's own."""
    return Watched


@pytest.fixture
def watched(chromium: Any, served: tuple[Any, dict[str, str]], request: pytest.FixtureRequest) -> Iterator[Watched]:
    found = Watched(chromium, served[0].url, **getattr(request, "param", {}))
    yield found
    found.check()
    found.context.close()


@pytest.fixture
def ids(served: tuple[Any, dict[str, str]]) -> dict[str, str]:
    return served[1]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with a file of all traces, one of the slow one, and one of 10,000 spans; ids by what they are."""
    from viewer_seed import Shop, large, orders

    from fasttrace.cli import main

    folder = tmp_path_factory.mktemp("files")
    shop = Shop(folder / "spool")
    ids = orders(shop)
    ids["large"] = large(shop, 10_000)
    shop.close()
    for name, query in (("all", "trace.spans<100"), ("slow", ids["slow"]), ("large", ids["large"])):
        assert main(["export", query, "-o", str(folder / f"{name}.html"), "--spool", str(folder / "spool")]) == 0
    return folder, ids


@pytest.fixture
def offline(chromium: Any, exported: Any) -> Iterator[Watched]:
    """Pages from disk, with the network off, that ask for nothing but themselves."""
    folder = exported[0].as_uri()
    found = Watched(chromium, folder, offline=True)
    yield found
    found.check()
    asked = {url.partition("#")[0] for url in found.requests}
    assert asked <= {f"{folder}/{name}.html" for name in ("all", "slow", "large")}
    found.context.close()
