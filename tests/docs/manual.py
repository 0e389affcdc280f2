"""The manual as tests see it: its pages, their blocks of code, their words in backticks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(
    r"^(?:<!-- (?P<marker>.+?) -->\n)?^(?P<fence>```+)(?P<language>[\w{}-]*)\n(?P<text>.*?)^(?P=fence)$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, the line on which the text begins, and the comment before it."""

    language: str
    text: str
    line: int
    marker: str


@dataclass(frozen=True)
class Page:
    """A page of the manual."""

    path: Path

    @property
    def name(self) -> str:
        """Its path as tests show it: ``sampling``, ``integrations/run``, ``README``."""
        base = DOCS if DOCS in self.path.parents else ROOT
        return self.path.relative_to(base).with_suffix("").as_posix()

    @property
    def text(self) -> str:
        """The whole source."""
        return self.path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> list[Block]:
        """The blocks of these languages, or all."""
        found = []
        for match in FENCE.finditer(self.text):
            if not languages or match["language"] in languages:
                line = self.text.count("\n", 0, match.start("text")) + 1
                found.append(Block(match["language"], match["text"], line, match["marker"] or ""))
        return found

    def quoted(self) -> list[str]:
        """What stands in single backticks."""
        return [span.replace("\\|", "|") for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCE.sub("", self.text))]


def pages() -> list[Page]:
    """The README, and all that is in docs/."""
    found = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
    return [Page(ROOT / "README.md"), *map(Page, found)]


def text_of_all() -> str:
    """Every page, one after the other."""
    return "\n".join(page.text for page in pages())


def commands(page: Page) -> Iterator[tuple[str, list[str]]]:
    """Each ``fasttrace ...`` of a page's shell blocks and backticks: as it is written, and its arguments."""
    lines = [line for block in page.blocks("sh", "bash", "shell", "console") for line in _whole(block.text)]
    for line in [*lines, *page.quoted()]:
        if "fasttrace" not in line:
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for number, word in enumerate(words):
            before = words[:number]
            if word.rpartition("/")[2] != "fasttrace" or not _starts_a_command(before):
                continue
            rest = words[number + 1 :]
            end = next(
                (index for index, item in enumerate(rest) if item in ("&&", "||", "|", ";", "&", ">", "2>")), len(rest)
            )
            yield line, rest[:end]


def _whole(text: str) -> list[str]:
    """Lines, those that go on after a backslash in one."""
    return text.replace("\\\n", " ").splitlines()


def _starts_a_command(before: list[str]) -> bool:
    """Whether what follows these words is a program's name and not an argument such as a package's."""
    carriers = ("docker", "kubectl", "ssh", "watch", "sudo", "-m", "exec")
    plain = [word for word in before if not re.fullmatch(r"[A-Z_]+=.*", word)]
    return not plain or plain[-1] in ("&&", "||", "|", ";", "--", "$") or any(word in carriers for word in plain)
