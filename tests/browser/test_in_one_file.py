"""The page in one file, opened from disk with the network off: by keyboard alone, inert, and nothing is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parent / "axe.min.js"
FIRST_TRACE = "a.trace"
SHOWN = "document.querySelector('.details h2 > span')?.innerText"


def test_from_the_list_to_every_view_of_a_trace_by_keyboard_alone(offline: Any, exported: Any) -> None:
    ids = exported[1]
    page = offline.open("all.html")
    page.wait_for_selector(FIRST_TRACE)
    assert page.locator(FIRST_TRACE).count() == 8
    assert page.locator("#q").count() == 0, "there is nobody to search"
    for _ in range(2):
        offline.press("j")  # the newest is the hostile one, then the slow one
    offline.press("Enter")
    page.wait_for_selector(".row.selected")
    assert f"/trace/{ids['slow']}" in page.url
    assert "N+1 queries" in page.locator(".diagnosis").first.inner_text()
    assert page.locator(".bar.path").count() > 0
    offline.press("e")
    offline.until(f"{SHOWN}?.includes('/reserve')")
    page.wait_for_selector(".message")
    assert page.locator(".message").inner_text() == "no stock left"
    assert "pool exhausted" in page.locator(".details .events").inner_text()
    assert "inventory" in page.locator(".details").inner_text()
    offline.press("y")
    page.wait_for_selector(".said.shown")
    assert page.evaluate("navigator.clipboard.readText()") == ids["error_span"]
    offline.press("x")  # there is nothing to compare with
    assert "marked" not in page.locator(".said").inner_text()
    offline.press("v")
    page.wait_for_selector(".flame canvas")
    offline.press("v")
    page.wait_for_selector("table.data")
    offline.press("v")
    page.wait_for_selector(".loglist")
    assert "pool exhausted" in page.locator(".loglist").inner_text()
    offline.press("2")
    page.wait_for_selector(".map .node")
    assert {"gateway", "inventory"} < set(page.locator(".map .node .title").all_text_contents())
    offline.press("3")
    page.wait_for_selector("table.data")
    assert "/checkout" in page.locator("table.data").inner_text()
    offline.press("x", "p", "4", "5")  # keys of what only a server can do
    assert page.url.endswith("#/routes")
    offline.press("1")
    page.wait_for_selector(FIRST_TRACE)


def test_single_trace_is_shown_at_once_and_a_deep_link_survives_a_reload(offline: Any, exported: Any) -> None:
    ids = exported[1]
    page = offline.open("slow.html")
    page.wait_for_selector(".row.selected")
    assert f"#/trace/{ids['slow']}" in page.url
    offline.press("e", "v", "v")
    offline.until(f"location.hash.includes('{ids['error_span']}') && location.hash.includes('view=table')")
    for _ in range(2):
        page.reload()
        page.wait_for_selector("table.data")
        offline.until(f"{SHOWN}?.includes('/reserve')")
        assert page.locator(".tabs button[aria-pressed=true]").inner_text() == "Table"
    page = offline.open(f"slow.html#/trace/{'0' * 32}")
    page.reload()
    page.wait_for_selector(".bad, .nothing")
    assert "this file has no trace" in page.locator("main").inner_text()


def test_a_key_that_comes_while_the_address_is_written_counts(offline: Any) -> None:
    page = offline.open("slow.html")
    page.wait_for_selector(".details .attributes")
    page.evaluate(
        """() => new Promise((done) => {
          const write = history.replaceState;
          history.replaceState = function (...given) {
            write.apply(history, given);
            history.replaceState = write;
            dispatchEvent(new KeyboardEvent("keydown", { key: "e" }));
            setTimeout(done, 500);
          };
          dispatchEvent(new KeyboardEvent("keydown", { key: "j" }));
        })"""
    )
    assert "/reserve" in page.locator(".row.selected").get_attribute("aria-label")


def test_hostile_texts_are_shown_and_never_run(offline: Any, exported: Any) -> None:
    ids = exported[1]
    views = ["#/traces", "#/map", "#/routes"]
    views += [f"#/trace/{ids['hostile']}?view={view}" for view in ("", "flame", "table", "logs")]
    for view in views:
        page = offline.open(f"all.html{view}")
        page.reload()
        page.wait_for_selector("main > *")
        page.wait_for_timeout(150)
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, main script, main iframe").count() == 0
    page.wait_for_selector(".details .attributes")
    assert "<script>window.pwned=1</script>" in page.locator(".details").inner_text()
    assert "1152921504606846977" in page.locator(".details").inner_text()


def test_last_of_ten_thousand_spans_is_read_from_its_own_block(offline: Any) -> None:
    page = offline.open("large.html")
    page.wait_for_selector(".details .attributes")
    offline.press("End")
    offline.until("document.querySelector('.details').innerText.includes('SELECT quantity FROM stock')")


@pytest.mark.parametrize("view", ["#/traces", "#/map", "#/routes", "trace"])
def test_axe_finds_nothing_serious(offline: Any, exported: Any, view: str) -> None:
    if not AXE.exists():
        pytest.skip("axe.min.js is not in the sdist")
    page = offline.open(f"all.html{view if view[0] == '#' else '#/trace/' + exported[1]['slow']}")
    page.wait_for_selector("a.trace, .map .node, table.data, .details .attributes")
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")] == []
