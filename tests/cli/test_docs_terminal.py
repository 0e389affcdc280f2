"""docs/terminal.md: its commands are commands, its rules are the rules."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fasttrace.cli.parser import build_parser
from fasttrace.local.index import is_trace_name
from fasttrace.local.ranges import is_range, range_search
from fasttrace.local.search import parse

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "terminal.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^fasttrace (.*?)(?:\s+#.*)?$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_one_and_its_searches_can_be_read(command: str) -> None:
    arguments = build_parser().parse_args(shlex.split(command))
    if command.startswith("diff"):
        for side in (arguments.a, arguments.b):
            parse(range_search(side) if is_range(side) else "" if is_trace_name(side) else side)
    else:
        parse(" ".join(getattr(arguments, "query", ())))


def test_every_rule_is_described() -> None:
    assert len(COMMANDS) > 8
    described = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    sources = "".join(path.read_text() for path in (ROOT / "src/fasttrace/local/diagnosis").glob("*.py"))
    assert described == set(re.findall(r'Diagnosis\(\s*"(\w+)"', sources))
