"""The viewer's page with large traces: ``python bench/page.py [--rounds 7] [--check]``.

First paint: a click on a trace of 10,000 spans in the list, until its rows are on the screen. Every round has a fresh
page and a trace that the server has not read before. Frames: a trace of 100,000 spans scrolled by the wheel, and by
jumps all over it; the time between one frame and the next. Server, browser and this program have a process each, as
they have for a person who looks at traces.

Needs Playwright and a Chromium (Debian: ``apt install chromium``). ``--check`` exits with 1 beyond what is promised.
The median of the rounds is judged, of frames the median of each round's worst: a frame that is long because of the page
is long in every round, one that is long because the machine had something else to do is not. Where it is busy all the
time (a loop takes half as long again as its CPU time) the clock says nothing of the page: then CPU time is judged, the
server's and that of the page's main thread.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))

from viewer_seed import Shop, large

PAINTED, SCROLLED = 10_000, 100_000
MAX_FIRST_PAINT_MS = 500
MAX_FRAME_MS = 100
VIEWPORT = {"width": 1440, "height": 900}
WHEEL_STEPS, JUMPS = 90, 60
_SERVE = "import sys; from fasttrace.cli import main; sys.exit(main(['serve', '--port', '0', '--spool', sys.argv[1]]))"

# From the click to the frame behind the one in which the rows are there; and what of it was the server's.
FIRST_PAINT = """
(id) => new Promise((done) => {
  let start = 0;
  const look = () => {
    if (!document.querySelector(".waterfall .row")) return requestAnimationFrame(look);
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      const asked = performance.getEntriesByType("resource").find((one) => one.name.endsWith("api/trace/" + id));
      done({ whole: performance.now() - start, server: asked.responseStart - asked.requestStart });
    };
    requestAnimationFrame(() => channel.port2.postMessage(null));
  };
  const link = document.querySelector(`a.trace[data-trace="${id}"]`);
  link.addEventListener("click", () => { start = performance.now(); requestAnimationFrame(look); });
  link.click();
})
"""

RECORD = """
() => {
  const frames = (window.frames_ = []);
  let last = performance.now();
  const note = (now) => {
    frames.push(now - last);
    last = now;
    window.noting = requestAnimationFrame(note);
  };
  requestAnimationFrame((now) => { last = now; window.noting = requestAnimationFrame(note); });
}
"""
STOP = "() => { cancelAnimationFrame(window.noting); return window.frames_; }"

# To a place that has nothing in common with the last one; until it has been drawn.
JUMP = """
async (step) => {
  const box = document.querySelector(".waterfall");
  box.scrollTop = (box.scrollHeight - box.clientHeight) * ((step * 0.618) % 1);
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
}
"""
BUSY = 1.5


def write(spool: Path, rounds: int) -> tuple[list[str], str]:
    """Traces to paint, one for each round, and one to scroll in; their ids."""
    shop = Shop(spool)
    painted = [large(shop, PAINTED) for _ in range(rounds)]
    shop.close()
    shop = Shop(spool)
    scrolled = large(shop, SCROLLED)
    shop.close()
    return painted, scrolled


def slowdown() -> float:
    """How much longer a loop takes than its CPU time: 1 on a machine that has nothing else to do."""
    clock, worked = time.perf_counter(), time.thread_time()
    while time.thread_time() - worked < 0.1:
        pass
    return (time.perf_counter() - clock) / (time.thread_time() - worked)


def cpu_ms(pid: int) -> float:
    """What a process has worked so far, all its threads (Linux; elsewhere 0)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class MainThread:
    """What a page's main thread works: scripts, styles, layout, painting."""

    def __init__(self, page: Any) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cpu_ms(self) -> float:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return 1000 * float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


@contextmanager
def served(spool: Path) -> Iterator[tuple[str, int]]:
    """The address of ``fasttrace serve``, and its process."""
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(spool)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1].rstrip("/"), process.pid
    finally:
        process.terminate()
        process.wait(30)


def open_page(browser: Any, address: str) -> Any:
    """A page in a context of its own: no cache, no history."""
    page = browser.new_context(viewport=VIEWPORT).new_page()
    page.goto(address)
    return page


def first_paint(browser: Any, base: str, server: int, trace_id: str) -> dict[str, float]:
    """Milliseconds from the click to the screen, ``whole``, until the server's answer began, ``server``, of ``cpu``."""
    page = open_page(browser, f"{base}/#/traces?q=trace.spans%3D{PAINTED}")
    page.wait_for_selector(f'a.trace[data-trace="{trace_id}"]', timeout=120_000)
    page.wait_for_timeout(400)  # the list has what it asked for
    main = MainThread(page)
    before = main.cpu_ms() + cpu_ms(server)
    found: dict[str, float] = page.evaluate(FIRST_PAINT, trace_id)
    found["cpu"] = main.cpu_ms() + cpu_ms(server) - before
    page.context.close()
    return found


def frames(browser: Any, base: str, trace_id: str) -> dict[str, tuple[list[float], float]]:
    """By the wheel, and by jumps: milliseconds between frames, and the CPU time that drawing one takes at most.

    Of the wheel it is the mean: how many turns of it share a frame is the browser's affair.
    """
    page = open_page(browser, f"{base}/#/trace/{trace_id}")
    page.wait_for_selector(".waterfall .row", timeout=120_000)
    page.wait_for_timeout(1500)
    page.mouse.move(700, 600)
    main = MainThread(page)
    page.evaluate(RECORD)
    begun = main.cpu_ms()
    for step in range(WHEEL_STEPS):
        page.mouse.wheel(0, 400 + 40 * step)
        page.wait_for_timeout(16)
    wheel = page.evaluate(STOP)
    found = {"wheel": (wheel, (main.cpu_ms() - begun) / len(wheel))}
    page.evaluate(RECORD)
    works = [main.cpu_ms()]
    for step in range(JUMPS):
        page.evaluate(JUMP, step)
        works.append(main.cpu_ms())
    found["jump"] = (page.evaluate(STOP), max(after - before for before, after in pairwise(works)))
    assert page.locator(".waterfall").evaluate("box => box.scrollTop > 0")
    page.context.close()
    return found


def at(share: float, values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def report(base: str, server: int, painted: list[str], scrolled: str, browser: Any) -> list[str]:
    """Measure and print; what is not as promised."""
    slow = [slowdown()]
    paints, rounds = [], []
    for trace_id in painted:
        paints.append(first_paint(browser, base, server, trace_id))
        rounds.append(frames(browser, base, scrolled))
        slow.append(slowdown())
    median = statistics.median
    busy = median(slow) > BUSY
    broken = []

    def judge(what: str, clock: float, cpu: float, promised: float) -> None:
        if (cpu if busy else clock) > promised:
            broken.append(f"{what} {clock:.0f} ms, {cpu:.0f} of CPU, promised {promised}")

    whole = [paint["whole"] for paint in paints]
    answered, cpu = (median(paint[kind] for paint in paints) for kind in ("server", "cpu"))
    print(f"first paint of {PAINTED:,} spans: {median(whole):.0f} ms (from {min(whole):.0f} to {max(whole):.0f}), "
          f"{answered:.0f} until the server answers, {cpu:.0f} ms of CPU")  # fmt: skip
    judge("first paint", median(whole), cpu, MAX_FIRST_PAINT_MS)
    for kind in ("wheel", "jump"):
        worst = [max(found[kind][0]) for found in rounds]
        every = [frame for found in rounds for frame in found[kind][0]]
        cpu = median(found[kind][1] for found in rounds)
        print(f"{SCROLLED:,} spans by {kind}: worst frame {median(worst):.0f} ms (from {min(worst):.0f} to "
              f"{max(worst):.0f}), 95 % within {at(0.95, every):.0f} ms, {cpu:.0f} ms of CPU")  # fmt: skip
        judge(f"worst frame by {kind}", median(worst), cpu, MAX_FRAME_MS)
    print(f"a loop took {median(slow):.1f} times its CPU time" + (": busy, CPU time is judged" if busy else ""))
    return broken


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="fresh pages for each figure (default: 7)")
    parser.add_argument("--check", action="store_true", help="exit 1 when a promise is not kept")
    arguments = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        parser.error("no chromium here: apt install chromium, or name one in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as temporary:
        spool = Path(temporary) / "spool"
        painted, scrolled = write(spool, arguments.rounds)
        with served(spool) as (base, server), sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            broken = report(base, server, painted, scrolled, browser)
            browser.close()
    if broken:
        print("not as promised: " + "; ".join(broken))
    return 1 if arguments.check and broken else 0


if __name__ == "__main__":
    sys.exit(main())
