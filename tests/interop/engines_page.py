"""docs/engines.md, made of what passed: ``python engines_page.py RECORD`` after a run, by ``scripts/interop --write``.

``engines.json`` keeps the last result for every engine, since not every machine has all of them.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from recipes import load, names

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = HERE / "engines.json"
PAGE = ROOT / "docs" / "engines.md"

_HEAD = """\
<!-- Written by `scripts/interop --write`. -->

# Engines

What fasttrace was run against: the real programs, on the loopback, started and stopped by the tests. A line is here
because its test passed with that version.

| engine | version | what was tested | cores | test |
|---|---|---|---|---|
"""
_FOOT = """
`tools/peers list` says which of them are on this machine, `tools/peers install` gets them by the ordinary package
clients, `scripts/interop` runs the tests. A peer that is missing is named, and its tests are skipped;
`scripts/interop --promised` fails without those that install quickly, `scripts/interop --all` without any.
"""


def claims() -> set[tuple[str, str]]:
    """Engine and what is tested, of every marker in this folder's tests."""
    found = set()
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.engines":
                (tested,) = (ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg == "tested")
                found |= {(ast.literal_eval(argument), tested) for argument in node.args}
    return found


def merged(before: list[dict[str, str]], now: list[dict[str, str]]) -> list[dict[str, str]]:
    """The results that still hold: the latest of each test, of versions and claims that are still there."""
    rows = {(row["engine"], row["tested"], row["core"]): row for row in [*before, *now]}
    valid, versions = claims(), {name: load(name).version for name in names()}
    return [
        row for key, row in sorted(rows.items()) if key[:2] in valid and versions.get(row["engine"]) == row["version"]
    ]


def page(results: list[dict[str, str]]) -> str:
    """The text of docs/engines.md."""
    cores: dict[tuple[str, str, str, str], list[str]] = {}
    for row in results:
        key = (load(row["engine"]).summary, row["version"], row["tested"], row["test"])
        cores.setdefault(key, []).append(row["core"] or "–")
    lines = [
        f"| {engine} | {version} | {tested} | {', '.join(sorted(found))} | `{test}` |\n"
        for (engine, version, tested, test), found in sorted(cores.items())
    ]
    return _HEAD + "".join(lines) + _FOOT


def main() -> None:
    """Take over the results of a run."""
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    results = merged(before, json.loads(Path(sys.argv[1]).read_text()))
    RESULTS.write_text("[\n" + ",\n".join(json.dumps(row) for row in results) + "\n]\n")
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
