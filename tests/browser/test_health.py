"""Health on the page: what the processes say, and a badge on every view when spans are lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fasttrace
from fasttrace.export import SpoolExporter

AXE = Path(__file__).parent / "axe.min.js"


@pytest.fixture
def shop(tmp_path: Path, chromium: Any, watch: Any) -> Iterator[tuple[Any, Any, Any]]:
    """A server, a page that watches it, and a provider with room for ten spans."""
    pytest.importorskip("starlette", reason="needs the viewer extra")
    from viewer_server import Running

    running = Running(tmp_path / "spool")
    watched = watch(chromium, running.url)
    provider = fasttrace.TracerProvider(
        service_name="shop", exporter=SpoolExporter(running.spool), max_queue_spans=10, schedule_delay=0.05
    )
    yield running, watched, provider
    provider.shutdown(timeout=10)
    watched.context.close()
    running.close()


def test_a_drop_is_on_every_view_and_leads_to_the_process(shop: tuple[Any, Any, Any]) -> None:
    running, watched, provider = shop
    tracer = provider.get_tracer("tests")
    tracer.start_span("one").end()
    assert provider.flush(20)
    page = watched.open("#/traces")
    page.wait_for_selector("text=one")
    assert page.locator(".lost").count() == 0
    for _ in range(500):
        tracer.start_span("many").end()
    page.wait_for_selector(".lost")
    lost = running.wait_for(lambda: running.get("/api/health")["dropped"]["spans"])
    watched.until(f"document.querySelector('.lost').textContent.includes('{lost:,} spans dropped')")
    page.locator(".lost").click()
    page.wait_for_selector("h1:has-text('Health')")
    row = page.locator("tbody tr")
    assert row.count() == 1
    for text in ("shop", "running", "of 10", f"queue full {lost:,}"):
        assert text in row.inner_text()
    provider.shutdown(20)
    watched.until("document.querySelector('tbody tr').textContent.includes('ended')")
    if AXE.is_file():
        page.evaluate(AXE.read_text())
        violations = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []
    watched.check()


def test_what_a_file_says_is_text(shop: tuple[Any, Any, Any]) -> None:
    running, watched, _ = shop
    hostile = '<img src=x onerror="window.pwned=1">'
    told = {
        "service": hostile,
        "pid": 7,
        "stats": {"dropped": {hostile: 3}, "last_error": hostile, "cost": {hostile: 0.5}},
    }
    running.spool.mkdir(exist_ok=True)
    (running.spool / "stats-7-1.json").write_text(json.dumps(told))
    page = watched.open("#/health")
    page.wait_for_selector(".lost")
    page.wait_for_selector("tbody tr")
    assert "gone without a word" in page.locator("tbody tr").inner_text()
    assert page.evaluate("[window.pwned ?? null, document.images.length]") == [None, 0]
    watched.check()
