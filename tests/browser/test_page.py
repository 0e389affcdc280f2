"""The page in a real browser: by keyboard alone, inert to hostile texts, readable for all, quick with many spans."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parent / "axe.min.js"
FIRST_TRACE = "a.trace"


def shown_span(page: Any) -> str:
    """The name in the panel beside the waterfall."""
    return str(page.locator(".details h2 > span").inner_text())


def test_from_the_list_to_the_id_of_the_failed_span_by_keyboard_alone(watched: Any, ids: dict[str, str]) -> None:
    page = watched.open("")
    page.wait_for_selector(FIRST_TRACE)
    watched.press("/")
    page.keyboard.type("service=inventory status=error trace.spans<100")
    watched.press("Enter")
    watched.until("document.querySelectorAll('a.trace').length === 1")
    watched.press("j", "Enter")
    page.wait_for_selector(".row.selected")
    assert f"/trace/{ids['slow']}" in page.url
    watched.press("j", "j", "k")
    watched.until("document.querySelector('.details h2 > span').innerText === 'POST'")
    watched.press("e")
    watched.until("document.querySelector('.details h2 > span').innerText.includes('/reserve')")
    page.wait_for_selector(".message")
    assert page.locator(".message").inner_text() == "no stock left"
    assert "pool exhausted" in page.locator(".details .events").inner_text()
    watched.press("y")
    page.wait_for_selector(".said.shown")
    assert page.evaluate("navigator.clipboard.readText()") == ids["error_span"]
    watched.press("v", "v", "v")
    assert "pool exhausted" in page.locator(".loglist").inner_text()
    watched.press("Escape")
    watched.until(f"document.activeElement.dataset.trace === '{ids['slow']}'")
    assert page.locator("#q").input_value() == "service=inventory status=error trace.spans<100"


def test_a_deep_link_survives_a_reload(watched: Any, ids: dict[str, str]) -> None:
    page = watched.open(f"#/trace/{ids['slow']}?span={ids['error_span']}&view=table&q=status%3Derror")
    for _ in range(2):
        page.wait_for_selector("table.data")
        watched.until("document.querySelector('.details h2 > span').innerText.includes('/reserve')")
        assert page.locator(".tabs button[aria-pressed=true]").inner_text() == "Table"
        page.reload()
    page.wait_for_selector("table.data")
    watched.press("v", "v")
    page.wait_for_selector(".row.selected.failed")
    assert f"span={ids['error_span']}" in page.url


def test_whoever_sees_a_view_has_its_keys(watched: Any, ids: dict[str, str]) -> None:
    # Pressed as soon as it is there, before the browser has drawn it.
    watched.page.add_init_script("""
        let pressed = false;
        new MutationObserver(() => {
          if (pressed || !document.querySelector(".row")) return;
          pressed = true;
          document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "v", bubbles: true }));
        }).observe(document, { childList: true, subtree: true });
    """)
    watched.open(f"#/trace/{ids['slow']}")
    watched.until("document.querySelector('.tabs button[aria-pressed=true]')?.innerText === 'Flame'")


def test_folded_spans_open_and_close_with_the_arrows(watched: Any, ids: dict[str, str]) -> None:
    page = watched.open(f"#/trace/{ids['slow']}")
    page.wait_for_selector(".times")
    assert page.locator(".row").count() == 4
    assert page.locator(".times").inner_text() == "×12"
    watched.press("End", "ArrowRight")
    watched.until("document.querySelectorAll('.row').length === 15")
    watched.press("ArrowLeft")
    watched.until("document.querySelectorAll('.row').length === 4")
    watched.press("ArrowLeft", "ArrowLeft")
    watched.until("document.querySelectorAll('.row').length === 3")
    assert page.locator(".row.selected").get_attribute("aria-expanded") == "false"


def test_what_is_wrong_with_a_search_is_said_under_it(watched: Any) -> None:
    page = watched.open("#/traces?q=servce%3Dinventory")
    page.wait_for_selector(".found.bad")
    assert "did you mean service" in page.locator(".found.bad").inner_text()
    assert page.locator("#q").get_attribute("aria-invalid") == "true"
    watched.faults = [fault for fault in watched.faults if "400" not in fault]  # the browser's own note of the status


def drag(page: Any, chart: int, start: float, end: float) -> None:
    """Drag over a chart of the list, 0 for the times and 1 for the latencies, from one share of its width to another."""
    box = page.locator(".u-over").nth(chart).bounding_box()
    page.mouse.move(box["x"] + box["width"] * start, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, box["y"] + 20, steps=4)
    page.mouse.up()


def test_dragging_over_the_latencies_narrows_the_search(watched: Any) -> None:
    page = watched.open("")
    watched.until("document.querySelectorAll('.u-over').length === 2")
    page.wait_for_selector(FIRST_TRACE)
    before = page.locator(FIRST_TRACE).count()
    drag(page, 1, 0, 0.3)
    watched.until(f"document.querySelectorAll('a.trace').length < {before}")
    assert re.fullmatch(r"trace\.dur=[\d.]+\w+\.\.[\d.]+\w+", page.locator("#q").input_value())
    page.get_by_role("button", name="all durations").click()
    watched.until(f"document.querySelectorAll('a.trace').length === {before}")


def test_a_time_that_was_dragged_over_is_compared_with_the_rest_and_the_link_stays(watched: Any) -> None:
    page = watched.open("#/traces?q=-trace.spans%3E1000")
    watched.until("document.querySelectorAll('.u-over').length === 2")
    page.wait_for_selector(FIRST_TRACE)
    drag(page, 0, 0, 0.4)  # the orders of the first seconds
    watched.until("document.querySelectorAll('a.trace').length === 6")
    asked = page.locator("#q").input_value()
    assert re.fullmatch(r"-trace\.spans>1000 trace\.start=[\d:T.-]+Z\.\.[\d:T.-]+Z", asked)
    watched.press("c")
    for _ in range(2):
        page.wait_for_selector("table.pairs")
        before, after = page.locator(".versus .card").all_inner_texts()
        assert "2 traces" in before and "6 traces" in after and asked in after
        row = page.locator("table.pairs tr", has_text="/checkout").inner_text()
        assert "gone" in row and "2.31 s" in row
        row = (
            page.locator("table.pairs tr", has_text="GET /orders")
            .or_(page.locator("table.pairs tr", has_text="/orders"))
            .first.inner_text()
        )
        assert "6" in row and "new" in row
        page.reload()
    page.wait_for_selector("table.pairs")
    watched.press("s")
    watched.until("document.querySelector('.versus .card').innerText.includes('6 traces')")
    watched.press("Escape")
    page.wait_for_selector(FIRST_TRACE)


def test_two_searches_are_compared_by_keyboard(watched: Any) -> None:
    page = watched.open("")
    page.wait_for_selector(FIRST_TRACE)
    watched.press("4")
    page.wait_for_selector("form.choose")
    page.locator("form.choose input").first.focus()
    page.keyboard.type("trace.errors=0 trace.spans<100")
    watched.press("Tab")
    page.keyboard.type('trace.name="POST /checkout"')
    watched.press("Enter")
    page.wait_for_selector("table.pairs")
    before, after = page.locator(".versus .card").all_inner_texts()
    assert "6 traces" in before and "1 trace" in after and "✖ 1 · 100 %" in after
    row = page.locator("table.pairs tr", has_text="/reserve").inner_text()
    assert "✖ 100 %" in row
    page = watched.open("#/compare/trace.spans%3C99")
    page.wait_for_selector(".suggested")
    page.get_by_role("button", name="What failed, with the rest").press("Enter")
    page.wait_for_selector("table.pairs")
    assert "trace.spans<99 trace.errors>0" in page.locator(".versus").inner_text()


def test_times_of_a_link_stay_what_they_were_when_it_was_made(watched: Any) -> None:
    page = watched.open("#/compare")
    page.wait_for_selector("form.choose")
    page.locator("form.choose input").first.fill("..10m")
    page.locator("form.choose input").last.fill("10m..")
    watched.press("Enter")
    watched.until("location.hash.startsWith('#/compare/')")
    assert re.fullmatch(r"#/compare/\.\.([\dT%:A.-]+Z)/\1\.\.", page.evaluate("location.hash"))
    page.wait_for_selector(".nothing")  # nothing has come in the last ten minutes
    watched.faults = [fault for fault in watched.faults if "404" not in fault]


def test_the_map_shows_rates_percentiles_and_failures_over_the_time_of_the_search(watched: Any) -> None:
    page = watched.open("#/map?q=-trace.spans%3E1000")
    page.wait_for_selector(".map svg")
    gateway = page.locator("a.node", has_text="gateway").text_content()
    assert "7 req" in gateway and "p95 2.31 s" in gateway and "/min" in gateway
    edge = page.get_by_role("link", name="gateway calls inventory")
    assert "p95 2.28 s, 1 failed" in edge.get_attribute("aria-label")
    edge.focus()
    watched.press("Enter")
    page.wait_for_selector(FIRST_TRACE)
    assert "service=inventory" in page.locator("#q").input_value()


def test_hostile_texts_are_shown_and_never_run(watched: Any, ids: dict[str, str]) -> None:
    views = ["", f"#/trace/{ids['hostile']}"]
    views += [f"#/trace/{ids['hostile']}?view={view}" for view in ("flame", "table", "logs")]
    views += [
        "#/map",
        "#/routes",
        f"#/compare/{ids['hostile']}/{ids['slow']}",
        "#/compare/trace.errors%3D0%20trace.spans%3C99/trace.errors%3E0%20trace.spans%3C99",
        "#/traces?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
    ]
    for view in views:
        page = watched.open(view)
        page.reload()
        page.wait_for_timeout(300)
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, main script, main iframe").count() == 0
    page = watched.open(f"#/trace/{ids['hostile']}")
    page.wait_for_selector(".details .attributes")
    assert "<script>window.pwned=1</script>" in page.locator(".details").inner_text()
    watched.faults = [fault for fault in watched.faults if "400" not in fault]


def test_new_traces_show_up_without_reloading_and_pausing_holds_them_back(watched: Any, served: Any) -> None:
    from viewer_seed import Shop

    running, _ids = served
    page = watched.open("#/traces?q=service%3Dlive")
    page.wait_for_selector(".nothing")

    def more(name: str) -> None:
        shop = Shop(running.spool)
        shop.span("live", name, None, 40_000, 40_010)
        shop.close()

    more("first")
    watched.until("document.querySelectorAll('a.trace').length === 1")
    watched.press("p")
    more("second")
    running.wait_for(lambda: running.get("/api/traces", q="service=live")["total_matching"] == 2)
    page.wait_for_timeout(700)
    assert page.locator(FIRST_TRACE).count() == 1
    watched.press("p")
    more("third")
    watched.until("document.querySelectorAll('a.trace').length === 3")


def test_what_comes_between_the_first_answers_and_the_first_word_of_changes_is_shown(watched: Any, served: Any) -> None:
    from viewer_seed import Shop

    running, _ids = served
    held: list[Any] = []
    watched.page.route("**/api/live", lambda route: held.append(route))
    page = watched.open("#/traces?q=service%3Dearly")
    page.wait_for_selector(".nothing")
    shop = Shop(running.spool)
    shop.span("early", "before anybody listened", None, 40_000, 40_010)
    shop.close()
    running.wait_for(lambda: running.get("/api/traces", q="service=early")["total_matching"] == 1)
    assert page.locator(FIRST_TRACE).count() == 0
    held[0].continue_()
    watched.until("document.querySelectorAll('a.trace').length === 1")


@pytest.mark.parametrize(
    "watched", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True, ids=["light", "dark"]
)
def test_axe_finds_nothing_serious(watched: Any, ids: dict[str, str]) -> None:
    if not AXE.exists():
        pytest.skip("axe.min.js is not in the sdist")
    source = AXE.read_text()
    ready = {
        "": FIRST_TRACE,
        f"#/trace/{ids['slow']}": ".details .attributes",
        f"#/trace/{ids['slow']}?view=flame": ".flame canvas",
        f"#/trace/{ids['slow']}?view=table": "table.data",
        f"#/trace/{ids['slow']}?view=logs": ".loglist",
        "#/map": ".map svg",
        "#/routes": "table.data",
        f"#/compare/{ids['fast0']}/{ids['slow']}": "table.data",
        "#/compare": ".suggested",
        "#/compare/trace.errors%3D0%20trace.spans%3C99/trace.errors%3E0%20trace.spans%3C99": "table.pairs",
        "#/health": ".cards",
    }
    for view, selector in ready.items():
        page = watched.open(view)
        page.reload()
        page.wait_for_selector(selector)
        page.wait_for_timeout(150)
        page.evaluate(source)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        bad = [(one["id"], one["impact"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found["violations"] if one["impact"] in ("serious", "critical")]  # fmt: skip
        assert bad == [], view
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert background == ("rgb(252, 252, 251)" if page.evaluate("matchMedia('(prefers-color-scheme: light)').matches") else "rgb(20, 23, 26)")  # fmt: skip


def test_help_opens_and_closes_by_key(watched: Any) -> None:
    page = watched.open("")
    page.wait_for_selector(FIRST_TRACE)
    watched.press("?")
    page.wait_for_selector("dialog.help[open]")
    watched.press("Escape")
    watched.until("!document.querySelector('dialog.help[open]')")
    watched.press("?")
    page.wait_for_selector("dialog.help[open]")
    watched.press("?")
    watched.until("!document.querySelector('dialog.help[open]')")


def test_help_opens_again_before_the_browser_has_told_that_it_was_closed(watched: Any) -> None:
    page = watched.open("")
    page.wait_for_selector(FIRST_TRACE)
    watched.press("?")
    page.wait_for_selector("dialog.help[open]")
    page.evaluate(
        "document.querySelector('dialog.help').close(); dispatchEvent(new KeyboardEvent('keydown', { key: '?' }))"
    )
    page.wait_for_selector("dialog.help[open]")


# Scrolls from end to end, and gives the most rows and the most elements that the document ever had.
FROM_END_TO_END = """
async () => {
  const box = document.querySelector(".waterfall");
  let rows = 0, elements = 0;
  for (let step = 0; step < 60; step++) {
    box.scrollTop = (box.scrollHeight - box.clientHeight) * step / 59;
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    rows = Math.max(rows, box.querySelectorAll(".row").length);
    elements = Math.max(elements, document.getElementsByTagName("*").length);
  }
  return { rows, elements, last: box.querySelector(".row:last-child").ariaRowIndex, end: box.ariaRowCount };
}
"""

# Scrolls on by one row, and gives how many rows have changed, and how many are new rather than moved.
BY_ONE_ROW = """
async () => {
  const box = document.querySelector(".waterfall"), changed = new Set();
  const watch = new MutationObserver((records) => {
    for (const { target } of records) changed.add((target.nodeType === 1 ? target : target.parentElement).closest(".row"));
  });
  box.scrollTop = 26 * 5000;
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  const before = new Set(box.querySelectorAll(".row"));
  watch.observe(box.querySelector(".rows"), { subtree: true, childList: true, attributes: true, characterData: true });
  box.scrollTop += 26;
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  changed.delete(null);
  return { changed: changed.size, made: [...box.querySelectorAll(".row")].filter((row) => !before.has(row)).length };
}
"""


def asked_of_the_api(watched: Any) -> list[str]:
    """What the page has asked the server for since the last time, without its files."""
    found = [url.removeprefix(f"{watched.base}/api/") for url in watched.requests if "/api/" in url]
    watched.requests.clear()
    return found


def all_asked(watched: Any, expected: list[str]) -> list[str]:
    """What the page has asked for, sorted, without parameters, once all that is expected was, and a moment later."""
    found: list[str] = []
    deadline = time.monotonic() + 60
    while not set(found) >= set(expected) and time.monotonic() < deadline:
        watched.page.wait_for_timeout(25)
        found += [url.partition("?")[0] for url in asked_of_the_api(watched)]
    watched.page.wait_for_timeout(500)
    found += [url.partition("?")[0] for url in asked_of_the_api(watched)]
    return sorted(path for path in found if path != "live")


def test_of_a_hundred_thousand_spans_only_those_in_sight_are_in_the_document(watched: Any, ids: dict[str, str]) -> None:
    page = watched.open(f"#/trace/{ids['hundred_thousand']}")
    page.wait_for_selector(".row.selected", timeout=90_000)
    page.wait_for_selector(".details .attributes")
    all_asked(
        watched, ["histogram", *(f"trace/{ids['hundred_thousand']}{rest}" for rest in ("", "/diagnosis", "/span/0"))]
    )
    most = page.evaluate(FROM_END_TO_END)
    assert most["rows"] < 60
    assert most["elements"] < 1500
    assert int(most["last"]) == int(most["end"]) + 1  # the heading is a row, too
    assert page.evaluate(BY_ONE_ROW) == {"changed": 1, "made": 0}
    assert asked_of_the_api(watched) == []
    watched.press("End", "e", "E")
    page.wait_for_selector(".row.selected.failed")


def test_a_view_asks_for_what_it_shows_once(watched: Any, ids: dict[str, str]) -> None:
    slow = ids["slow"]
    asked = {
        "#/traces": ["histogram", "timeline", "traces"],
        f"#/trace/{slow}": ["histogram", f"trace/{slow}", f"trace/{slow}/diagnosis", f"trace/{slow}/span/0"],
        f"#/trace/{slow}?view=flame": ["histogram", f"trace/{slow}", f"trace/{slow}/diagnosis", f"trace/{slow}/span/0"],
        "#/map": ["map"],
        "#/routes": ["routes"],
        f"#/compare/{ids['fast0']}/{slow}": ["compare"],
    }
    for view, expected in asked.items():
        watched.requests.clear()
        watched.page.goto("about:blank")
        watched.open(view)
        assert all_asked(watched, expected) == expected, view


def test_what_stands_in_the_document_does_not_grow_with_the_trace(watched: Any, ids: dict[str, str]) -> None:
    elements = []
    for trace in ("ten_thousand", "hundred_thousand"):
        page = watched.open(f"#/trace/{ids[trace]}")
        page.reload()
        page.wait_for_selector(".row.selected", timeout=90_000)
        page.wait_for_timeout(500)
        elements.append(page.evaluate("document.querySelectorAll('.waterfall *').length"))
    assert abs(elements[0] - elements[1]) < 50
