"""Takes the manual's pictures: the demo for real, its slowest trace in the terminal, and the page in Chromium."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "fasttrace"]
COLUMNS = 104
WIDTH, HEIGHT = 1240, 720
# Larger files make the repository heavy, for everybody and for ever.
MAX_BYTES = 150_000


def main() -> int:
    """Write all pictures; the exit code is 1 if one is too large."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FASTTRACE_SPOOL_DIR"] = folder
        subprocess.run([*COMMAND, "demo", "--requests", "60", "--exit"], check=True, stdout=subprocess.DEVNULL)
        terminal("show", "slow")
        slow = json.loads(said("show", "slow", "--json"))["trace_id"]
        with serving() as address, sync_playwright() as driver:
            chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
                shot(page, f"{address}#/traces", "list", scheme, "text=POST /checkout")
                shot(page, f"{address}#/trace/{slow}", "waterfall", scheme, ".diagnosis")
                shot(page, f"{address}#/map", "map", scheme, "text=inventory", 540)
            chromium.close()
    too_large = [path.name for path in HERE.iterdir() if path.stat().st_size > MAX_BYTES]
    print(f"too large: {', '.join(too_large)}" if too_large else "docs/images", file=sys.stderr)
    return 1 if too_large else 0


def said(*argv: str, **environ: str) -> str:
    """What a command says."""
    return subprocess.run(
        [*COMMAND, *argv], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ}
    ).stdout


def terminal(*argv: str) -> None:
    """What a command shows in a terminal, as SVG that loads no font from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text.from_ansi(said(*argv, FORCE_COLOR="1", COLUMNS=str(COLUMNS)).rstrip()))
    svg = console.export_svg(title="fasttrace " + " ".join(argv), unique_id=argv[0])
    (HERE / f"{argv[0]}.svg").write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL))


def shot(page: Page, address: str, name: str, scheme: str, drawn: str, height: int = HEIGHT) -> None:
    """The page at an address, once what is to be seen has been drawn and has settled."""
    page.goto(address)
    page.locator(drawn).first.wait_for(timeout=20_000)
    page.wait_for_timeout(700)
    taken = page.screenshot(animations="disabled", clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
    # A page has few colours: a palette of them takes a third of the room.
    image = (
        Image.open(io.BytesIO(taken)).convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    )
    image.save(HERE / f"{name}{'' if scheme == 'light' else '-dark'}.png", optimize=True)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address of a running viewer."""
    command = [*COMMAND, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["page"]
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
