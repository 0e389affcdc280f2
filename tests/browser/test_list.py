"""The list of traces when there are thousands: walked by keyboard from the newest to the oldest, a screenful at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

TRACES = 5_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    """A server over thousands of traces of one span; the name of each is its number, from the oldest on."""
    pytest.importorskip("starlette", reason="needs the viewer extra")
    from viewer_seed import Shop
    from viewer_server import Running

    running = Running(tmp_path_factory.mktemp("list") / "spool")
    shop = Shop(running.spool)
    for number in range(TRACES):
        shop.span("shop", f"order {number}", None, number, number + 1 + number % 97)
    shop.close()
    running.wait_for(lambda: running.get("/api/health")["index"]["traces"] == TRACES)
    yield running, {}
    running.close()


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.querySelector('b')?.innerText ?? ''"))


def rows(page: Any) -> int:
    return int(page.locator("a.trace").count())


def test_the_list_is_walked_by_key_to_the_oldest_trace_and_the_document_stays_small(watched: Any) -> None:
    page = watched.open("")
    page.wait_for_selector("a.trace")
    watched.press("j", "j", "j", "k")
    watched.until("document.activeElement.innerText.includes('order 4998')")
    deadline = time.monotonic() + 60
    for _ in range(20):
        watched.press("PageDown")
        assert rows(page) < 60
    while int(focused(page).split()[1]) >= TRACES - 300:  # beyond what was read at first, when it has come
        assert time.monotonic() < deadline
        watched.press("PageDown")
        page.wait_for_timeout(25)
        assert rows(page) < 60
    watched.press("G")
    watched.until("document.activeElement.querySelector('b')?.innerText === 'order 0'")
    assert rows(page) < 60
    assert page.locator("a.trace:focus").bounding_box()["y"] < 900
    watched.press("j")
    assert focused(page) == "order 0"
    watched.press("k", "Enter")
    page.wait_for_selector(".row.selected")
    watched.press("Escape")
    watched.until("document.activeElement.querySelector('b')?.innerText === 'order 1'")
    watched.press("g")
    watched.until(f"document.activeElement.querySelector('b')?.innerText === 'order {TRACES - 1}'")


def test_scrolling_reads_on_page_by_page_and_no_trace_is_left_out(watched: Any) -> None:
    page = watched.open("#/traces?q=name~order*5")
    page.wait_for_selector("a.trace")
    found = page.evaluate(
        """async () => {
          const seen = new Set();
          for (let still = 0; still < 40; ) {
            const before = seen.size;
            for (const link of document.querySelectorAll("a.trace b")) seen.add(link.innerText);
            still = seen.size === before ? still + 1 : 0;
            scrollBy(0, 500);
            await new Promise(requestAnimationFrame);
          }
          seen.delete("");
          return seen.size;
        }"""
    )
    assert found == TRACES // 10
    pages = [url for url in watched.requests if "/api/traces" in url]
    assert 3 <= len(pages) <= 5 and len(set(pages)) == len(pages)


def test_new_traces_leave_what_one_reads_where_it_is(watched: Any, served: Any) -> None:
    from viewer_seed import Shop

    running, _ids = served
    page = watched.open("#/traces?q=service%3Dshop")
    page.wait_for_selector("a.trace")
    watched.press("j", *["PageDown"] * 4)
    name, place = focused(page), page.locator("a.trace:focus").bounding_box()["y"]
    shop = Shop(running.spool)
    for number in range(7):
        shop.span("shop", f"late {number}", None, 50_000 + number, 50_001 + number)
    shop.close()
    watched.until("document.querySelector('a.trace:focus').parentElement.ariaPosInSet > 7 + " + str(TRACES - int(name.split()[1]) - 1))  # fmt: skip
    assert focused(page) == name
    assert abs(page.locator("a.trace:focus").bounding_box()["y"] - place) < 2
    watched.press("g")
    watched.until("document.activeElement.querySelector('b')?.innerText === 'late 6'")
