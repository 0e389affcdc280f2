"""What a newcomer does: the demo, and the page beside it, as commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def test_the_page_shows_the_overloaded_inventory_while_the_demo_runs(tmp_path: Path, watching: Any) -> None:
    spool = ["--spool", str(tmp_path / "spool")]
    fasttrace = [sys.executable, "-m", "fasttrace"]
    with subprocess.Popen(
        [*fasttrace, "serve", "--port", "0", "--json", *spool], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            seen = watching(json.loads(server.stdout.readline())["page"].rstrip("/"))
            page = seen.open("")
            page.wait_for_selector(".nothing")
            with subprocess.Popen(
                [*fasttrace, "demo", "--requests", "40", "--exit", *spool], stdout=subprocess.DEVNULL
            ) as demo:
                page.wait_for_selector("a.trace", timeout=60_000)  # by itself
                assert demo.wait(60) == 0
            slowest = subprocess.run(
                [*fasttrace, "ls", "--slow", "--limit", "1", "--json", *spool],
                capture_output=True,
                check=True,
                timeout=60,
            )
            page.goto(f"{seen.base}/#/trace/{json.loads(slowest.stdout)[0]['trace_id']}")
            page.wait_for_selector(".diagnosis")
            assert page.locator(".diagnosis").first.inner_text().startswith("inventory is the bottleneck")
            page.locator(".diagnosis").first.click()
            seen.until("document.querySelector('.row.selected b')?.innerText.includes('wait for db pool')")
            seen.press("2")
            page.wait_for_selector(".map .node")
            assert {"gateway", "checkout", "inventory"} < set(page.locator(".map .title").all_text_contents())
        finally:
            server.terminate()
