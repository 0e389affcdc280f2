"""Writes the pages that are made from the code: ``python docs/reference``; with ``--check`` only says if one is stale."""

from __future__ import annotations

import sys
from pathlib import Path

import commands
import settings

DOCS = Path(__file__).parents[1]
PAGES = {"configuration.md": settings.page, "commands.md": commands.page}


def stale() -> list[str]:
    """The names of the pages that do not say what the code says."""
    return [name for name, page in PAGES.items() if not _says(DOCS / name, page())]


def _says(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def main() -> int:
    """Write every page, or check them; the exit code is 1 if one was stale and stays so."""
    found = stale()
    if "--check" in sys.argv[1:]:
        for name in found:
            print(f"docs/{name} is stale: run `python docs/reference`", file=sys.stderr)
        return 1 if found else 0
    for name in found:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
