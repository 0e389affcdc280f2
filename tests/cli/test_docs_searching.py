"""docs/searching.md: its searches can be read, its commands are commands, its formats are the formats."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fasttrace.cli.parser import build_parser
from fasttrace.local import exchange
from fasttrace.local.search import FIELDS, parse

TEXT = (Path(__file__).parents[2] / "docs" / "searching.md").read_text(encoding="utf-8")
SEARCHES, FORMATS = (re.findall(r"^\| `(.+?)` \|", part, re.MULTILINE) for part in TEXT.split("## Other tools"))


@pytest.mark.parametrize("query", SEARCHES)
def test_search_is_read_as_one_term(query: str) -> None:
    assert len(parse(query).terms) == 1


def test_every_field_is_described() -> None:
    described = set(re.findall(r"[\w.]+", TEXT))
    assert set(FIELDS) <= described


@pytest.mark.parametrize("command", re.findall(r"^fasttrace (.*)$", TEXT, re.MULTILINE))
def test_command_is_one(command: str) -> None:
    arguments = build_parser().parse_args(shlex.split(command))
    for path in getattr(arguments, "files", None) or [arguments.output]:
        assert exchange.format_of(path)


def test_every_format_is_described_with_its_names() -> None:
    assert FORMATS[0] == "--format"
    assert FORMATS[1:] == list(exchange.FORMATS)
    for name, suffixes in re.findall(r"^\| `([\w-]+)` \| (`\..+?`) \|", TEXT, re.MULTILINE):
        for suffix in suffixes.strip("`").split("` `"):
            assert exchange.format_of(f"x{suffix}") == name
