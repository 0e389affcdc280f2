"""Trees of small files."""

from __future__ import annotations

from pathlib import Path


class Tree:
    """Makes files by path; gives the root that a detector takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, files: dict[str, str]) -> str:
        for path, text in files.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return f"{self.folder}/"
