"""Every example of the manual runs: Python blocks page by page, commands as far as the real parser reads them.

A block with ``<!-- not run: why -->`` before it is left out; ``<!-- prints -->`` before a text block says that the
Python block before prints it; ``<!-- run by pytest -->`` that a block is a file of tests.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from manual import FENCE, ROOT, Block, Page, commands, pages
from receiving import Receiver

from fasttrace.cli.parser import build_parser

PAGES = pages()
WITH_PYTHON = [page for page in PAGES if page.blocks("python")]
# Their programs send to an OTLP receiver, as their readers' do.
SENDING = ("opentelemetry", "migration")


@pytest.fixture(scope="module")
def collector() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.stop()


def environment(folder: Path, page: Page, collector: Receiver) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "FASTTRACE_"))}
    if implementation := os.environ.get("FASTTRACE_IMPL"):
        kept["FASTTRACE_IMPL"] = implementation
    if page.name in SENDING:
        kept["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.base
    return {**kept, "XDG_STATE_HOME": str(folder), "FASTTRACE_SPOOL_DIR": str(folder / "spool")}


def missing(blocks: list[Block]) -> set[str]:
    """The packages that blocks import and that are not installed."""
    found = set()
    for block in blocks:
        for node in ast.walk(ast.parse(block.text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found |= {name.partition(".")[0] for name in names}
    return {name for name in found if importlib.util.find_spec(name) is None}


def programs(page: Page) -> list[dict[str, object]]:
    """The Python blocks that run, with what the text block behind each says that it prints."""
    found: list[dict[str, object]] = []
    for block in page.blocks():
        if block.language == "python" and not block.marker.startswith(("not run: ", "run by pytest")):
            found.append({"page": page.name, "line": block.line, "text": block.text, "printed": None})
        elif block.marker == "prints":
            found[-1]["printed"] = block.text
    return found


def run(command: list[str], folder: Path, environ: dict[str, str], given: str = "") -> None:
    done = subprocess.run(
        command, input=given, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Page, tmp_path: Path, collector: Receiver) -> None:
    blocks = [block for block in page.blocks("python") if not block.marker.startswith("not run: ")]
    if away := missing(blocks):
        pytest.skip(f"not installed: {', '.join(sorted(away))}")
    environ = environment(tmp_path, page, collector)
    if found := programs(page):
        runner = Path(__file__).with_name("page_runner.py")
        run([sys.executable, "-W", "error", str(runner)], tmp_path, environ, json.dumps(found))
    for block in blocks:
        if block.marker == "run by pytest":
            (tmp_path / "test_example.py").write_text(block.text)
            command = [sys.executable, "-m", "pytest", "-q", "-p", "fasttrace.testing.plugin", "test_example.py"]
            run(command, tmp_path, {**environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})


def test_what_is_not_run_says_why() -> None:
    for page in PAGES:
        for block in page.blocks():
            if block.marker.startswith("not run"):
                assert re.fullmatch(r"not run: .{10,}", block.marker), f"{page.name}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_commands_are_read_by_the_parser(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    for line, argv in commands(page):
        argv = _without_placeholders(argv)
        if argv is None:
            continue
        with contextlib.suppress(SystemExit) if argv[-1:] in (["--help"], ["--version"]) else contextlib.nullcontext():
            try:
                build_parser().parse_args(argv)
            except SystemExit as error:
                if error.code:
                    pytest.fail(f"{page.name}: {line}\n{capsys.readouterr().err}")
                raise


def _without_placeholders(argv: list[str]) -> list[str] | None:
    """The arguments of a command that is written out; None for one that is only named, as in "fasttrace show does"."""
    if not argv or "..." in argv or argv in (["COMMAND", "--help"],):
        return None
    named = {"show", "sizing", "diff", "import", "sampling", "boost", "ratio"}
    return None if len(argv) <= 2 and argv[-1] in named and argv != ["sampling", "show"] else argv


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_links_and_the_files_that_it_names_exist(page: Page) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)(?:#[\w-]+)?\)", page.text):
        assert (page.path.parent / target).exists(), target
    for path in re.findall(r"(?<![\w/.])(?:bench|stress|scripts|tests|examples|deploy|docs)/[\w./-]*\w", page.text):
        assert (ROOT / path).exists(), path


READERS = {"json": json.loads, "toml": tomllib.loads, "yaml": lambda text: list(yaml.safe_load_all(text))}
FILES = [(page, block) for page in PAGES for block in page.blocks(*READERS)]


@pytest.mark.parametrize(("page", "block"), FILES, ids=[f"{page.name}:{block.line}" for page, block in FILES])
def test_files_can_be_read(page: Page, block: Block) -> None:
    assert READERS[block.language](block.text)


def test_every_page_begins_with_an_example() -> None:
    assert len(WITH_PYTHON) > 20
    of_the_project = ("README", "engines", "releasing")  # not of its use
    users = [page for page in PAGES if page.name not in of_the_project]
    assert [page.name for page in users if not FENCE.search(page.text.partition("\n## ")[0])] == []
