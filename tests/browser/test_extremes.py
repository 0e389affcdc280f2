"""Traces that are long, deep or still growing: what matters stays in sight, and what one looks at stays as it was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

LONG = "GET /" + "_".join(f"segment{number}" for number in range(60))
# Persian and Hindi need their joiners, and so does a family.
JOINED = "نمی\u200cخواهم क्\u200dष \U0001f468\u200d\U0001f469\u200d\U0001f467 \u202eevil"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    """A server over a trace of long names and one of sixty levels; ids by what they are."""
    pytest.importorskip("starlette", reason="needs the viewer extra")
    from viewer_seed import Shop
    from viewer_server import Running

    running = Running(tmp_path_factory.mktemp("extremes") / "spool")
    shop = Shop(running.spool)
    root = shop.span("shop", LONG, None, 0, 100, attributes={"http.route": LONG})
    shop.span("shop", "x" * 300, root, 10, 90)
    shop.span("shop", JOINED, root, 90, 95)
    deep = [shop.span("shop", "top", None, 1000, 1500)]
    for level in range(60):
        deep.append(shop.span("shop", f"level {level}", deep[-1], 1000 + level, 1500 - level))
    shop.close()
    ids = {"long": f"{root.get_span_context().trace_id:032x}", "deep": f"{deep[0].get_span_context().trace_id:032x}"}
    running.wait_for(lambda: running.get("/api/health")["index"]["spans"] == 64)
    yield running, ids
    running.close()


def box(page: Any, of: str) -> dict[str, float]:
    found: dict[str, float] = page.locator(of).bounding_box()
    return found


def test_a_long_name_leaves_room_for_the_waterfall(watched: Any, ids: dict[str, str]) -> None:
    page = watched.open(f"#/trace/{ids['long']}")
    page.wait_for_selector(".diagnosis")
    assert box(page, ".tools")["y"] < 300
    assert page.locator(".head .title").get_attribute("title") == LONG
    assert LONG in page.locator(".details").inner_text()


@pytest.mark.parametrize(("view", "column"), [("routes", "p95"), ("trace", "Longest")])
def test_a_long_name_leaves_the_figures_in_sight(watched: Any, ids: dict[str, str], view: str, column: str) -> None:
    page = watched.open("#/routes" if view == "routes" else f"#/trace/{ids['long']}?view=table")
    heading = page.locator(f"th:has-text('{column}')").first
    heading.wait_for()
    found = heading.bounding_box()
    room = page.locator(".across, .scroller").first.bounding_box()
    assert found["x"] + found["width"] <= room["x"] + room["width"] + 1


def test_long_names_are_compared_without_widening_the_page(watched: Any, ids: dict[str, str]) -> None:
    page = watched.open(f"#/compare/{ids['deep']}/{ids['long']}")
    page.wait_for_selector(".versus .card")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert box(page, "table")["y"] < 400
    heading = page.locator("th:has-text('Change')").first.bounding_box()
    assert heading["x"] + heading["width"] < 1440


def test_a_mistyped_attribute_is_told_from_one_without_traces(watched: Any) -> None:
    page = watched.open("#/traces?q=http.rout%3D%2Forders")
    page.wait_for_selector(".nothing")
    assert "No span has an attribute http.rout: did you mean http.route?" in page.locator(".nothing").inner_text()


CUT_SHORT = """async (aborted) => {
  const { get } = await import("/js/api.js");
  const whole = window.fetch, stop = new AbortController();
  window.fetch = async () => {
    if (aborted) stop.abort();
    return new Response('{"half": ');
  };
  try {
    return JSON.stringify(await get("health", {}, stop.signal));
  } catch (error) {
    return error.name === "AbortError" ? error.name : error.message;
  } finally {
    window.fetch = whole;
  }
}"""


@pytest.mark.parametrize(("aborted", "said"), [(True, "AbortError"), (False, "HTTP 200")])
def test_half_an_answer_is_none(watched: Any, aborted: bool, said: str) -> None:
    page = watched.open("#/health")
    page.wait_for_selector(".health")
    assert page.evaluate(CUT_SHORT, aborted) == said


def test_help_shows_its_beginning(watched: Any) -> None:
    watched.page.set_viewport_size({"width": 1280, "height": 800})
    page = watched.open("")
    page.wait_for_selector("a.trace")
    watched.press("?")
    page.wait_for_selector("dialog.help[open]")
    assert page.evaluate("document.querySelector('dialog.help').scrollTop") == 0


def test_names_keep_their_joiners_and_nothing_else_that_is_not_seen(watched: Any, ids: dict[str, str]) -> None:
    page = watched.open(f"#/trace/{ids['long']}")
    page.wait_for_selector(".row >> nth=2")
    assert page.locator(".row .name b").nth(2).inner_text() == JOINED.replace("\u202e", "\ufffd")


@pytest.mark.parametrize("width", [700, 1440])
def test_every_level_of_a_deep_trace_can_be_read(watched: Any, ids: dict[str, str], width: int) -> None:
    watched.page.set_viewport_size({"width": width, "height": 900})
    page = watched.open(f"#/trace/{ids['deep']}")
    page.wait_for_selector(".row")
    watched.press("G")
    watched.until("document.querySelector('.row.selected .name').innerText.startsWith('level 59')")
    name, tree = box(page, ".row.selected .name"), box(page, ".row.selected .tree")
    assert name["width"] > 60
    assert name["x"] + name["width"] <= tree["x"] + tree["width"]
    levels = [found["x"] for found in (row.bounding_box() for row in page.locator(".row .pill").all())]
    assert levels == sorted(set(levels))  # each level further in than the one above


def test_what_is_closed_and_chosen_stays_so_while_a_trace_grows(watched: Any, served: Any) -> None:
    from viewer_seed import BASE_NS, MS, Shop

    running, _ids = served
    shop = Shop(running.spool)
    now_ms = (time.time_ns() - BASE_NS) / MS
    root = shop.span("shop", "job", None, now_ms - 900, now_ms)
    for number in range(2):
        part = shop.span("shop", f"part {number}", root, now_ms - 800 + number, now_ms - 700)
        shop.span("shop", f"step {number}", part, now_ms - 790, now_ms - 710)
    shop.close()
    trace_id = f"{root.get_span_context().trace_id:032x}"
    running.wait_for(lambda: running.client.get(f"/api/trace/{trace_id}").json().get("count") == 5)
    page = watched.open(f"#/trace/{trace_id}")
    page.wait_for_selector(".row >> nth=4")
    watched.press("j", "j", "j", "ArrowLeft")
    watched.until("document.querySelectorAll('.row').length === 4")
    shop.span("shop", "earlier", root, now_ms - 850, now_ms - 840)
    shop.close()
    watched.until("[...document.querySelectorAll('.row')].some((row) => row.innerText.includes('earlier'))")
    assert "part 1" in page.locator(".row.selected").inner_text()
    assert page.locator(".row").count() == 5 and "step 1" not in page.locator(".rows").inner_text()
